//! The read half beside tungstenite's: the same bytes bring the same messages, and the same end,
//! but for the differences that are named here.
//!
//! The input: the role, then a script of frames or the bytes themselves.

#![no_main]

use std::io::{self, Read, Write};

use libfuzzer_sys::fuzz_target;
use throng::frame::HeaderError;
use throng::proto::{Inbound, MessageKind, ProtocolError, Role, Settings, Spare};
use throng_fuzz::{Plan, Seen, Story, script};
use tungstenite::error::{Error, ProtocolError as TheirError};
use tungstenite::protocol::{self, WebSocket, WebSocketConfig};

const MESSAGE_BYTES_MAX: usize = 300_000;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let which = plan.byte();
    let role = if which & 1 == 0 { Role::Server } else { Role::Client };
    let stream = if which & 2 == 0 { script::stream(plan, role) } else { plan.rest().to_vec() };
    compare(&stream, role);
});

/// How a view of a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It waits for more.
    Waits,
    Fails,
    Closed,
}

fn ours(stream: &[u8], role: Role) -> Story {
    let mut settings = Settings::new(role);
    settings.message_bytes_max = MESSAGE_BYTES_MAX as u64;
    let (mut inbound, mut spare, mut story) = (Inbound::new(), Spare::default(), Story::default());
    let mut stream = stream.to_vec();
    let mut events = inbound.receive(&settings, &mut spare, &mut stream);
    while let Some(event) = events.next() {
        match event {
            Ok(event) => story.take(&event),
            Err(fault) => story.fail(fault),
        }
    }
    story
}

/// A stream that was received as a whole.
struct Replay<'a>(&'a [u8]);

impl Read for Replay<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Replay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(stream: &[u8], role: Role) -> (Vec<Seen>, End) {
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let most = Some(MESSAGE_BYTES_MAX);
    let config = WebSocketConfig::default().max_message_size(most).max_frame_size(most);
    let mut socket = WebSocket::from_raw_socket(Replay(stream), role, Some(config));
    let data = |kind, payload: &[u8]| Seen::Data { kind, payload: payload.to_vec(), ended: true };
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(tungstenite::Message::Text(text)) => data(MessageKind::Text, text.as_bytes()),
            Ok(tungstenite::Message::Binary(bytes)) => data(MessageKind::Binary, &bytes),
            Ok(tungstenite::Message::Ping(bytes)) => Seen::Ping(bytes.to_vec()),
            Ok(tungstenite::Message::Pong(bytes)) => Seen::Pong(bytes.to_vec()),
            Ok(tungstenite::Message::Close(close)) => {
                let (code, reason) = match close {
                    Some(close) => (Some(close.code.into()), close.reason.to_string()),
                    None => (None, String::new()),
                };
                seen.push(Seen::Close { code, reason });
                return (seen, End::Closed);
            }
            Ok(tungstenite::Message::Frame(_)) => panic!("read gives no raw frames"),
            Err(Error::Protocol(TheirError::ResetWithoutClosingHandshake)) => {
                return (seen, End::Waits);
            }
            Err(_) => return (seen, End::Fails),
        });
    }
}

fn compare(stream: &[u8], role: Role) {
    let Story { events, fault } = ours(stream, role);
    let (seen, end) = theirs(stream, role);
    let Some(fault) = fault else {
        if let Some((Seen::Close { code: Some(1014), .. }, before)) = events.split_last() {
            // It does not know this code of the IANA registry, and reports another.
            return assert_eq!(seen[..seen.len() - 1], *before);
        }
        assert_eq!(events, seen, "{role:?} {end:?}");
        let is_closed = matches!(events.last(), Some(Seen::Close { .. }));
        return assert_eq!(end, if is_closed { End::Closed } else { End::Waits });
    };
    match (fault, end) {
        // It takes lengths in any form (RFC 6455 section 5.2: "the minimal number of bytes MUST be
        // used"), it does not count fragments, and it waits for a frame to be whole before it
        // judges it: in each it goes on where we have stopped.
        (
            ProtocolError::Header(HeaderError::LengthNotMinimal) | ProtocolError::TooManyFragments,
            _,
        )
        | (_, End::Waits) => assert!(seen.starts_with(&events), "{fault:?}: {events:?} {seen:?}"),
        // It hands on a Close with a code that may not be sent, under another code.
        (ProtocolError::CloseCode, End::Closed) => assert_eq!(seen[..seen.len() - 1], events),
        (_, End::Fails) => assert_eq!(seen, events, "{fault:?}"),
        (fault, End::Closed) => panic!("{fault:?} here, a clean close there"),
    }
}
