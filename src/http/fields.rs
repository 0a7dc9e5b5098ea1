//! What header fields are made of: tokens, comma lists, and the lines that are sent.
//!
//! Owns the grammar that all fields share (RFC 9110, section 5.6) and the guard that no CR, LF or
//! NUL leaves in a header. Never knows what a particular field means.

use std::borrow::Cow;

/// The elements of a comma list that may be spread over several lines: blanks around an element
/// are trimmed, empty elements skipped (RFC 9110, sections 5.3 and 5.6.1). Whether an element is
/// a token is for the caller to check.
///
/// ```
/// use throng::http::fields::tokens;
///
/// let lines = [&b"keep-alive, ,Upgrade"[..], b"\tclose "];
/// let elements: Vec<_> = tokens(lines.into_iter()).collect();
/// assert_eq!(elements, [&b"keep-alive"[..], b"Upgrade", b"close"]);
/// ```
pub fn tokens<'a, V>(values: V) -> impl Iterator<Item = &'a [u8]> + use<'a, V>
where
    V: Iterator<Item = &'a [u8]>,
{
    values
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(trim_blanks)
        .filter(|element| !element.is_empty())
}

/// Whether a comma list has this element, compared without case.
pub fn has_token<'a>(values: impl Iterator<Item = &'a [u8]>, token: &str) -> bool {
    tokens(values).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether this is a token (RFC 9110, section 5.6.2): not empty, no blanks, no separators.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// Whether one byte may be part of a token.
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether this can be a field value (RFC 9110, section 5.5): no control bytes but TAB.
pub fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

/// Without the blanks (SP, TAB) on both sides.
pub fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Header lines to be sent, in order. A line that could break out of its header cannot get in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderLines(Vec<(Cow<'static, str>, Cow<'static, str>)>);

impl HeaderLines {
    /// No lines, no heap.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a line. Where the name is not a token or the value holds a control byte (CR, LF and
    /// NUL among them) nothing is appended and the result is `false`: half a value would be as
    /// wrong as an injected line, and a panic would hand peers who supply values a weapon.
    pub fn push(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> bool {
        let (name, value) = (name.into(), value.into());
        let valid = is_token(name.as_bytes()) && is_field_value(value.as_bytes());
        if valid {
            self.0.push((name, value));
        }
        valid
    }

    /// Whether there is a line of that name, compared without case.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|(line, _)| line.eq_ignore_ascii_case(name))
    }

    /// Name and value of each line.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Writes each line with its CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_1_lists() {
        type Elements = &'static [&'static [u8]];
        let table: [(Elements, Elements); 6] = [
            (&[], &[]),
            (&[b""], &[]),
            (&[b" , ,\t,"], &[]),
            (&[b"a"], &[b"a"]),
            (&[b"a,b", b"", b"c , d"], &[b"a", b"b", b"c", b"d"]),
            (&[b"a b,\xff"], &[b"a b", b"\xff"]),
        ];
        for (lines, expected) in table {
            let elements: Vec<_> = tokens(lines.iter().copied()).collect();
            assert_eq!(elements, expected);
        }
        assert!(has_token([&b"keep-alive, UPGRADE"[..]].into_iter(), "upgrade"));
        assert!(!has_token([&b"upgrades"[..]].into_iter(), "upgrade"));
    }

    #[test]
    fn rfc9110_5_6_2_tokens() {
        for good in ["a", "permessage-deflate", "chat.v1", "!#$%&'*+-.^_`|~"] {
            assert!(is_token(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a,b", "a/b", "a\"", "a=b", "(a)", "a\0", "\u{e9}", "a:b", "@"] {
            assert!(!is_token(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn no_line_breaks_out_of_its_header() {
        let mut lines = HeaderLines::new();
        assert!(lines.push("X-A", "fine \u{e9}\t"));
        assert!(!lines.push("X-B", "a\r\nX-Evil: 1"));
        assert!(!lines.push("X-C", "a\0"));
        assert!(!lines.push("X-D\r\nX-Evil", "1"));
        assert!(!lines.push("X E", "1"));
        assert!(!lines.push("", "1"));
        let mut out = Vec::new();
        lines.encode(&mut out);
        assert_eq!(out, "X-A: fine \u{e9}\t\r\n".as_bytes());
        assert!(lines.contains("x-a") && !lines.contains("X-B"));
    }
}
