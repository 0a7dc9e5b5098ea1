//! A pattern of room names.
//!
//! Owns the one wildcard: `*` stands for any run of characters, dots and none at all included.
//! The cost of a match is linear in the name and the pattern, whatever they are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 128;

/// What a room's name is held against.
///
/// ```
/// use throng::hub::auth::Pattern;
///
/// let pattern = Pattern::new("team.*")?;
/// assert!(pattern.matches("team.red.1"));
/// assert!(!pattern.matches("steam.red"));
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A pattern.
    ///
    /// # Errors
    ///
    /// It is empty, longer than [`PATTERN_BYTES_MAX`], or has a control character.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            Err("a pattern of rooms has 1 to 128 bytes")
        } else if pattern.chars().any(char::is_control) {
            Err("a pattern of rooms has no control characters")
        } else {
            Ok(Self(pattern.into()))
        }
    }

    /// Whether a room has a name like this.
    pub fn matches(&self, room: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return *self.0 == *room };
        let Some(mut room) = room.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The earliest place for each piece leaves the most for those behind it: no way back.
        for piece in middle.split('*') {
            let Some(at) = room.find(piece) else { return false };
            room = &room[at + piece.len()..];
        }
        room.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Self::new(&pattern)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        let table = [
            ("lobby", "lobby", true),
            ("lobby", "Lobby", false),
            ("lobby", "lobby2", false),
            ("*", "anything", true),
            ("*", "", true),
            ("team.*", "team.", true),
            ("team.*", "team.red.1", true),
            ("team.*", "team", false),
            ("*.red", "team.red", true),
            ("*.red", "team.red.1", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "acb", false),
            ("a**c", "abc", true),
            ("*a*", "bbb", false),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "abab", true),
            ("é*ß", "é.ß", true),
            ("a.c", "abc", false),
        ];
        for (pattern, room, expected) in table {
            let matches = Pattern::new(pattern).unwrap().matches(room);
            assert_eq!(matches, expected, "{pattern} {room}");
        }
    }

    /// The plain definition, of exponential cost.
    fn slow(pattern: &[u8], room: &[u8]) -> bool {
        match (pattern, room) {
            ([], []) => true,
            ([b'*', rest @ ..], _) if slow(rest, room) => true,
            ([b'*', ..], [_, room @ ..]) => slow(pattern, room),
            ([one, pattern @ ..], [other, room @ ..]) if one == other => slow(pattern, room),
            _ => false,
        }
    }

    #[test]
    fn every_short_pattern_means_what_it_says() {
        let words = |letters: &'static [u8], len: u32| {
            (0..(letters.len() as u32).pow(len)).map(move |number| {
                (0..len)
                    .map(|at| {
                        let digit = number / (letters.len() as u32).pow(at);
                        char::from(letters[digit as usize % letters.len()])
                    })
                    .collect::<String>()
            })
        };
        let rooms: Vec<_> = (0..=5).flat_map(|len| words(b"ab", len)).collect();
        for pattern in (1..=5).flat_map(|len| words(b"ab*", len)) {
            let compiled = Pattern::new(&pattern).unwrap();
            for room in &rooms {
                let expected = slow(pattern.as_bytes(), room.as_bytes());
                assert_eq!(compiled.matches(room), expected, "{pattern} {room}");
            }
        }
    }

    #[test]
    fn a_pattern_is_bounded() {
        assert!(Pattern::new("").is_err());
        assert!(Pattern::new(&"x".repeat(129)).is_err());
        assert!(Pattern::new("a\n").is_err());
        assert!(Pattern::new(&"*".repeat(128)).unwrap().matches(&"a".repeat(128)));
    }
}
