//! What a token says.
//!
//! Owns the names of the claims (RFC 7519 section 4.1, and ours), their kinds and their bounds.
//! Never decides whether they are true.

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

use super::{Pattern, Rights};

/// The most patterns of rooms in a token.
const ROOMS_MAX: usize = 64;

/// The longest `sub` and `jti`, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The most names of `aud`.
const AUDIENCES_MAX: usize = 16;

/// The claims of a token. Others may stand beside them: they mean nothing here.
///
/// A claim of ours of another kind than here, `null` too, makes the whole token bad: a limit that
/// nobody can read must not be no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who: 1 to 128 bytes without control characters.
    pub sub: String,
    /// From when on the token is worth nothing, in seconds since 1970.
    #[serde(default, deserialize_with = "time_s", skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Until when it is worth nothing yet, in seconds since 1970.
    #[serde(default, deserialize_with = "time_s", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "time_s", skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Who made it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whom it is for: one name, or a list.
    #[serde(
        default,
        deserialize_with = "one_or_many",
        serialize_with = "write_one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub aud: Vec<String>,
    /// Its own name, to revoke it by: at most 128 bytes.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// What may be done in which rooms; without it, everything in every room.
    #[serde(default, deserialize_with = "at_most_64", skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<RoomClaim>>,
    /// Limits in place of the server's own.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Who goes first when the server has too much to do.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Whether the HTTP API may be used with this token.
    #[serde(default, skip_serializing_if = "is_false")]
    pub api: bool,
}

/// What may be done in the rooms of one pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomClaim {
    /// Which rooms.
    #[serde(rename = "match")]
    pub pattern: Pattern,
    /// What may be done there.
    pub rights: Rights,
}

/// Limits of one bearer, in place of the server's; twice a rate may come at once. One that is not
/// there is the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages a second and connection.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// Bytes a second and connection.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// Rooms a connection.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rooms: Option<u32>,
    /// Connections of this user.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
}

impl Limits {
    /// Whether everything is as the server has it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much the messages of a bearer matter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Shed first.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Shed last.
    High,
}

impl Priority {
    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl Claims {
    /// Whether the bounds are kept that the kinds do not say.
    pub(super) fn are_sound(&self) -> bool {
        let is_name = |name: &str| {
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
        };
        is_name(&self.sub) && self.jti.as_deref().is_none_or(is_name)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A value that is no `null` where it is there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// NumericDate (RFC 7519 section 2): seconds since 1970, with a fraction or without. Of a fraction
/// the whole seconds count.
fn time_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Time;
    impl Visitor<'_> for Time {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("seconds since 1970")
        }

        fn visit_u64<E>(self, time_s: u64) -> Result<u64, E> {
            Ok(time_s)
        }

        fn visit_f64<E: Error>(self, time_s: f64) -> Result<u64, E> {
            // Else the cast would make a time of what is none.
            let is_time = (0.0..9_007_199_254_740_992.0).contains(&time_s);
            if is_time { Ok(time_s as u64) } else { Err(E::custom("this is no time")) }
        }
    }
    deserializer.deserialize_any(Time).map(Some)
}

/// A list of at most 64 rooms; no `null`.
pub(in crate::hub) fn at_most_64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<RoomClaim>>, D::Error> {
    deserializer.deserialize_seq(Bounded::<RoomClaim, ROOMS_MAX>(PhantomData)).map(Some)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Bounded::<String, AUDIENCES_MAX>(PhantomData))
}

/// A list of at most `MAX` elements; where those are text, a single one may stand for itself.
struct Bounded<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        let text = serde::de::value::StrDeserializer::<E>::new(text);
        Ok(vec![T::deserialize(text)?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

fn write_one_or_many<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match names {
        [one] => serializer.serialize_str(one),
        _ => serializer.collect_seq(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Claims> {
        serde_json::from_str::<Claims>(text).ok().filter(Claims::are_sound)
    }

    #[test]
    fn claims_are_written_as_they_are_read() {
        for text in [
            r#"{"sub":"ann"}"#,
            r#"{"sub":"ann","exp":9,"nbf":1,"iat":2,"iss":"i","aud":"a","jti":"j","api":true}"#,
            r#"{"sub":"ann","rooms":[{"match":"team.*","rights":["read","write"]}]}"#,
            r#"{"sub":"ann","limits":{"messages":5},"priority":"low"}"#,
            r#"{"sub":"ann","aud":["a","b"],"rooms":[]}"#,
        ] {
            assert_eq!(serde_json::to_string(&parse(text).expect(text)).unwrap(), text);
        }
    }

    #[test]
    fn what_is_not_ours_means_nothing() {
        let claims = parse(r#"{"sub":"ann","email":"a@b","x":{"y":[1]},"exp":12.9}"#).unwrap();
        assert_eq!(claims, Claims { sub: "ann".into(), exp: Some(12), ..Claims::default() });
    }

    #[test]
    fn what_is_ours_and_wrong_is_refused() {
        let many = vec![r#"{"match":"a","rights":[]}"#; 65].join(",");
        let names = vec![r#""a""#; 17].join(",");
        for bad in [
            "{}",
            r#"{"sub":7}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"a\nb"}"#,
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","exp":"9"}"#,
            r#"{"sub":"a","exp":null}"#,
            r#"{"sub":"a","exp":-1}"#,
            r#"{"sub":"a","exp":1e300}"#,
            r#"{"sub":"a","aud":7}"#,
            r#"{"sub":"a","aud":null}"#,
            r#"{"sub":"a","jti":""}"#,
            r#"{"sub":"a","rooms":null}"#,
            r#"{"sub":"a","rooms":"team.*"}"#,
            r#"{"sub":"a","rooms":{}}"#,
            r#"{"sub":"a","rooms":["team.*"]}"#,
            r#"{"sub":"a","rooms":[{"match":"a"}]}"#,
            r#"{"sub":"a","rooms":[{"rights":["read"]}]}"#,
            r#"{"sub":"a","rooms":[{"match":"","rights":["read"]}]}"#,
            r#"{"sub":"a","rooms":[{"match":"a","rights":["fly"]}]}"#,
            r#"{"sub":"a","rooms":[{"match":"a","rights":[],"until":9}]}"#,
            r#"{"sub":"a","limits":{"message":1}}"#,
            r#"{"sub":"a","limits":{"messages":-1}}"#,
            r#"{"sub":"a","limits":{"messages":null}}"#,
            r#"{"sub":"a","limits":null}"#,
            r#"{"sub":"a","priority":"highest"}"#,
            r#"{"sub":"a","api":"yes"}"#,
            &format!(r#"{{"sub":"{}"}}"#, "x".repeat(129)),
            &format!(r#"{{"sub":"a","rooms":[{many}]}}"#),
            &format!(r#"{{"sub":"a","aud":[{names}]}}"#),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
