//! Which trace a connection or a request belongs to (W3C Trace Context).
//!
//! Owns how `traceparent` is read and written, and the traces that are made here where nobody has
//! sent one. A made one is not kept: it follows from the connection's id and a secret of the loop.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::http::Request;
use crate::net::ConnectionId;

/// The header that carries a trace, and the field of the messages that does.
const NAME: &str = "traceparent";

/// The length of version 00, and of the front of what later versions may be.
const LEN: usize = 55;

/// A place in a trace: the trace, the part of it that this is, and what was said about recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// What traces are made from on this loop.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Its keys are random, and no two loops have the same.
    hasher: RandomState,
    requests: u64,
}

/// What a trace is made for, so that no two are the same.
#[derive(Clone, Copy, Debug, Hash)]
enum Of {
    Connection(u64),
    Request(u64),
}

impl Trace {
    /// The trace that a request says it belongs to. What is malformed or there twice counts for
    /// nothing, as the specification wants it (section 3.2.2.5).
    pub(super) fn of(head: &Request<'_>) -> Option<Self> {
        head.all_headers().only(NAME).ok().flatten().and_then(Self::parse)
    }

    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let front = value.get(..LEN)?;
        let [version, trace_id, parent_id, flags] = [0..2, 3..35, 36..52, 53..55]
            .map(|range| front.get(range).filter(|part| part.iter().all(is_digit)));
        let (version, trace_id) = (str::from_utf8(version?).ok()?, str::from_utf8(trace_id?).ok()?);
        let (parent_id, flags) = (str::from_utf8(parent_id?).ok()?, str::from_utf8(flags?).ok()?);
        let has_dashes = [2, 35, 52].iter().all(|at| front[*at] == b'-');
        // Version 00 ends here; a later one may go on, behind a dash.
        let ends_well = match value.get(LEN) {
            None => true,
            Some(next) => version != "00" && *next == b'-',
        };
        let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
        let parent_id = u64::from_str_radix(parent_id, 16).ok()?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let is_sound =
            has_dashes && ends_well && version != "ff" && trace_id != 0 && parent_id != 0;
        is_sound.then_some(Self { trace_id, parent_id, flags })
    }
}

/// Capital letters are not allowed.
fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl fmt::Display for Trace {
    /// As version 00, which has one flag that means something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags & 1)
    }
}

impl Traces {
    /// The place of a connection in the trace that its handshake has brought, else in one of its
    /// own: the same whenever it is asked for.
    pub(super) fn of_connection(&self, id: ConnectionId, sent: Option<&Trace>) -> Trace {
        self.make(Of::Connection(id.to_u64()), sent)
    }

    /// The place of a request, of which a connection may have many.
    pub(super) fn of_request(&mut self, head: &Request<'_>) -> Trace {
        self.requests += 1;
        self.make(Of::Request(self.requests), Trace::of(head).as_ref())
    }

    fn make(&self, of: Of, sent: Option<&Trace>) -> Trace {
        let part = |number: u8| self.hasher.hash_one((of, number));
        let made = || u128::from(part(1)) << 64 | u128::from(part(2)) | 1; // zero is no id
        let (trace_id, flags) = match sent {
            Some(sent) => (sent.trace_id, sent.flags),
            None => (made(), 0),
        };
        Trace { trace_id, parent_id: part(0) | 1, flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<String> {
        Trace::parse(text.as_bytes()).map(|trace| trace.to_string())
    }

    #[test]
    fn what_is_well_formed_is_taken() {
        assert_eq!(parse(SENT).as_deref(), Some(SENT));
        let later = format!("cc{}-what-comes-later", &SENT[2..]);
        assert_eq!(parse(&later).as_deref(), Some(SENT));
        assert_eq!(parse(&SENT.replace("-01", "-ff")).as_deref(), Some(SENT));
    }

    #[test]
    fn what_is_not_counts_for_nothing() {
        let zero_trace = SENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_parent = SENT.replace("00f067aa0ba902b7", &"0".repeat(16));
        for bad in [
            "",
            &SENT[..54],
            &format!("{SENT}-"),
            &format!("{SENT}0"),
            &format!("ff{}", &SENT[2..]),
            &format!("cc{}0", &SENT[2..]),
            &SENT.to_uppercase(),
            &SENT.replace("4b", "+b"),
            &SENT.replace("-00f", "_00f"),
            &SENT.replace("4bf9", "4b\u{e9}"),
            &zero_trace,
            &zero_parent,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_connection_keeps_its_trace_and_no_two_have_the_same() {
        let mut traces = Traces::default();
        let id = ConnectionId::from_u64;
        let one = traces.of_connection(id(1), None);
        assert_eq!(one, traces.of_connection(id(1), None));
        assert_ne!(one.trace_id, traces.of_connection(id(2), None).trace_id);
        assert_ne!(one.trace_id, Traces::default().of_connection(id(1), None).trace_id);
        let sent = Trace::parse(SENT.as_bytes()).unwrap();
        let here = traces.of_connection(id(1), Some(&sent));
        assert_eq!((here.trace_id, here.flags), (sent.trace_id, 1));
        assert_ne!(here.parent_id, sent.parent_id, "a part of its own");
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut slots = crate::http::HeaderSlots::new();
        let limits = crate::http::HeadLimits::default();
        let head = Request::parse(head, &mut slots, &limits).unwrap();
        assert_ne!(traces.of_request(&head), traces.of_request(&head));
    }
}
