//! What was revoked, over all nodes: a table at the broker, so that a node knows it that starts
//! later or was cut off.
//!
//! Owns how this node's list and the table become one. An entry that was taken out leaves its name
//! in the table for a while, so that nobody who has missed it puts the entry back. Never closes a
//! connection.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::carrier::Carrier;
use super::company::{ERRANDS_MAX, FromNodes};
use super::errand::Errand;
use super::{Answer, Broker, Field, Request};
use crate::hub::auth::{Authenticator, REVOCATIONS_MAX, Revocation, RevokedName};
use crate::hub::history::What;
use crate::hub::task::Task;

/// No room's table has such a name.
const TABLE: &str = "revoked";

/// How often the table is read, beside each time that a link is opened.
const PERIOD: Duration = Duration::from_secs(600);

/// How soon it is read again after that: where the broker had forgotten it, others have put what
/// they know.
const GRACE: Duration = Duration::from_secs(5);

/// How long an entry is kept that does not end sooner: nodes that have it put it again.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long it is known that an entry was taken out.
const TAKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The list of this node, and what the table has yet to be told.
#[derive(Debug, Default)]
pub(super) struct RevokedTable {
    tokens: Option<Arc<Authenticator>>,
    /// When the table is read next.
    due: Duration,
    /// Whether it was read over this link.
    was_read: bool,
    puts: Vec<Errand>,
}

impl RevokedTable {
    /// This is the list.
    pub(super) fn watch(&mut self, tokens: Arc<Authenticator>) {
        self.tokens = Some(tokens);
        self.open();
    }

    /// A link was opened.
    pub(super) const fn open(&mut self) {
        (self.due, self.was_read) = (Duration::ZERO, false);
    }

    /// The link is gone: what the table was not told is seen when it is read again.
    pub(super) fn lose(&mut self) {
        self.puts.clear();
    }

    /// Takes note of what this node has been asked to do.
    pub(super) fn note(&mut self, task: &Task, now_unix_s: u64) {
        let Some(tokens) = &self.tokens else { return };
        match task {
            Task::Revoke(revocation) => {
                let known = tokens.revocation(revocation.name(), now_unix_s);
                let errand = put(known.as_ref().unwrap_or(revocation), now_unix_s);
                self.puts.push(errand);
            }
            Task::Unrevoke(name) => {
                // A table that was read meanwhile may have put it back.
                tokens.unrevoke(name.of());
                self.puts.push(put_taken(name));
            }
            Task::Rooms { .. }
            | Task::Members { .. }
            | Task::Connection(_)
            | Task::Connections { .. }
            | Task::Disconnect { .. }
            | Task::Unsubscribe { .. } => {}
        }
    }

    /// Takes note of what another node asks, and has put already. Where more is known here, it was
    /// put in its place.
    pub(super) fn told(&mut self, task: &Task, now_unix_s: u64) {
        let (Some(tokens), Task::Revoke(told)) = (&self.tokens, task) else { return };
        if tokens.revoke(told.clone(), now_unix_s).is_ok() {
            let known = tokens.revocation(told.name(), now_unix_s);
            let wider = known.filter(|known| known != told);
            self.puts.extend(wider.map(|wider| put(&wider, now_unix_s)));
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        self.tokens.is_some() && now >= self.due
    }

    /// Takes the table: what is new to this node. What the table lacks is put.
    fn listed(&mut self, fields: &[Field], now: Duration, now_unix_s: u64) -> Vec<Revocation> {
        self.due = now + if mem::replace(&mut self.was_read, true) { PERIOD } else { GRACE };
        let Some(tokens) = &self.tokens else { return Vec::new() };
        let (mut listed, mut new) = (HashSet::new(), Vec::new());
        for (field, value) in fields {
            let entry = serde_json::from_slice::<Option<Revocation>>(value);
            let (Some(name), Ok(entry)) = (name_of(field), entry) else {
                tracing::warn!(%field, "something that is no revocation is in its table");
                continue;
            };
            listed.insert(&**field);
            let Some(entry) = entry else {
                tokens.unrevoke(name.of());
                continue;
            };
            let before = tokens.revocation(name.of(), now_unix_s);
            if let Err(error) = tokens.revoke(entry.clone(), now_unix_s) {
                tracing::error!(%error, "another node has revoked a token");
            }
            let after = tokens.revocation(name.of(), now_unix_s);
            let is_wider = after.as_ref().filter(|after| **after != entry);
            self.puts.extend(is_wider.map(|after| put(after, now_unix_s)));
            if after != before {
                new.push(entry);
            }
        }
        let (own, _) = tokens.revocations(REVOCATIONS_MAX, now_unix_s);
        let missing = own.iter().filter(|one| !listed.contains(&*field_of(&one.owned_name())));
        self.puts.extend(missing.map(|one| put(one, now_unix_s)));
        new
    }
}

impl<B: Broker> Carrier<B> {
    /// Tells the table what was asked here, reads it when that is due, and tells it what it lacks.
    pub(super) fn keep_revoked(&mut self) {
        self.put_revoked();
        let now = self.now();
        if self.company.revoked.is_due(now) {
            let list = [Request::List { table: TABLE }];
            let Some((_, answers)) = self.exchange_company(&list) else { return };
            if let [Answer::Fields(fields)] = &answers[..] {
                let new = self.company.revoked.listed(fields, now, unix_s());
                if !new.is_empty() {
                    self.tell(0, What::Nodes(FromNodes::Revoked(new)), None);
                }
            }
            self.put_revoked();
        }
    }

