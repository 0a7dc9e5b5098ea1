//! Tables: what all nodes have put into the log of fields, as one node has read it.
//!
//! Owns what stands in each table, and until when by the time of the log. All who have read the log
//! up to one entry have the same tables, but for what one that has begun to read later cannot know.
//! Never looks at a clock, and never waits.

use std::collections::HashMap;

use super::clock::Clock;
use super::entry::{Head, Kind};
use crate::hub::broker::Field;

/// What all fields take at most, in bytes, about; what is more is not taken.
pub(super) const FIELDS_BYTES_MAX: usize = 64 << 20;

/// What a field takes beside its bytes.
const OVERHEAD_BYTES: usize = 128;

/// How long a field is there at most, in milliseconds: well before the log has lost it, so that
/// whoever needs it sees that it is gone, and puts it again.
const LEASE_MS_MAX: u64 = 30 * 60 * 1000;

/// After how many entries fields whose lease is over are looked for.
const SWEEP: usize = 4096;

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Fields {
    tables: HashMap<Box<str>, HashMap<Box<str>, Held>>,
    clock: Clock,
    now_ms: u64,
    bytes: usize,
    /// How many entries were read since a lease was looked at.
    unswept: usize,
}

/// What a field holds, and until when.
#[derive(Debug)]
struct Held {
    end_ms: u64,
    value: Box<[u8]>,
}

impl Fields {
    /// Takes the next entry of the log.
    pub(super) fn take(&mut self, head: &Head<'_>, value: &[u8]) {
        self.now_ms = self.clock.hear(&head.stamp);
        self.unswept += 1;
        if self.unswept >= SWEEP {
            self.sweep();
        }
        let Some(field) = head.id.as_deref() else { return };
        match head.kind {
            Kind::Put => self.put(&head.name, field, head.lease_ms, value),
            Kind::Remove => self.remove(&head.name, field),
            Kind::Look | Kind::Message | Kind::Open => {}
        }
    }

    /// What stands in a table now.
    pub(super) fn list(&self, table: &str) -> Vec<Field> {
        let Some(fields) = self.tables.get(table) else { return Vec::new() };
        let live = fields.iter().filter(|(_, held)| held.end_ms > self.now_ms);
        live.map(|(name, held)| (name.clone(), held.value.clone())).collect()
    }

    fn put(&mut self, table: &str, field: &str, lease_ms: u64, value: &[u8]) {
        self.remove(table, field);
        let bytes = cost(table, field, value);
        if self.bytes + bytes > FIELDS_BYTES_MAX {
            return tracing::warn!(table, "there are more fields than a node can know");
        }
        self.bytes += bytes;
        let end_ms = self.now_ms.saturating_add(lease_ms.min(LEASE_MS_MAX));
        let fields = self.tables.entry(table.into()).or_default();
        fields.insert(field.into(), Held { end_ms, value: value.into() });
    }

    fn remove(&mut self, table: &str, field: &str) {
        let Some(fields) = self.tables.get_mut(table) else { return };
        if let Some(held) = fields.remove(field) {
            self.bytes -= cost(table, field, &held.value);
        }
        if fields.is_empty() {
            self.tables.remove(table);
        }
    }

    fn sweep(&mut self) {
        self.unswept = 0;
        let Self { tables, now_ms, bytes, .. } = self;
        tables.retain(|table, fields| {
            fields.retain(|field, held| {
                let lives = held.end_ms > *now_ms;
                *bytes -= if lives { 0 } else { cost(table, field, &held.value) };
                lives
            });
            !fields.is_empty()
        });
    }
}

fn cost(table: &str, field: &str, value: &[u8]) -> usize {
    OVERHEAD_BYTES + table.len() + field.len() + value.len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::broker::rabbit::entry::Stamp;

    fn put(fields: &mut Fields, time_ms: u64, field: &str, lease_ms: u64) {
        let stamp = Stamp { node: 1, number: 0, time_ms, read: 0 };
        let lease = Duration::from_millis(lease_ms);
        fields.take(&Head::of_field(stamp, Kind::Put, "t", field, lease), b"v");
    }

    fn names(fields: &Fields) -> Vec<String> {
        let mut names: Vec<_> = fields.list("t").into_iter().map(|(name, _)| name.into()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_field_is_there_until_its_lease_is_over_or_it_is_taken_out() {
        let mut fields = Fields::default();
        put(&mut fields, 0, "a", 1000);
        put(&mut fields, 500, "b", 2000);
        put(&mut fields, 999, "c", 1);
        assert_eq!(names(&fields), ["a", "b", "c"]);
        put(&mut fields, 1000, "d", 5);
        assert_eq!(names(&fields), ["b", "d"]);
        let stamp = Stamp { node: 1, number: 0, time_ms: 1000, read: 0 };
        fields.take(&Head::of_field(stamp, Kind::Remove, "t", "b", Duration::ZERO), b"");
        assert_eq!(names(&fields), ["d"]);
    }

    #[test]
    fn no_lease_is_longer_than_the_log_knows_it() {
        let mut fields = Fields::default();
        put(&mut fields, 0, "a", u64::MAX);
        put(&mut fields, LEASE_MS_MAX - 1, "b", 1000);
        assert_eq!(names(&fields), ["a", "b"]);
        put(&mut fields, LEASE_MS_MAX, "b", 1000);
        assert_eq!(names(&fields), ["b"]);
    }

    #[test]
    fn what_is_over_takes_no_room() {
        let mut fields = Fields::default();
        (0..2 * SWEEP as u64).for_each(|n| put(&mut fields, n, &n.to_string(), 1));
        assert!(fields.bytes < SWEEP * (OVERHEAD_BYTES + 10), "{}", fields.bytes);
        put(&mut fields, 1_000_000, "last", 1);
        fields.sweep();
        assert_eq!(fields.bytes, cost("t", "last", b"v"));
    }
}
