//! A whole hub in memory, with members who speak Protobuf and one who speaks JSON. The input:
//! pieces, each a byte that says whose it is, a byte that says how long, and then as many bytes of
//! one message. Whatever comes, each member gets frames of its own kind that can be read, and
//! nothing panics.

#![no_main]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use throng::hub::protobuf::{Delivery, DeliveryType, Message};
use throng::hub::{Config, Hub, Mail};
use throng::net::{self, EventLoop, Mailbox, Mailboxes};
use throng_fuzz::memory::{Memory, MemoryClock, MemoryPoll, MemoryRandom, Shared};

const TARGETS: [(&str, bool); 4] = [
    ("/ws?room=r&name=ann", true),
    ("/ws?room=r&name=bob", false),
    ("/", true),
    ("/ws?room=r&name=ann", true),
];

/// How often the loop may turn for one piece.
const TURNS_MAX: usize = 64;

struct Play {
    world: Shared,
    hub: EventLoop<Hub, Memory>,
    /// The link of each client.
    links: [usize; TARGETS.len()],
}

fuzz_target!(|input: &[u8]| {
    let mut play = Play::new();
    let mut rest = input;
    for _ in 0..200 {
        let [who, len, next @ ..] = rest else { return };
        let (message, next) = next.split_at(usize::from(*len).min(next.len()));
        rest = next;
        match who {
            b'@' => play.world.borrow_mut().now += Duration::from_secs(7),
            _ => play.send(usize::from(*who) % TARGETS.len(), message),
        }
        play.settle();
    }
});

impl Play {
    fn new() -> Self {
        let world: Shared = Rc::default();
        let mailbox: Mailbox<Mail> = Mailbox::new(64, world.borrow().waker());
        let mailboxes: Mailboxes<Mail> = Arc::from([mailbox.clone()]);
        let (rooms_max, presence_max, faults_per_minute_max) = (3, 2, 20);
        let config = Config { rooms_max, presence_max, faults_per_minute_max, ..Config::default() };
        let hub = EventLoop::new(
            net::Config::default(),
            Hub::with_config(0, mailboxes, config),
            mailbox,
            MemoryPoll(Rc::clone(&world)),
            MemoryClock(Rc::clone(&world)),
            MemoryRandom(Rc::clone(&world)),
        );
        let mut play = Self { world, hub, links: [0; TARGETS.len()] };
        (0..TARGETS.len()).for_each(|client| play.connect(client));
        play.settle();
        play
    }

    fn connect(&mut self, client: usize) {
        let (target, is_twin) = TARGETS[client];
        let form = if is_twin { "proto" } else { "json" };
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: throng.v1.{form}\r\n\r\n",
        );
        self.links[client] = self.world.borrow_mut().connect(request.as_bytes());
    }

    /// One binary frame, masked with zeros; of who speaks JSON one of text.
    fn send(&mut self, client: usize, message: &[u8]) {
        let is_twin = TARGETS[client].1;
        let text = String::from_utf8_lossy(message);
        let (opcode, payload) = if is_twin { (2, message) } else { (1, text.as_bytes()) };
        let mut frame = vec![0x80 | opcode, 0xfe];
        frame.extend((payload.len() as u16).to_be_bytes()); // at most 255, or three times as much
        if payload.len() < 126 {
            frame = vec![0x80 | opcode, 0x80 | payload.len() as u8];
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.world.borrow_mut().send(self.links[client], &frame);
    }

    /// Turns until nothing is left to do, and reads what the clients were sent.
    fn settle(&mut self) {
        let mut turns = 0;
        while self.world.borrow().has_news() && turns < TURNS_MAX {
            self.hub.turn().expect("memory does not fail");
            turns += 1;
        }
        assert!(turns < TURNS_MAX, "the loop does not come to rest");
        for (client, link) in self.links.into_iter().enumerate() {
            let bytes = std::mem::take(&mut self.world.borrow_mut().links[link].outbox);
            check(&bytes, TARGETS[client].1);
            if self.world.borrow().links[link].shut {
                self.connect(client);
            }
        }
    }
}

/// Each frame is a message in the form of its member, or a Close, or a ping.
fn check(bytes: &[u8], is_twin: bool) {
    let mut rest = bytes;
    if rest.starts_with(b"HTTP/1.1 101") {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        rest = &rest[end + 4..];
    }
    while let [first, second, ..] = *rest {
        let (header, len) = match second {
            0..126 => (2, u64::from(second)),
            126 => (4, u64::from(u16::from_be_bytes(rest[2..4].try_into().expect("two")))),
            _ => (10, u64::from_be_bytes(rest[2..10].try_into().expect("eight"))),
        };
        let (payload, next) = rest[header..].split_at(len as usize);
        match first {
            0x81 if !is_twin => {
                let message: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
                assert!(message["type"].is_string(), "{message}");
            }
            0x82 if is_twin => {
                let message = Delivery::decode(payload).expect("Protobuf");
                assert_ne!(message.kind(), DeliveryType::Unspecified, "{message:?}");
                if let Some(content) = &message.content_json {
                    serde_json::from_str::<serde_json::Value>(content).expect("a JSON value");
                }
            }
            0x88 => assert!(next.is_empty(), "something follows the Close"),
            0x89 => {}
            _ => panic!("a frame that begins with {first:#x}"),
        }
        rest = next;
    }
}
