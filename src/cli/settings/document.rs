//! The file of settings, as it is written.
//!
//! Owns the reading of TOML, and where each key and each value stands. Never knows which keys there
//! are, and imports nothing but the reader: the fuzz target `config` takes this file as it is.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in the file. Both count from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// A key at the top of the file, with what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub at: Position,
    pub value: Value,
    pub value_at: Position,
}

/// A value, numbers as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Whole(String),
    Fraction(String),
    Bool(bool),
    List(Vec<(Position, Self)>),
    Time,
    Table,
    /// Begins as a number does. The reader leaves it to us to look at the rest.
    NoNumber,
}

/// Where the file is no TOML, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxFault {
    pub at: Position,
    pub words: String,
}

impl Position {
    /// Where the byte at `offset` of a text stands.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_start = |byte: &&u8| **byte & 0xc0 != 0x80; // of a character in UTF-8
        Self {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before[line_start..].iter().filter(is_start).count(),
        }
    }
}

impl Value {
    /// What kind of value it is, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Fraction(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Time => "a time",
            Self::Table => "a table",
            Self::NoNumber => "what is no number, or too large for one",
        }
    }

    fn of(value: &DeValue<'_>, text: &str) -> Self {
        match value {
            DeValue::String(value) => Self::Text(value.to_string()),
            DeValue::Integer(value) => {
                let number = i128::from_str_radix(value.as_str(), value.radix());
                number.map_or(Self::NoNumber, |number| Self::Whole(number.to_string()))
            }
            DeValue::Float(value) => match value.as_str().parse::<f64>() {
                Ok(_) => Self::Fraction(value.as_str().to_owned()),
                Err(_) => Self::NoNumber,
            },
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Datetime(_) => Self::Time,
            DeValue::Table(_) => Self::Table,
            DeValue::Array(list) => {
                let one = |value: &Spanned<DeValue<'_>>| {
                    (position(text, &value.span()), Self::of(value.get_ref(), text))
                };
                Self::List(list.iter().map(one).collect())
            }
        }
    }
}

/// Reads a file: its keys, in their order.
///
/// # Errors
/// It is no TOML.
pub fn read(text: &str) -> Result<Vec<Entry>, SyntaxFault> {
    let table = DeTable::parse(text).map_err(|error| SyntaxFault {
        at: position(text, &error.span().unwrap_or_default()),
        words: error.message().replace('\n', " "),
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry {
            key: name.to_string(),
            at: position(text, &key.span()),
            value: Value::of(value.get_ref(), text),
            value_at: position(text, &value.span()),
        }
    };
    Ok(entries.into_iter().map(entry).collect())
}

fn position(text: &str, span: &Range<usize>) -> Position {
    Position::of(text, span.start)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let entries = read(text).expect("TOML");
        let place = |entry: &Entry| {
            format!("{} {} {} {}", entry.key, entry.at, entry.value_at, entry.value.name())
        };
        entries.iter().map(place).collect()
    }

    #[test]
    fn keys_and_values_have_their_places() {
        let text = "# é\nb = 'x'\n  a=1_0 # é\n\"é\" = [ 1,\n  true ]\nc = 1.5\r\nd = 07:32:00\n";
        assert_eq!(
            places(text),
            [
                "b 2:1 2:5 a string",
                "a 3:3 3:5 a whole number",
                "é 4:1 4:7 a list",
                "c 6:1 6:5 a number with a fraction",
                "d 7:1 7:5 a time",
            ]
        );
        let list = &read(text).unwrap()[2].value;
        let Value::List(list) = list else { panic!("{list:?}") };
        assert_eq!(list[1], (Position { line: 5, column: 3 }, Value::Bool(true)));
        assert_eq!(places("[limits]\nmax_rooms = 1\n"), ["limits 1:2 1:1 a table"]);
        assert!(places("").is_empty());
    }

    #[test]
    fn numbers_are_decimal() {
        let numbers = read("a = 0xff\nb = 1_000\nc = -3\nd = 1e3").unwrap();
        let texts: Vec<_> = numbers.into_iter().map(|entry| entry.value).collect();
        let whole = |text: &str| Value::Whole(text.into());
        let fraction = Value::Fraction("1e3".into());
        assert_eq!(texts, [whole("255"), whole("1000"), whole("-3"), fraction]);
        for text in ["a = 65_22-05-2", "a = 999999999999999999999999999999999999999999"] {
            let value = read(text).map(|mut entries| entries.remove(0).value);
            assert!(matches!(value, Ok(Value::NoNumber) | Err(_)), "{text}: {value:?}");
        }
    }

    #[test]
    fn what_is_no_toml_has_a_place() {
        for (text, at) in [("a = 1\nb = = 2", "2:5"), ("a = 1\na = 2", "2:1"), ("é = 1", "1:1")] {
            assert_eq!(read(text).unwrap_err().at.to_string(), at, "{text:?}");
        }
        for text in ["a", "a = 'x", "[a", "a = [1,", "\u{0}", "a = 99999999999999999999999"] {
            let _ = read(text); // a place somewhere, and no panic
        }
    }
}
