//! How near the server is to its limits, by what limits it.
//!
//! Owns the five sources and their numbers. Never reads any.

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Memory: what the server counts as held, against the budget; what the process takes, against
    /// the limit of the system.
    Memory,
    /// Descriptors, against RLIMIT_NOFILE.
    Descriptors,
    /// The longest turn of a loop within a second, against half a second.
    Lag,
    /// What waits: owed to slow peers, come in part, or in a mailbox; each against its limit.
    Queue,
    /// The processor time of a loop's thread, against the whole of one, if that goes on.
    Cpu,
}

impl Source {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Descriptors, Self::Lag, Self::Queue, Self::Cpu];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Lag => "lag",
            Self::Queue => "queue",
            Self::Cpu => "cpu",
        }
    }
}

/// The pressure of each [`Source`], in per cent of its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure(pub [f64; Source::ALL.len()]);

impl Pressure {
    /// The highest, and where it comes from.
    pub fn highest(&self) -> (Source, f64) {
        let of = |source: Source| (source, self.0[source as usize]);
        let sources = Source::ALL.into_iter().map(of);
        sources.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((Source::Memory, 0.0))
    }
}

/// A part in per cent of the whole; nothing of what has no limit.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 || whole == u64::MAX { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_source_is_named() {
        let pressure = Pressure([10.0, 0.0, 99.5, 80.0, 3.0]);
        assert_eq!(pressure.highest(), (Source::Lag, 99.5));
        assert!(Source::ALL.iter().enumerate().all(|(number, one)| *one as usize == number));
        assert_eq!([percent(1, 4), percent(1, 0), percent(9, u64::MAX)], [25.0, 0.0, 0.0]);
    }
}
