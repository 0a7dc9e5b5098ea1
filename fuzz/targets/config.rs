//! The reader of the file of settings: whatever it is given, each place that it names is in the
//! file, keys come in their order and once, and nothing panics.
//!
//! The reader stands in the program, not in the library, so that its file is taken as it is.

#![no_main]

#[path = "../../src/cli/settings/document.rs"]
mod document;

use document::{Position, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match document::read(text) {
        Ok(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                is_inside(text, entry.at);
                is_inside(text, entry.value_at);
                assert!(!entries[..index].iter().any(|other| other.key == entry.key), "{entry:?}");
                assert!(entries[..index].iter().all(|other| other.at <= entry.at), "{entry:?}");
                value_is_right(text, &entry.value);
            }
        }
        Err(fault) => {
            is_inside(text, fault.at);
            assert!(!fault.words.is_empty() && !fault.words.contains('\n'), "{fault:?}");
            assert!(fault.at.to_string().contains(':'));
        }
    }
});

fn value_is_right(text: &str, value: &Value) {
    assert!(!value.name().is_empty());
    match value {
        Value::Whole(number) => assert!(number.parse::<i128>().is_ok(), "{number}"),
        Value::Fraction(number) => assert!(number.parse::<f64>().is_ok(), "{number}"),
        Value::List(values) => {
            for (at, value) in values {
                is_inside(text, *at);
                value_is_right(text, value);
            }
        }
        Value::Text(_) | Value::Bool(_) | Value::Time | Value::Table | Value::NoNumber => {}
    }
}

/// A place on a line that there is, or one past its end.
fn is_inside(text: &str, at: Position) {
    let line = text.split('\n').nth(at.line - 1).unwrap_or_else(|| panic!("no line {at}"));
    assert!((1..=line.chars().count() + 1).contains(&at.column), "{at} in {line:?}");
}
