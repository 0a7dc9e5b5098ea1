//! What the limits of a server come to, in memory.
//!
//! Owns the arithmetic: what each limit can cost at worst, what is left of a budget for the sums
//! that the engine bounds, and the words for limits that do not fit. Never measures.

use std::fmt::{self, Write};

use crate::extension::Mode;
use crate::hub::outbox::LATE_BYTES_MAX;
use crate::hub::recovery::{ANSWERS_BYTES_MAX, PAGE_BYTES_MAX};
use crate::hub::waiting::HELD_BYTES_OF_ALL_MAX;
use crate::net;

/// The program, its threads and what it serves.
const PROGRAM_BYTES: u64 = 16 << 20;

/// The tables of the engine, a member of the hub with a long name that is in no room, and who it
/// comes from.
const CONNECTION_BYTES: u64 = 128 + 512 + 448;

/// A room of one member, with a long name.
const ROOM_BYTES: u64 = 448;

/// What a token may say: 64 patterns of rooms.
const TOKEN_BYTES: u64 = 12 << 10;

/// A session of TLS: a record that has come in part, one that was not taken yet, and its keys.
const TLS_BYTES: u64 = 64 << 10;

/// A header of the PROXY protocol that has come in part.
const PROXY_BYTES: u64 = 4 << 10;

/// What a turn may hold beside one message: bytes and pieces that are written when they are so
/// many, each in a table that doubles.
const TURN_BYTES: u64 = 6 << 20;

/// The compressors that connections share.
const COMPRESSION_BYTES: u64 = 3 << 20;

/// A backlog may take twice what it is charged, and all of them an eighth more within a turn.
const BACKLOG_FACTOR: u64 = 9;
const BACKLOG_DIVISOR: u64 = 4;

/// What members say that wait for another loop or the store, of one loop.
const HELD_BYTES: u64 = HELD_BYTES_OF_ALL_MAX as u64;

/// What the answers take that go from one loop to another, and one more.
const ANSWERS_BYTES: u64 = (ANSWERS_BYTES_MAX + PAGE_BYTES_MAX) as u64;

const ADVICE: &str =
    "lower a limit, such as --max-connections, --max-message, --max-rooms or --history-bytes";

/// As much as a mailbox has at least, in pieces.
const MAIL_MIN: usize = 64;

/// Something that has a bound of its own, whatever the limits of the engine are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What it takes at worst, on all loops together.
    pub bytes: u64,
    /// What it is.
    pub words: &'static str,
}

/// What is laid down for a server.
#[derive(Clone, Debug)]
pub struct Server<'a> {
    /// How many loops it has.
    pub loops: usize,
    /// The limits of each. Where its sums have a limit, that is kept to.
    pub engine: &'a net::Config,
    /// How many rooms a connection may be in.
    pub rooms_max: usize,
    /// Whether tokens are taken.
    pub takes_tokens: bool,
    /// Whether connections may be TLS.
    pub speaks_tls: bool,
    /// What else is bounded: histories, what waits for the store, tables.
    pub others: &'a [Bound],
}

/// A budget that all limits together keep to.
///
/// ```
/// use throng::hub::overload::{Budget, Server};
/// use throng::net::Config;
///
/// let mut engine = Config { connections_max: 1_000, ..Config::default() };
/// let (takes_tokens, speaks_tls) = (false, false);
/// let others = &[];
/// let server =
///     Server { loops: 1, engine: &engine, rooms_max: 10, takes_tokens, speaks_tls, others };
/// let budget = Budget::new(512 << 20, &server)?;
/// budget.apply(&mut engine);
/// assert!(engine.backlogs_bytes_max < 512 << 20);
/// # Ok::<(), throng::hub::overload::OverBudget>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    bytes: u64,
    items: Vec<Item>,
    backlogs_bytes_max: usize,
    partial_bytes_max: usize,
    mailbox_max: usize,
}

/// The limits need more memory than there is: the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverBudget(String);

/// What something takes at worst.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    bytes: u64,
    words: String,
}

