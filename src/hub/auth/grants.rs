//! What a token lets its bearer do in which rooms.
//!
//! Owns the three rights, and the one question that is asked of them. Never knows a room.

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use super::claims::RoomClaim;

/// Something that one may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Join it, and hear what is published there.
    Read = 1,
    /// Publish there.
    Write = 2,
    /// Ask who is there.
    Presence = 4,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Presence];

    /// As claims say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Presence => "presence",
        }
    }
}

impl FromStr for Right {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|right| right.name() == name);
        found.ok_or("a right is read, write or presence")
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Every right.
    pub const ALL: Self = Self(7);

    /// Whether a right is among them.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right as u8 != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right as u8))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for right in Right::ALL.into_iter().filter(|right| self.has(*right)) {
            list.serialize_element(&right)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Rights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rights")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rights, A::Error> {
                let mut rights = Rights::default();
                while let Some(right) = list.next_element::<Right>()? {
                    rights.0 |= right as u8;
                }
                Ok(rights)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// What one may do in all rooms. Rights of several patterns that match add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Option<Box<[RoomClaim]>>);

impl Grants {
    /// Everything in every room: what a token without `rooms` says.
    pub const EVERYTHING: Self = Self(None);

    pub(super) fn new(rooms: Option<Vec<RoomClaim>>) -> Self {
        Self(rooms.map(Into::into))
    }

    /// As a token says it.
    pub(super) fn rooms(&self) -> Option<Vec<RoomClaim>> {
        self.0.as_ref().map(|rooms| rooms.to_vec())
    }

    /// Whether everything may be done in every room.
    pub const fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this may be done in that room.
    pub fn allows(&self, right: Right, room: &str) -> bool {
        let Some(rooms) = &self.0 else { return true };
        rooms.iter().any(|claim| claim.rights.has(right) && claim.pattern.matches(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rooms: &str) -> Grants {
        Grants::new(Some(serde_json::from_str(rooms).unwrap()))
    }

    #[test]
    fn without_rooms_every_room() {
        for right in Right::ALL {
            assert!(Grants::EVERYTHING.allows(right, "a"));
            assert!(!grants("[]").allows(right, "a"));
        }
    }

    #[test]
    fn rights_of_patterns_add_up() {
        let grants = grants(
            r#"[{"match":"team.*","rights":["read"]},{"match":"*.red","rights":["write"]},
                {"match":"hall","rights":[]}]"#,
        );
        assert!(grants.allows(Right::Read, "team.red"));
        assert!(grants.allows(Right::Write, "team.red"));
        assert!(!grants.allows(Right::Presence, "team.red"));
        assert!(!grants.allows(Right::Write, "team.blue"));
        assert!(!grants.allows(Right::Read, "hall"));
    }

    #[test]
    fn rights_are_written_as_they_are_read() {
        let rights: Rights = serde_json::from_str(r#"["presence","read","read"]"#).unwrap();
        assert_eq!(serde_json::to_string(&rights).unwrap(), r#"["read","presence"]"#);
        assert!(serde_json::from_str::<Rights>(r#"["admin"]"#).is_err());
        assert!(serde_json::from_str::<Rights>(r#""read""#).is_err());
        assert_eq!(Right::ALL.into_iter().collect::<Rights>(), Rights::ALL);
    }
}
