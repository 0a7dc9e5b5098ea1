//! What was revoked before its time.
//!
//! Owns the list, which is bounded, and when an entry leaves it: when the tokens that it is about
//! would have ended by themselves. Never closes a connection.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::hub::overload::Bound;

/// The most entries.
pub const REVOCATIONS_MAX: usize = 1 << 16;

/// What the list takes at most: a name of 128 bytes, its times, and its place in two tables.
pub const REVOCATIONS_BOUND: Bound =
    Bound { bytes: 256 * REVOCATIONS_MAX as u64, words: "the list of revoked tokens" };

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocation {
    /// The token of this name (`jti`).
    Token {
        /// The name.
        id: Box<str>,
        /// When the token ends by itself, in seconds since 1970; `None` where it does not.
        ends_s: Option<u64>,
    },
    /// The tokens of a user that were made (`iat`) at this time or before, and those that do not
    /// say when.
    User {
        /// The user.
        sub: Box<str>,
        /// The time, in seconds since 1970.
        issued_until_s: u64,
        /// When the last of them ends by itself, in seconds since 1970; `None` where one does not.
        ends_s: Option<u64>,
    },
}

/// The name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked<'a> {
    /// The token of this name (`jti`).
    Token(&'a str),
    /// The tokens of this user.
    User(&'a str),
}

/// The same, in memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokedName {
    /// The token of this name (`jti`).
    Token(Box<str>),
    /// The tokens of this user.
    User(Box<str>),
}

impl RevokedName {
    /// The name.
    pub fn of(&self) -> Revoked<'_> {
        match self {
            Self::Token(id) => Revoked::Token(id),
            Self::User(sub) => Revoked::User(sub),
        }
    }
}

impl Revocation {
    /// By which it is found.
    pub fn name(&self) -> Revoked<'_> {
        match self {
            Self::Token { id, .. } => Revoked::Token(id),
            Self::User { sub, .. } => Revoked::User(sub),
        }
    }

    /// The same, in memory of its own.
    pub fn owned_name(&self) -> RevokedName {
        match self {
            Self::Token { id, .. } => RevokedName::Token(id.clone()),
            Self::User { sub, .. } => RevokedName::User(sub.clone()),
        }
    }

    /// When its tokens end by themselves, in seconds since 1970.
    pub const fn ends_s(&self) -> Option<u64> {
        match self {
            Self::Token { ends_s, .. } | Self::User { ends_s, .. } => *ends_s,
        }
    }

    /// Whether somebody who is connected has to go.
    pub fn hits(&self, identity: &Identity) -> bool {
        match self {
            Self::Token { id, .. } => identity.token_id.as_ref() == Some(id),
            Self::User { sub, issued_until_s, .. } => {
                **sub == *identity.sub && identity.issued_at_s.unwrap_or(0) <= *issued_until_s
            }
        }
    }
}

/// The list is full of entries that still count. None is dropped for a new one: a token that was
/// revoked must not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of revocations is full")]
pub struct RevocationsFull;

/// The list.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    tokens: HashMap<Box<str>, Entry>,
    users: HashMap<Box<str>, Entry>,
    /// No entry ends before this.
    next_end_s: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Made at this time or before.
    issued_until_s: u64,
    ends_s: u64,
}

impl Entry {
    fn of_token(self, id: &str) -> Revocation {
        Revocation::Token { id: id.into(), ends_s: self.shown_end_s() }
    }

    fn of_user(self, sub: &str) -> Revocation {
        let Self { issued_until_s, .. } = self;
        Revocation::User { sub: sub.into(), issued_until_s, ends_s: self.shown_end_s() }
    }

    fn shown_end_s(self) -> Option<u64> {
        (self.ends_s != u64::MAX).then_some(self.ends_s)
    }
}

impl Revocations {
    pub(super) fn add(&mut self, one: Revocation, now_unix_s: u64) -> Result<(), RevocationsFull> {
        self.purge(now_unix_s);
        let is_full = self.len() >= REVOCATIONS_MAX;
        let (table, name, issued_until_s, ends_s) = match one {
            Revocation::Token { id, ends_s } => (&mut self.tokens, id, u64::MAX, ends_s),
            Revocation::User { sub, issued_until_s, ends_s } => {
                (&mut self.users, sub, issued_until_s, ends_s)
            }
        };
        let ends_s = ends_s.unwrap_or(u64::MAX);
        if ends_s <= now_unix_s {
            return Ok(()); // what it is about has ended by itself
        }
        insert(table, name, Entry { issued_until_s, ends_s }, is_full)?;
        self.next_end_s = self.next_end_s.min(ends_s);
        Ok(())
    }

    pub(super) fn has(&self, identity: &Identity) -> bool {
        let id = identity.token_id.as_ref();
        let issued_at_s = identity.issued_at_s.unwrap_or(0);
        id.is_some_and(|id| self.tokens.contains_key(id))
            || self.users.get(&*identity.sub).is_some_and(|it| issued_at_s <= it.issued_until_s)
    }

    /// Takes an entry out; whether it was there.
    pub(super) fn remove(&mut self, name: Revoked<'_>) -> bool {
        match name {
            Revoked::Token(id) => self.tokens.remove(id).is_some(),
            Revoked::User(sub) => self.users.remove(sub).is_some(),
        }
    }