impl Budget {
    /// Shares a budget out: what the limits need, and the rest to slow peers and to what has come
    /// in part.
    ///
    /// # Errors
    /// The limits need more.
    pub fn new(bytes: u64, server: &Server<'_>) -> Result<Self, OverBudget> {
        let (engine, loops) = (server.engine, server.loops.max(1) as u64);
        let message = engine.settings.message_bytes_max;
        let mailbox_max = mailbox_max(bytes, server);
        let mut items = fixed(server, mailbox_max);
        let spent = items.iter().fold(0_u64, |sum, item| sum.saturating_add(item.bytes));
        let rest = bytes.saturating_sub(spent) / loops;
        // Half for each; what one peer may have must fit, or the limit of one would mean nothing.
        let least_backlogs = (engine.backlog_bytes_max as u64).saturating_add(message);
        let least_partial = message.saturating_add(request_bytes(engine));
        let backlogs = explicit(engine.backlogs_bytes_max)
            .unwrap_or((rest / 2 / BACKLOG_FACTOR * BACKLOG_DIVISOR).max(least_backlogs));
        let partial = explicit(engine.partial_bytes_max)
            .unwrap_or((rest / 2).saturating_sub(message).max(least_partial.saturating_mul(2)) / 2);
        let each = |part: u64, words: String| Item { bytes: part.saturating_mul(loops), words };
        items.push(each(
            backlogs.saturating_mul(BACKLOG_FACTOR) / BACKLOG_DIVISOR,
            format!("slow peers: {} owed a loop, 2.25 times", size(backlogs)),
        ));
        items.push(each(
            partial.saturating_mul(2).saturating_add(message),
            format!("messages and requests in part: {} a loop, twice, and one", size(partial)),
        ));
        let budget = Self {
            bytes,
            items,
            backlogs_bytes_max: count(backlogs),
            partial_bytes_max: count(partial),
            mailbox_max,
        };
        if budget.needed() > bytes || backlogs < least_backlogs || partial < least_partial {
            return Err(OverBudget(format!("{budget}\n{ADVICE}")));
        }
        Ok(budget)
    }

    /// What all limits together come to, in bytes.
    pub fn needed(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.bytes))
    }

    /// Has the engine keep to it.
    pub const fn apply(&self, engine: &mut net::Config) {
        engine.backlogs_bytes_max = self.backlogs_bytes_max;
        engine.partial_bytes_max = self.partial_bytes_max;
        engine.mailbox_max = self.mailbox_max;
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, bytes) = (size(self.needed()), size(self.bytes));
        writeln!(f, "the limits come to {needed}, and the memory budget is {bytes}:")?;
        let lines =
            self.items.iter().map(|item| format!("  {:>10}  {}", size(item.bytes), item.words));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// What does not depend on how much is left.
fn fixed(server: &Server<'_>, mailbox_max: usize) -> Vec<Item> {
    let (engine, loops) = (server.engine, server.loops.max(1) as u64);
    let message = engine.settings.message_bytes_max;
    let compression = match engine.deflate.mode {
        Mode::Off => 0,
        Mode::Shared => COMPRESSION_BYTES,
        Mode::Dedicated => COMPRESSION_BYTES + engine.deflate_budget_bytes as u64,
    };
    let buffers = TURN_BYTES + engine.receive_buffer_bytes as u64 + compression;
    let a_loop = buffers.saturating_add(message.saturating_mul(2)); // as it is, and compressed
    let connections = (engine.connections_max as u64).saturating_mul(loops);
    let mut connection = CONNECTION_BYTES + (server.rooms_max as u64).saturating_mul(ROOM_BYTES);
    let mut with = format!("up to {} rooms", server.rooms_max);
    if server.takes_tokens {
        connection += TOKEN_BYTES;
        with += ", a token";
    }
    if server.speaks_tls {
        connection += TLS_BYTES;
        with += ", TLS";
    }
    if engine.proxy_protocol {
        connection += PROXY_BYTES;
        with += ", a PROXY header";
    }
    let piece = mail_bytes(server);
    let mail = (mailbox_max as u64).saturating_mul(piece).saturating_mul(loops);
    let mut words = String::new();
    let mut item = |bytes: u64, args: fmt::Arguments<'_>| {
        words.clear();
        let _ = words.write_fmt(args); // to a string
        Item { bytes, words: words.clone() }
    };
    let mut items = vec![
        item(PROGRAM_BYTES, format_args!("the program")),
        item(
            a_loop.saturating_mul(loops),
            format_args!("{loops} x {}: buffers, compression, a message", size(a_loop)),
        ),
        item(
            connection.saturating_mul(connections),
            format_args!("{connections} connections x {}: {with}", size(connection)),
        ),
        item(mail, format_args!("mail: {mailbox_max} pieces of {} a loop", size(piece))),
        item(
            (HELD_BYTES + ANSWERS_BYTES).saturating_mul(loops),
            format_args!("members that wait for an answer, and answers under way"),
        ),
    ];
    if loops > 1 {
        let late = (LATE_BYTES_MAX as u64).saturating_add(message).saturating_mul(loops);
        items.push(item(late, format_args!("what loops that are behind have yet to hear")));
    }
    let others = server.others.iter().filter(|other| other.bytes > 0);
    items.extend(others.map(|other| item(other.bytes, format_args!("{}", other.words))));
    items
}

