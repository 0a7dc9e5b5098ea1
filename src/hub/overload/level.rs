//! How far the server has gone in what it sheds.
//!
//! Owns the four levels and from which pressure on each holds. Never measures.

/// A level. Each sheds what the one before it does, and more.
///
/// ```text
///   Normal ──80 %──► Busy ──90 %──► Degraded ──95 %──► Critical
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is shed.
    #[default]
    Normal,
    /// Messages of low priority are refused: the error `overloaded`.
    Busy,
    /// Nobody is told who comes and goes, and nothing is compressed.
    Degraded,
    /// New WebSockets are refused: 503.
    Critical,
}

impl Level {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Busy, Self::Degraded, Self::Critical];

    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }

    /// The pressure, in per cent, from which on it holds.
    pub const fn from_percent(self) -> f64 {
        match self {
            Self::Normal => 0.0,
            Self::Busy => 80.0,
            Self::Degraded => 90.0,
            Self::Critical => 95.0,
        }
    }

    /// The highest level that holds at this pressure.
    pub fn at(percent: f64) -> Self {
        let holds = |level: &Self| percent >= level.from_percent();
        Self::ALL.into_iter().rev().find(holds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_begins_at_its_threshold() {
        let table = [
            (-1.0, Level::Normal),
            (79.9, Level::Normal),
            (80.0, Level::Busy),
            (90.0, Level::Degraded),
            (94.9, Level::Degraded),
            (95.0, Level::Critical),
            (500.0, Level::Critical),
            (f64::NAN, Level::Normal),
        ];
        for (percent, level) in table {
            assert_eq!(Level::at(percent), level, "{percent}");
        }
        assert!(Level::ALL.iter().enumerate().all(|(number, level)| *level as usize == number));
    }
}
