//! A whole hub in memory, and clients that send it commands. The input: lines, each a byte that
//! says whose it is, then a text message; some bytes mean something else than a message. Whatever
//! comes, every frame of the hub is one JSON object with a type, and nothing panics.

#![no_main]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use throng::frame::CloseCode;
use throng::hub::{Config, Control, Hub, Mail, Task, To, Who};
use throng::net::{self, EventLoop, Mailbox, Mailboxes};
use throng_fuzz::memory::{Memory, MemoryClock, MemoryPoll, MemoryRandom, Shared};

const TARGETS: [&str; 4] = ["/", "/ws", "/ws?room=r&name=ann", "/ws?room=r&name=bob"];

/// How often the loop may turn for one line.
const TURNS_MAX: usize = 64;

struct Play {
    world: Shared,
    hub: EventLoop<Hub, Memory>,
    control: Control,
    /// The link of each client.
    links: [usize; TARGETS.len()],
}

fuzz_target!(|input: &[u8]| {
    let mut play = Play::new();
    for line in input.split(|byte| *byte == b'\n').take(200) {
        let [who, text @ ..] = line else { continue };
        let client = usize::from(*who) % TARGETS.len();
        match who {
            b'~' => play.from_outside(text),
            b'!' => play.reconnect(usize::from(text.first().copied().unwrap_or(0)) % TARGETS.len()),
            b'@' => play.world.borrow_mut().now += Duration::from_secs(7),
            _ => play.send(client, &String::from_utf8_lossy(text)),
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
            Hub::with_config(0, Arc::clone(&mailboxes), config),
            mailbox,
            MemoryPoll(Rc::clone(&world)),
            MemoryClock(Rc::clone(&world)),
            MemoryRandom(Rc::clone(&world)),
        );
        let mut play = Self { world, hub, control: Control::new(mailboxes), links: [0; 4] };
        (0..TARGETS.len()).for_each(|client| play.connect(client));
        play.settle();
        play
    }

    fn connect(&mut self, client: usize) {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            TARGETS[client]
        );
        self.links[client] = self.world.borrow_mut().connect(request.as_bytes());
    }

    fn reconnect(&mut self, client: usize) {
        self.world.borrow_mut().hang_up(self.links[client]);
        self.settle();
        self.connect(client);
    }

    /// One text frame, masked with zeros.
    fn send(&mut self, client: usize, text: &str) {
        let mut frame = vec![0x81, 0xff];
        frame.extend((text.len() as u64).to_be_bytes());
        if text.len() < 126 {
            frame = vec![0x81, 0x80 | text.len() as u8];
        } else if text.len() < 1 << 16 {
            frame = vec![0x81, 0xfe];
            frame.extend((text.len() as u16).to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.world.borrow_mut().send(self.links[client], &frame);
    }

    fn from_outside(&mut self, text: &[u8]) {
        let [what, rest @ ..] = text else { return };
        let text = String::from_utf8_lossy(rest);
        let (name, content) = text.split_once(' ').unwrap_or((&text, "1"));
        let task = match what % 8 {
            0 => Task::Rooms { prefix: name.into(), max: 2 },
            1 => Task::Members { room: name.into(), max: 2 },
            2 => Task::Connections { user: None, max: 3 },
            3 => Task::Connections { user: Some(name.into()), max: 3 },
            4 => Task::Unsubscribe { user: "ann".into(), room: name.into() },
            5 => {
                let who = Who::User(name.into());
                Task::Disconnect { who, code: CloseCode::NORMAL, reason: "enough".into() }
            }
            6 => {
                let to = vec![To::Room(name.into()), To::User(name.into()), To::All];
                let _ = self.control.publish(to, "desk", content); // what is wrong is refused
                return;
            }
            _ => {
                let Ok(id) = name.parse() else { return };
                let who = Who::Connection(id);
                Task::Disconnect { who, code: CloseCode::NORMAL, reason: "enough".into() }
            }
        };
        self.control.ask(task, |reply| assert!(reply.is_whole));
    }

    /// Turns until nothing is left to do, and reads what the clients were sent.
    fn settle(&mut self) {
        let mut turns = 0;
        while self.world.borrow().has_news() && turns < TURNS_MAX {
            self.hub.turn().expect("memory does not fail");
            turns += 1;
        }
        assert!(turns < TURNS_MAX, "the loop does not come to rest");
        for link in &mut self.world.borrow_mut().links {
            let bytes = std::mem::take(&mut link.outbox);
            check(&bytes);
        }
        for client in 0..TARGETS.len() {
            if self.world.borrow().links[self.links[client]].shut {
                self.connect(client);
            }
        }
    }
}

/// Each frame is a text of one JSON object with a type, or a Close, or a ping.
fn check(bytes: &[u8]) {
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
            0x81 => {
                let message: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
                assert!(message["type"].is_string(), "{message}");
            }
            0x88 => assert!(next.is_empty(), "something follows the Close"),
            0x89 => {}
            _ => panic!("a frame that begins with {first:#x}"),
        }
        rest = next;
    }
}