    pub(super) fn find(&self, name: Revoked<'_>) -> Option<Revocation> {
        match name {
            Revoked::Token(id) => self.tokens.get(id).map(|entry| entry.of_token(id)),
            Revoked::User(sub) => self.users.get(sub).map(|entry| entry.of_user(sub)),
        }
    }

    /// The entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Revocation> {
        let tokens = self.tokens.iter().map(|(id, entry)| entry.of_token(id));
        tokens.chain(self.users.iter().map(|(sub, entry)| entry.of_user(sub)))
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len() + self.users.len()
    }

    /// Drops what has ended. The tables are walked only when something has.
    pub(super) fn purge(&mut self, now_unix_s: u64) {
        if now_unix_s < self.next_end_s {
            return;
        }
        self.tokens.retain(|_, entry| entry.ends_s > now_unix_s);
        self.users.retain(|_, entry| entry.ends_s > now_unix_s);
        let ends = self.tokens.values().chain(self.users.values()).map(|entry| entry.ends_s);
        self.next_end_s = ends.min().unwrap_or(u64::MAX);
    }
}

/// An entry for a name that has one widens it.
fn insert<K: Eq + Hash>(
    table: &mut HashMap<K, Entry>,
    name: K,
    new: Entry,
    is_full: bool,
) -> Result<(), RevocationsFull> {
    if let Some(old) = table.get_mut(&name) {
        old.issued_until_s = old.issued_until_s.max(new.issued_until_s);
        old.ends_s = old.ends_s.max(new.ends_s);
    } else if is_full {
        return Err(RevocationsFull);
    } else {
        table.insert(name, new);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::auth::Claims;

    fn identity(sub: &str, jti: Option<&str>, iat: Option<u64>) -> Identity {
        let claims = Claims { sub: sub.into(), jti: jti.map(Into::into), iat, ..Claims::default() };
        Identity::new(claims, None)
    }

    fn token(id: &str, ends_s: Option<u64>) -> Revocation {
        Revocation::Token { id: id.into(), ends_s }
    }

    #[test]
    fn by_name_and_by_user_before_a_time() {
        let user = Revocation::User { sub: "ann".into(), issued_until_s: 50, ends_s: Some(200) };
        let mut list = Revocations::default();
        list.add(token("a", Some(200)), 100).unwrap();
        list.add(user.clone(), 100).unwrap();
        let table = [
            (identity("bob", Some("a"), Some(99)), true, false),
            (identity("bob", Some("b"), None), false, false),
            (identity("bob", None, None), false, false),
            (identity("ann", None, Some(50)), true, true),
            (identity("ann", None, Some(51)), false, false),
            (identity("ann", Some("b"), None), true, true),
        ];
        for (identity, in_list, hit_by_user) in table {
            assert_eq!(list.has(&identity), in_list, "{identity:?}");
            assert_eq!(user.hits(&identity), hit_by_user, "{identity:?}");
        }
        assert!(token("a", None).hits(&identity("x", Some("a"), None)));
        assert!(!token("a", None).hits(&identity("x", None, None)));
    }

    #[test]
    fn an_entry_ends_when_the_token_would() {
        let mut list = Revocations::default();
        list.add(token("a", Some(200)), 100).unwrap();
        list.add(token("for ever", None), 100).unwrap();
        list.add(token("over", Some(100)), 100).unwrap();
        assert_eq!(list.len(), 2);
        list.purge(199);
        assert_eq!(list.len(), 2);
        list.purge(200);
        assert_eq!(list.len(), 1);
        assert!(list.has(&identity("x", Some("for ever"), None)));
    }

    #[test]
    fn an_entry_is_shown_as_it_was_made_and_can_be_taken_out() {
        let mut list = Revocations::default();
        let user = Revocation::User { sub: "ann".into(), issued_until_s: 50, ends_s: Some(200) };
        list.add(token("a", None), 100).unwrap();
        list.add(user.clone(), 100).unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [token("a", None), user.clone()]);
        assert_eq!(list.find(Revoked::User("ann")), Some(user));
        assert!(list.remove(Revoked::User("ann")) && !list.remove(Revoked::User("ann")));
        assert_eq!((list.find(Revoked::User("ann")), list.len()), (None, 1));
        assert!(list.remove(Revoked::Token("a")) && !list.has(&identity("x", Some("a"), None)));
    }

    #[test]
    fn a_later_entry_never_narrows_an_earlier_one() {
        let mut list = Revocations::default();
        let user =
            |issued_until_s, ends_s| Revocation::User { sub: "ann".into(), issued_until_s, ends_s };
        list.add(user(50, None), 0).unwrap();
        list.add(user(40, Some(60)), 0).unwrap();
        list.purge(1000);
        assert!(list.has(&identity("ann", None, Some(50))));
    }

    #[test]
    fn the_list_is_bounded_and_drops_nothing_that_counts() {
        let mut list = Revocations::default();
        for number in 0..REVOCATIONS_MAX {
            list.add(token(&number.to_string(), Some(1000 + number as u64)), 0).unwrap();
        }
        assert_eq!(list.add(token("more", Some(9)), 0), Err(RevocationsFull));
        assert_eq!(list.add(token("7", Some(2000)), 0), Ok(()));
        assert!(list.has(&identity("x", Some("0"), None)));
        assert_eq!(list.add(token("more", Some(9999)), 1000), Ok(()), "one has ended");
    }
}