/// The largest piece of mail: what another loop, or the HTTP interface, publishes.
fn mail_bytes(server: &Server<'_>) -> u64 {
    let body = server.engine.body_bytes_max as u64;
    if server.loops > 1 { body.max(server.engine.settings.message_bytes_max) } else { body }
}

/// So much mail as fits in an eighth of the budget.
fn mailbox_max(bytes: u64, server: &Server<'_>) -> usize {
    let share = bytes / 8 / server.loops.max(1) as u64;
    count(share / mail_bytes(server).max(1))
        .clamp(MAIL_MIN, server.engine.mailbox_max.max(MAIL_MIN))
}

/// The largest request.
const fn request_bytes(engine: &net::Config) -> u64 {
    2 * (engine.head.head_bytes_max as u64 + engine.body_bytes_max as u64)
}

/// A limit that is one.
fn explicit(limit: usize) -> Option<u64> {
    (limit != usize::MAX).then_some(limit as u64)
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A size for people.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, bits)| bytes >= 1 << bits) {
        Some((unit, bits)) => format!("{:.1} {unit}", bytes as f64 / f64::from(1_u32 << bits)),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> net::Config {
        let mut engine = net::Config { connections_max: 1_000, ..net::Config::default() };
        engine.settings.message_bytes_max = 1 << 20;
        engine
    }

    fn server(engine: &net::Config) -> Server<'_> {
        let (takes_tokens, speaks_tls) = (true, false);
        Server { loops: 2, engine, rooms_max: 10, takes_tokens, speaks_tls, others: &[] }
    }

    #[test]
    fn what_is_left_is_shared_out_and_all_of_it_fits() {
        let mut engine = engine();
        for mib in [320, 400, 1_000, 50_000] {
            let budget = Budget::new(mib << 20, &server(&engine)).unwrap();
            let needed = budget.needed();
            assert!(needed <= mib << 20, "{mib}: {budget}");
            assert!(needed > (mib << 20) / 10 * 9, "{mib}: {budget}");
        }
        let budget = Budget::new(1 << 30, &server(&engine)).unwrap();
        budget.apply(&mut engine);
        assert!(engine.backlogs_bytes_max > 64 << 20 && engine.partial_bytes_max > 64 << 20);
        // What was laid down is kept to, also when it is asked again.
        assert_eq!(Budget::new(1 << 30, &server(&engine)).unwrap().needed(), budget.needed());
    }

    #[test]
    fn limits_that_do_not_fit_are_refused_with_the_arithmetic() {
        let engine = net::Config::default();
        let words = Budget::new(1 << 30, &server(&engine)).unwrap_err().to_string();
        assert!(words.contains("2000000 connections x 17.4 KiB"), "{words}");
        assert!(words.contains("and the memory budget is 1.0 GiB"), "{words}");
        let mut large = self::engine();
        large.settings.message_bytes_max = u64::MAX;
        assert!(Budget::new(1 << 40, &server(&large)).is_err());
        let small = net::Config { backlogs_bytes_max: 1 << 20, ..self::engine() };
        let words = Budget::new(1 << 30, &server(&small)).unwrap_err().to_string();
        assert!(words.contains("slow peers: 1.0 MiB owed a loop"), "{words}");
    }

    /// All that is listed is what all comes to, and what has a bound of its own is listed.
    #[test]
    fn the_arithmetic_adds_up() {
        let engine = engine();
        let others = [
            Bound { bytes: 64 << 20, words: "histories" },
            Bound { bytes: 20 << 20, words: "what waits for the store" },
            Bound { bytes: 0, words: "what is off" },
        ];
        let with = Server { others: &others, ..server(&engine) };
        let (budget, without) =
            (Budget::new(1 << 30, &with), Budget::new(1 << 30, &server(&engine)));
        let (budget, without) = (budget.unwrap(), without.unwrap());
        let sum = |budget: &Budget| budget.items.iter().map(|item| item.bytes).sum::<u64>();
        assert_eq!(sum(&budget), budget.needed());
        let lines = budget.to_string();
        for words in
            ["64.0 MiB  histories", "20.0 MiB  what waits for the store", "34.0 MiB  members"]
        {
            assert!(lines.contains(words), "{words}: {lines}");
        }
        assert!(!lines.contains("what is off"), "{lines}");
        let fixed = |budget: &Budget| {
            let shared = ["slow peers", "messages and requests"];
            let fixed = |item: &&Item| !shared.iter().any(|words| item.words.starts_with(words));
            budget.items.iter().filter(fixed).map(|item| item.bytes).sum::<u64>()
        };
        assert_eq!(fixed(&budget), fixed(&without) + (84 << 20));
        assert!(budget.backlogs_bytes_max < without.backlogs_bytes_max, "the rest is less");
    }
}
