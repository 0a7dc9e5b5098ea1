//! `throng serve`: the options of overload protection, and the guard that they make.
//!
//! Owns their names and how sizes and rules of rooms are written. What they mean is for
//! [`throng::hub::overload`].

use std::io;
use std::sync::Arc;

use clap::Args;
use throng::hub::auth::{Pattern, Priority};
use throng::hub::overload::{self, Bound, Budget, Guard, RoomRules, Server};
use throng::net::{BacklogPolicy, Config};

use super::settings::Misfit;

/// Options of overload protection.
#[derive(Debug, Args)]
pub struct OverloadOptions {
    /// What the server may take of memory, in bytes, or with K, M or G: it does not start where its
    /// limits together come to more, and sheds load before it is used up.
    #[arg(long, value_name = "BYTES", help_heading = "Overload", value_parser = bytes)]
    memory_budget: Option<u64>,
    /// Shed load when memory, descriptors, queues, the loops or the processor come to their end:
    /// messages of low priority first, then presence and compression, then new connections.
    /// --memory-budget says so too.
    #[arg(long, help_heading = "Overload")]
    degrade: bool,
    /// What all slow peers of a loop may be owed together, in bytes, or with K, M or G; past it,
    /// those who are owed most get Close 1013. Default: what --memory-budget leaves for it.
    #[arg(long, value_name = "BYTES", help_heading = "Overload", value_parser = bytes)]
    backlogs_bytes: Option<u64>,
    /// What may be held of messages and requests that have come in part, a loop, in bytes, or with
    /// K, M or G; past it, those of whom most is held get Close 1013, or 503. Default: what
    /// --memory-budget leaves for it.
    #[arg(long, value_name = "BYTES", help_heading = "Overload", value_parser = bytes)]
    partial_bytes: Option<u64>,
    /// How much the messages of rooms matter: low, normal or high; `chatter.*=low`. May be given
    /// more than once: the first pattern that matches holds.
    #[arg(long, value_name = "PATTERN=LEVEL", help_heading = "Overload", value_parser = priority)]
    room_priority: Vec<(Pattern, Priority)>,
    /// What becomes of the messages of rooms for members that read too slowly: close, drop-oldest,
    /// drop-newest or keep-latest (of each `key` of a message); `prices.*=keep-latest`. May be
    /// given more than once: the first pattern that matches holds.
    #[arg(long, value_name = "PATTERN=POLICY", help_heading = "Overload", value_parser = backlog)]
    room_backlog: Vec<(Pattern, BacklogPolicy)>,
}

/// What the other options say of the server.
#[derive(Debug)]
pub struct Wanted {
    pub loops: usize,
    pub rooms_max: usize,
    pub takes_tokens: bool,
    pub speaks_tls: bool,
    /// What has a bound of its own.
    pub others: Vec<Bound>,
}

impl OverloadOptions {
    /// What holds for rooms by their names.
    pub fn room_rules(&self) -> RoomRules {
        RoomRules::new(self.room_priority.iter().cloned(), self.room_backlog.iter().cloned())
    }

    /// Has the engine keep to the budget.
    ///
    /// # Errors
    /// The limits need more memory than the budget has: the arithmetic.
    pub fn settle(&self, wanted: &Wanted, engine: &mut Config) -> Result<(), Misfit> {
        engine.backlogs_bytes_max = limit(self.backlogs_bytes);
        engine.partial_bytes_max = limit(self.partial_bytes);
        if let Some(bytes) = self.memory_budget {
            let Wanted { loops, rooms_max, takes_tokens, speaks_tls, ref others } = *wanted;
            let server = Server { loops, engine, rooms_max, takes_tokens, speaks_tls, others };
            let budget =
                Budget::new(bytes, &server).map_err(|error| Misfit::new("memory_budget", error))?;
            tracing::info!("{budget}");
            budget.apply(engine);
        }
        Ok(())
    }

    /// Has the pressure watched, by the limits that were settled, and the level where that was
    /// asked for.
    ///
    /// # Errors
    /// What the system says of a thread.
    pub fn guard(&self, engine: &Config) -> io::Result<Arc<Guard>> {
        let guard = Arc::<Guard>::default();
        let limits = overload::Limits {
            memory_bytes: self.memory_budget.unwrap_or(u64::MAX),
            backlogs_bytes: no_limit(engine.backlogs_bytes_max),
            partial_bytes: no_limit(engine.partial_bytes_max),
            mail: engine.mailbox_max as u64,
        };
        overload::watch(&guard, limits, self.degrade || self.memory_budget.is_some())?;
        Ok(guard)
    }
}

fn limit(bytes: Option<u64>) -> usize {
    bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

const fn no_limit(bytes: usize) -> u64 {
    if bytes == usize::MAX { u64::MAX } else { bytes as u64 }
}

/// A size: bytes, or with K, M or G.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.as_bytes() {
        [number @ .., b'k' | b'K'] => (number.len(), 10),
        [number @ .., b'm' | b'M'] => (number.len(), 20),
        [number @ .., b'g' | b'G'] => (number.len(), 30),
        number => (number.len(), 0),
    };
    let words = "must be a number of bytes, or one with K, M or G";
    let number: u64 = text[..number].parse().map_err(|_| words.to_owned())?;
    let bytes = number.checked_mul(1 << shift).ok_or("is too large")?;
    if bytes == 0 { Err("must be more than 0".into()) } else { Ok(bytes) }
}

fn priority(text: &str) -> Result<(Pattern, Priority), String> {
    rule(
        text,
        "the priority",
        [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)],
    )
}

fn backlog(text: &str) -> Result<(Pattern, BacklogPolicy), String> {
    rule(
        text,
        "the policy",
        [
            ("close", BacklogPolicy::Close),
            ("drop-oldest", BacklogPolicy::DropOldest),
            ("drop-newest", BacklogPolicy::DropNewest),
            ("keep-latest", BacklogPolicy::KeepLatest),
        ],
    )
}

/// A pattern of rooms and what is laid down for them. The last `=` parts them: a pattern may have
/// one too.
fn rule<T: Copy, const N: usize>(
    text: &str,
    what: &str,
    values: [(&str, T); N],
) -> Result<(Pattern, T), String> {
    let (pattern, name) = text.rsplit_once('=').ok_or("must be PATTERN=VALUE")?;
    let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let names = values.map(|(name, _)| name).join(", ");
    let value = value.ok_or_else(|| format!("{what} must be one of {names}"))?;
    Ok((Pattern::new(pattern)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table = [("7", 7), ("64K", 64 << 10), ("512M", 512 << 20), ("2g", 2 << 30)];
        for (text, expected) in table {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "K", "-1", "1.5G", "1T", "99999999999G", "1é", "é"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules() {
        let (pattern, policy) = backlog("a=b.*=keep-latest").expect("a rule");
        assert!(pattern.matches("a=b.c") && policy == BacklogPolicy::KeepLatest);
        assert_eq!(priority("x=low").expect("a rule").1, Priority::Low);
        let words = priority("x=lowest").expect_err("no priority");
        assert_eq!(words, "the priority must be one of low, normal, high");
        for bad in ["low", "=low", "x=", "x"] {
            assert!(priority(bad).is_err(), "{bad}");
        }
    }
}
