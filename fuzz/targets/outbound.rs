//! The write half: whatever is sent, in any order, the other end's read half gets it, in order, and
//! nothing after the Close.
//!
//! The input: role, the cuts, then steps of three bytes and a payload each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::frame::CloseCode;
use throng::proto::{
    Close, Inbound, Message, MessageKind, Outbound, ProtocolError, Role, SendError, Settings,
    SharedFrame, Spare,
};
use throng_fuzz::{Cuts, Plan, Seen, Story};

/// No more is sent than this and one message.
const WIRE_BYTES_MAX: usize = 32 << 10;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let receiver = if plan.byte() & 1 == 0 { Role::Server } else { Role::Client };
    let cuts = plan.cuts();
    let mut sender = Sender {
        outbound: Outbound::new(),
        masks: receiver == Role::Server,
        wire: Vec::new(),
        expected: Story::default(),
        closing: false,
        done: false,
    };
    while !plan.is_used_up() && sender.wire.len() < WIRE_BYTES_MAX {
        sender.step(&mut plan);
    }
    assert_eq!(receive(&sender.wire, cuts, &Settings::new(receiver)), sender.expected);
});

/// The write half under test, and what is expected of it.
struct Sender {
    outbound: Outbound,
    masks: bool,
    wire: Vec<u8>,
    expected: Story,
    /// Our Close has been sent.
    closing: bool,
    /// Nothing more may be sent.
    done: bool,
}

impl Sender {
    fn step(&mut self, plan: &mut Plan<'_>) {
        let [kind, len, key] = plan.bytes();
        let payload = plan.take(usize::from(len % 64));
        let times = [1, 1, 1, if len == 255 { 1200 } else { 7 }][usize::from(len >> 6)];
        let payload = payload.repeat(times);
        let mask = self.masks.then_some([key, kind, 0, !key]);
        let before = self.wire.len();
        match kind % 16 {
            0..=6 => self.message(kind, &payload, mask),
            7..=10 => self.control(kind, &payload, mask),
            11 | 12 => self.close(key, &String::from_utf8_lossy(&payload), mask),
            13 => self.receive_close(key, &String::from_utf8_lossy(&payload), mask),
            14 => self.fail(key, mask),
            _ => self.fail_with(key, &String::from_utf8_lossy(&payload), mask),
        }
        assert_eq!(self.outbound.is_open(), !self.closing);
        assert_eq!(self.outbound.is_done(), self.done);
        assert!(self.wire.len() >= before);
    }

    fn message(&mut self, kind: u8, payload: &[u8], mask: Option<[u8; 4]>) {
        let text = String::from_utf8_lossy(payload);
        let message = if kind & 1 == 0 { Message::text(&text) } else { Message::binary(payload) };
        let before = self.wire.len();
        let sent = self.outbound.send(message, mask, &mut self.wire);
        if self.closing {
            assert_eq!((sent, self.wire.len()), (Err(SendError::Closed), before));
            return;
        }
        assert_eq!(sent, Ok(()));
        if !self.masks {
            assert_eq!(SharedFrame::new(message).bytes(), &self.wire[before..]);
        }
        let Message { kind, payload } = message;
        self.expected.events.push(Seen::Data { kind, payload: payload.to_vec(), ended: true });
        assert_eq!(message.as_text().is_some(), kind == MessageKind::Text);
    }

    /// A ping is a thing of ours, until our Close; a pong is owed until the peer's.
    fn control(&mut self, kind: u8, payload: &[u8], mask: Option<[u8; 4]>) {
        let (is_ping, before) = (kind & 1 == 0, self.wire.len());
        let body = payload[..payload.len().min(125)].to_vec();
        let (sent, refused) = if is_ping {
            (self.outbound.ping(payload, mask, &mut self.wire), self.closing)
        } else {
            (self.outbound.pong(payload, mask, &mut self.wire), self.done)
        };
        if refused {
            assert_eq!((sent, self.wire.len()), (Err(SendError::Closed), before));
            return;
        }
        assert_eq!(sent, Ok(()));
        if !self.closing {
            self.expected.events.push(if is_ping { Seen::Ping(body) } else { Seen::Pong(body) });
        } // behind our Close the other end listens no more
    }

    fn close(&mut self, key: u8, reason: &str, mask: Option<[u8; 4]>) {
        let code = code(key);
        let sent = self.outbound.close(Close { code, reason }, mask, &mut self.wire);
        assert_eq!(sent.is_err(), self.closing);
        self.expect_close(code, reason);
    }

    fn receive_close(&mut self, key: u8, reason: &str, mask: Option<[u8; 4]>) {
        let code = code(key);
        self.outbound.receive_close(Close { code, reason }, mask, &mut self.wire);
        self.expect_close(code, "");
        self.done = true;
    }

    fn fail(&mut self, key: u8, mask: Option<[u8; 4]>) {
        let faults = [
            ProtocolError::ReservedBits,
            ProtocolError::Unmasked,
            ProtocolError::CloseTooShort,
            ProtocolError::InvalidUtf8(throng::frame::InvalidUtf8),
            ProtocolError::MessageTooBig,
        ];
        let fault = faults[usize::from(key) % faults.len()];
        self.outbound.fail(fault, mask, &mut self.wire);
        self.expect_close(Some(fault.close_code()), &fault.to_string());
        self.done = true;
    }

    fn fail_with(&mut self, key: u8, reason: &str, mask: Option<[u8; 4]>) {
        let code = code(key).unwrap_or(CloseCode::NORMAL);
        self.outbound.fail_with(code, reason, mask, &mut self.wire);
        self.expect_close(Some(code), reason);
        self.done = true;
    }

    /// One Close, the first; its reason as many whole characters as fit.
    fn expect_close(&mut self, code: Option<CloseCode>, reason: &str) {
        if self.closing {
            return;
        }
        self.closing = true;
        let mut fits = String::new();
        for char in reason.chars().take_while(|_| code.is_some()) {
            if fits.len() + char.len_utf8() > 123 {
                break;
            }
            fits.push(char);
        }
        self.expected.events.push(Seen::Close { code: code.map(CloseCode::get), reason: fits });
    }
}

fn code(key: u8) -> Option<CloseCode> {
    CloseCode::new([1000, 1001, 1005, 1011, 3000, 4999][usize::from(key) % 6])
}

fn receive(wire: &[u8], mut cuts: Cuts<'_>, settings: &Settings) -> Story {
    let (mut inbound, mut spare) = (Inbound::new(), Spare::default());
    let (mut story, mut at) = (Story::default(), 0);
    let mut wire = wire.to_vec();
    while at < wire.len() {
        let end = at + cuts.next(wire.len() - at);
        let mut events = inbound.receive(settings, &mut spare, &mut wire[at..end]);
        while let Some(event) = events.next() {
            story.take(&event.expect("what we send is what we take"));
        }
        at = end;
    }
    story
}