    fn put_revoked(&mut self) {
        let puts = mem::take(&mut self.company.revoked.puts);
        for puts in puts.chunks(ERRANDS_MAX) {
            let requests: Vec<_> = puts.iter().map(Errand::request).collect();
            self.exchange_company(&requests);
        }
    }
}

/// Seconds since 1970: when tokens end is said so.
pub(super) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn put(one: &Revocation, now_unix_s: u64) -> Errand {
    let rest = |ends_s: u64| Duration::from_secs(ends_s.saturating_sub(now_unix_s).max(1));
    let lease = one.ends_s().map_or(LIFE, |ends_s| rest(ends_s).min(LIFE));
    let value = serde_json::to_vec(&Some(one)).unwrap_or_default(); // strings and numbers can be
    Errand::Put { table: TABLE.into(), field: field_of(&one.owned_name()), value, lease }
}

/// That an entry was taken out.
fn put_taken(name: &RevokedName) -> Errand {
    let (table, field, value) = (TABLE.into(), field_of(name), b"null".to_vec());
    Errand::Put { table, field, value, lease: TAKEN_LIFE }
}

fn field_of(name: &RevokedName) -> String {
    match name {
        RevokedName::Token(id) => format!("t:{id}"),
        RevokedName::User(sub) => format!("u:{sub}"),
    }
}

fn name_of(field: &str) -> Option<RevokedName> {
    match field.split_once(':')? {
        ("t", id) => Some(RevokedName::Token(id.into())),
        ("u", sub) => Some(RevokedName::User(sub.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hub::auth::{AuthConfig, Issuer};

    fn node() -> RevokedTable {
        let issuer = Issuer::secret(b"a secret that is long enough for anybody");
        let tokens = Authenticator::new(AuthConfig::new(vec![issuer])).unwrap();
        RevokedTable { tokens: Some(Arc::new(tokens)), ..RevokedTable::default() }
    }

    fn token(id: &str, ends_s: Option<u64>) -> Revocation {
        Revocation::Token { id: id.into(), ends_s }
    }

    fn has(node: &RevokedTable, one: &Revocation) -> bool {
        node.tokens.as_ref().unwrap().revocation(one.name(), 100).as_ref() == Some(one)
    }

    /// As the API does it.
    fn act(node: &mut RevokedTable, task: &Task) {
        let tokens = node.tokens.as_ref().unwrap();
        match task {
            Task::Revoke(one) => tokens.revoke(one.clone(), 100).unwrap(),
            Task::Unrevoke(name) => assert!(tokens.unrevoke(name.of())),
            other => panic!("{other:?}"),
        }
        node.note(task, 100);
    }

    type Table = BTreeMap<Box<str>, Box<[u8]>>;

    /// A node reads the table, and tells it what it lacks.
    fn meet(node: &mut RevokedTable, table: &mut Table) -> Vec<Revocation> {
        let tell = |node: &mut RevokedTable, table: &mut Table| {
            for errand in mem::take(&mut node.puts) {
                let Errand::Put { field, value, .. } = errand else { panic!("{errand:?}") };
                table.insert(field.into(), value.into());
            }
        };
        tell(node, table);
        let fields: Vec<Field> = table.clone().into_iter().collect();
        let new = node.listed(&fields, Duration::ZERO, 100);
        tell(node, table);
        new
    }

    #[test]
    fn who_comes_later_knows_what_was_revoked_and_what_was_taken_out() {
        let (mut one, mut other, mut table) = (node(), node(), Table::new());
        let user = Revocation::User { sub: "ann".into(), issued_until_s: 50, ends_s: None };
        for entry in [token("a", Some(500)), token("b", None), user.clone()] {
            act(&mut one, &Task::Revoke(entry));
        }
        assert_eq!(meet(&mut one, &mut table), []);
        assert_eq!(meet(&mut other, &mut table).len(), 3);
        assert!(has(&other, &token("a", Some(500))) && has(&other, &user));
        assert_eq!(meet(&mut other, &mut table), [], "it is not new twice");
        act(&mut one, &Task::Unrevoke(RevokedName::Token("b".into())));
        meet(&mut one, &mut table);
        meet(&mut other, &mut table);
        assert!(!has(&other, &token("b", None)) && has(&other, &user));
        // Revoked again.
        act(&mut other, &Task::Revoke(token("b", None)));
        meet(&mut other, &mut table);
        assert_eq!(meet(&mut one, &mut table), [token("b", None)]);
    }

    #[test]
    fn a_table_that_was_lost_is_written_again_and_the_wider_entry_stays() {
        let (mut one, mut other, mut table) = (node(), node(), Table::new());
        let user = |until, ends_s| {
            let issued_until_s = until;
            Revocation::User { sub: "ann".into(), issued_until_s, ends_s }
        };
        act(&mut one, &Task::Revoke(user(50, Some(900))));
        meet(&mut one, &mut table);
        // It was cut off until now: it puts less than the table has, and the other is told.
        act(&mut other, &Task::Revoke(user(40, None)));
        meet(&mut other, &mut table);
        one.told(&Task::Revoke(user(40, None)), 100);
        meet(&mut one, &mut table);
        assert_eq!(meet(&mut other, &mut table), [user(50, None)]);
        table.clear();
        other.open();
        meet(&mut other, &mut table);
        assert_eq!(meet(&mut one, &mut table), []);
        assert!(has(&one, &user(50, None)) && has(&other, &user(50, None)));
        table.insert("x".into(), b"{}".as_slice().into());
        assert_eq!(meet(&mut one, &mut table), [], "what is none is passed over");
    }

    #[test]
    fn an_entry_is_kept_until_its_tokens_end() {
        let lease = |errand| match errand {
            Errand::Put { lease, .. } => lease.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(lease(put(&token("a", Some(130)), 100)), 30);
        assert_eq!(lease(put(&token("a", Some(90)), 100)), 1);
        assert_eq!(lease(put(&token("a", None), 100)), LIFE.as_secs());
    }
}
