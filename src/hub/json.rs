//! A value of JSON that is passed on as it was written.
//!
//! Owns the check that any reader will take it: numbers that are numbers, text without half
//! characters, at most 128 levels deep. Never builds the value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether any reader will take this.
pub(super) fn is_valid(text: &[u8]) -> bool {
    serde_json::from_slice::<Valid>(text).is_ok()
}

/// Any value, of which nothing is kept.
struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Valid {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn what_other_readers_refuse_is_refused() {
        for good in ["1", "-0.5e3", r#""a\u00e9\ud83d\ude00""#, r#"{"a":[null,true,{}]}"#, " [1] "]
        {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in ["01", "1e999999", r#""\ud800""#, r#"{"\udc00":1}"#, "[1,]", "nul", &deep] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
