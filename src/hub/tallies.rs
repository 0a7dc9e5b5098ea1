//! What the hub of one loop counts of tokens.
//!
//! Owns the numbers. Never prints: [`Metrics`](super::Metrics) does.

/// What has become of tokens after the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    /// Connections now that have yet to show one.
    pub(super) unknown: u64,
    /// Connections that were let in by their first message.
    pub(super) let_in: u64,
    /// Tokens that were followed by another.
    pub(super) refreshed: u64,
    /// Tokens that were refused, each code with how often.
    pub(super) refused: Vec<(&'static str, u64)>,
}

impl Tallies {
    pub(super) fn refuse(&mut self, code: &'static str) {
        self.add_refused(code, 1);
    }

    /// Adds what another loop has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.unknown += other.unknown;
        self.let_in += other.let_in;
        self.refreshed += other.refreshed;
        for (code, count) in &other.refused {
            self.add_refused(code, *count);
        }
    }

    pub(super) fn add_refused(&mut self, code: &'static str, count: u64) {
        match self.refused.iter_mut().find(|(other, _)| *other == code) {
            Some((_, sum)) => *sum += count,
            None => self.refused.push((code, count)),
        }
    }
}
