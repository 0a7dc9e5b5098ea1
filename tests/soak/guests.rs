//! Who comes for a moment, and behaves badly: each visit is one way to begin, to break off or to be
//! wrong. What is echoed is held against what was sent.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use throng::client::{Connect, Incoming};
use throng::extension::{Config, Mode};
use throng::net::Message;

use crate::common::frame::{CLOSE, PONG, stream};
use crate::common::random::Random;
use crate::common::{Chunking, Frame, RawClient, Upgrade, http};
use crate::peer;
use crate::served::{PATIENCE, Served};

/// A way to come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visit {
    /// Says nothing.
    Silent,
    /// Breaks off in the request.
    PartOfRequest,
    /// What is no HTTP.
    GarbageFirst,
    /// What is no WebSocket, after the handshake.
    GarbageLater,
    /// Breaks off in a frame.
    PartOfFrame,
    /// Breaks off between two fragments.
    PartOfMessage,
    /// A frame that the protocol forbids.
    Forbidden,
    /// A long message in fragments, with pings between, echoed.
    Fragments,
    /// Compressed messages, echoed; and one that is broken off.
    Compressed,
    /// Breaks off in the TLS handshake.
    PartOfTls,
    /// An echo by TLS.
    Tls,
    /// Comes into a room, says something, and goes.
    Room,
    /// What is no command.
    BadCommand,
    /// A page, a refusal, and what is not there.
    Http,
}

const ALL: [Visit; 14] = [
    Visit::Silent,
    Visit::PartOfRequest,
    Visit::GarbageFirst,
    Visit::GarbageLater,
    Visit::PartOfFrame,
    Visit::PartOfMessage,
    Visit::Forbidden,
    Visit::Fragments,
    Visit::Compressed,
    Visit::PartOfTls,
    Visit::Tls,
    Visit::Room,
    Visit::BadCommand,
    Visit::Http,
];

/// How long a guest waits for the end that it has deserved.
const MOMENT: Duration = Duration::from_millis(500);

/// What guests did, how often, and what was wrong.
#[derive(Debug, Default)]
pub struct Visits {
    pub counts: BTreeMap<Visit, usize>,
    /// How many came to their end: others were sent away by an upgrade.
    pub done: usize,
    pub faults: Vec<String>,
}

pub struct Guest<'a> {
    server: &'a Served,
    random: Random,
    tls: Option<Arc<ClientConfig>>,
    visits: Visits,
}

impl<'a> Guest<'a> {
    /// With `tls`, where the server speaks it too.
    pub fn new(server: &'a Served, seed: u64, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { server, random: Random::new(seed), tls, visits: Visits::default() }
    }

    /// Comes in each way about as often, until it is over.
    pub fn come(mut self, is_over: &AtomicBool) -> Visits {
        let mut bag = Vec::new();
        while !is_over.load(Ordering::SeqCst) {
            if bag.is_empty() {
                bag = ALL.to_vec();
                let by_tls = [Visit::Tls, Visit::PartOfTls];
                bag.retain(|visit| self.tls.is_some() || !by_tls.contains(visit));
            }
            let visit = bag.swap_remove(self.random.below(bag.len()));
            *self.visits.counts.entry(visit).or_default() += 1;
            self.visits.done += usize::from(self.visit(visit).is_ok());
            thread::sleep(Duration::from_millis(self.random.below(40) as u64));
        }
        self.visits
    }

    /// An error is the server's end of the connection, where that may come.
    fn visit(&mut self, visit: Visit) -> io::Result<()> {
        let request = Upgrade::new("/ws?room=g.1").bytes();
        let count = 1 + self.random.below(300);
        match visit {
            Visit::Silent => self.leave(self.dial()?),
            Visit::PartOfRequest => {
                let mut stream = self.dial()?;
                stream.write_all(&request[..self.random.below(request.len())])?;
                self.leave(stream)
            }
            Visit::GarbageFirst => {
                let mut stream = self.dial()?;
                stream.write_all(&self.random.bytes(count))?;
                self.leave(stream)
            }
            Visit::GarbageLater => {
                let mut client = self.open("/echo")?;
                client.try_send(&self.random.bytes(count), Chunking::Random(count as u64))?;
                while client.next_frame(MOMENT).is_some() {}
                self.leave(client.stream)
            }
            Visit::PartOfFrame => {
                let mut client = self.open("/ws?room=g.1")?;
                let frame = Frame::text(self.random.bytes(3000)).bytes();
                client.try_send(&frame[..self.random.below(frame.len())], Chunking::Whole)?;
                self.leave(client.stream)
            }
            Visit::PartOfMessage => {
                let mut client = self.open("/ws?room=g.1")?;
                let frame = Frame::text(vec![b'a'; count * 100]).unfinished().bytes();
                client.try_send(&frame, Chunking::Whole)?;
                self.leave(client.stream)
            }
            Visit::Forbidden => self.forbidden(),
            Visit::Fragments => self.fragments(),
            Visit::Compressed => self.compressed(),
            Visit::PartOfTls => self.part_of_tls(),
            Visit::Tls => self.by_tls(),
            Visit::Room => self.room(),
            Visit::BadCommand => self.bad_commands(),
            Visit::Http => self.pages(),
        }
    }

    fn dial(&self) -> io::Result<TcpStream> {
        let stream = self.server.dial()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn open(&self, target: &str) -> io::Result<RawClient> {
        let mut client = RawClient::on(self.dial()?);
        let is_open = client.try_upgrade(target, PATIENCE);
        if is_open { Ok(client) } else { Err(ErrorKind::ConnectionRefused.into()) }
    }

    /// By a reset, by the end of TCP in one direction or in both.
    fn leave(&mut self, mut stream: TcpStream) -> io::Result<()> {
        match self.random.below(3) {
            0 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            1 => Ok(()),
            _ => {
                stream.shutdown(Shutdown::Write)?;
                stream.set_read_timeout(Some(MOMENT))?;
                let _ = stream.read(&mut [0; 4096]); // whatever it says
                Ok(())
            }
        }
    }

    fn forbidden(&mut self) -> io::Result<()> {
        let frames = [
            Frame::text("unmasked").unmasked(),
            Frame::text("rsv").rsv(2),
            Frame::new(5, "reserved"),
            Frame::continuation("of nothing"),
            Frame::text([0xc0, 0xaf]),
            Frame::ping(vec![0; 126]),
            Frame::ping("in part").unfinished(),
            Frame::close_body([1]),
            Frame::binary("").declare(1 << 40),
        ];
        let mut client = self.open("/ws?room=g.1")?;
        let frame = &frames[self.random.below(frames.len())];
        client.try_send(&frame.bytes(), Chunking::Whole)?;
        while let Some(frame) = client.next_frame(PATIENCE) {
            if frame.opcode == CLOSE {
                return Ok(());
            }
        }
        Err(ErrorKind::UnexpectedEof.into())
    }

    fn fragments(&mut self) -> io::Result<()> {
        let mut client = self.open("/echo")?;
        let length = 1 + self.random.below(60_000);
        let payload = self.random.bytes(length);
        let (mut frames, mut from) = (Vec::new(), 0);
        while from < length {
            let to = (from + 1 + self.random.below(8000)).min(length);
            let opcode = if from == 0 { 2 } else { 0 };
            let frame = Frame::new(opcode, &payload[from..to]);
            frames.push(if to < length { frame.unfinished() } else { frame });
            frames.push(Frame::ping("between"));
            from = to;
        }
        client.try_send(&stream(&frames), Chunking::Random(length as u64))?;
        loop {
            let frame = client.next_frame(PATIENCE).ok_or(ErrorKind::UnexpectedEof)?;
            match frame.opcode {
                PONG => {}
                CLOSE => return Err(ErrorKind::ConnectionAborted.into()),
                _ if frame.payload == payload => return self.leave(client.stream),
                _ => {
                    self.visits.faults.push(format!("not the {length} bytes that went: {frame}"));
                    return Ok(());
                }
            }
        }
    }

    fn compressed(&mut self) -> io::Result<()> {
        let url = format!("ws://{}/echo", self.server.address());
        let connect = Connect::to(&url).compression(Config::new(Mode::Dedicated));
        let mut client = connect.timeout(PATIENCE).open().map_err(io::Error::other)?;
        for _ in 0..3 {
            let times = 1 + self.random.below(1500);
            let text = "round and round and round it goes, ".repeat(times);
            client.send(Message::text(&text)).map_err(io::Error::other)?;
            match client.read().map_err(io::Error::other)? {
                Incoming::Message(message) if message.as_text() == Some(&*text) => {}
                Incoming::Message(message) => {
                    let length = message.payload.len();
                    self.visits.faults.push(format!("{length} bytes for {}", text.len()));
                }
                _ => return Err(ErrorKind::ConnectionAborted.into()),
            }
        }
        let mut client = RawClient::on(self.dial()?);
        let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
        let upgrade = Upgrade::new("/echo").header(offer.0, offer.1).bytes();
        // The beginning of a block that is never ended.
        let part = Frame::text([0x4a; 40]).rsv(4).unfinished().bytes();
        client.try_send(&[upgrade, part].concat(), Chunking::Whole)?;
        client.skip(MOMENT);
        self.leave(client.stream)
    }

    fn part_of_tls(&mut self) -> io::Result<()> {
        let Some(config) = self.tls.clone() else { return Ok(()) };
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let mut tls = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut hello = Vec::new();
        tls.write_tls(&mut hello)?;
        let mut stream = self.dial()?;
        // All of it too: then it is the server's turn, and nothing more comes.
        let count = 1 + self.random.below(hello.len() + hello.len() / 2);
        stream.write_all(&hello[..count.min(hello.len())])?;
        self.leave(stream)
    }

    fn by_tls(&mut self) -> io::Result<()> {
        let Some(config) = self.tls.clone() else { return Ok(()) };
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let tls = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        let secure = peer::Secure::new(tls, self.dial()?);
        let opened = tungstenite::client("wss://localhost/echo", secure);
        let (mut socket, _) = opened.map_err(|error| io::Error::other(error.to_string()))?;
        let text = "by TLS ".repeat(1 + self.random.below(2000));
        socket.send(text.as_str().into()).map_err(io::Error::other)?;
        let answer = socket.read().map_err(io::Error::other)?;
        if answer.is_text() && *answer.to_text().map_err(io::Error::other)? != *text {
            self.visits.faults.push(format!("{} bytes for {}", answer.len(), text.len()));
        }
        if self.random.below(2) == 0 {
            return Ok(()); // without a Close, and without an alert
        }
        let _ = socket.close(None); // it may be asked to leave too
        while socket.read().is_ok() {}
        Ok(())
    }

    fn room(&mut self) -> io::Result<()> {
        let (room, name) = (self.random.below(6), self.random.below(30));
        let mut client = self.open(&format!("/ws?room=g.{room}&name=guest-{name}"))?;
        for id in 0..self.random.below(10) {
            let content = "x".repeat(self.random.below(300));
            let text = format!(
                r#"{{"type":"text","id":{id},"content":"{content}","message_id":"{name}-{id}"}}"#
            );
            client.try_send(&Frame::text(text).bytes(), Chunking::Random(id as u64))?;
        }
        client.next_frame(MOMENT);
        if self.random.below(2) == 0 {
            return self.leave(client.stream);
        }
        client.try_send(&Frame::close(1000, "").bytes(), Chunking::Whole)?;
        while client.next_frame(PATIENCE).is_some() {}
        Ok(())
    }

    fn bad_commands(&mut self) -> io::Result<()> {
        let commands = [
            "no JSON",
            "[]",
            r#"{"type":"nothing"}"#,
            r#"{"type":"join","room":""}"#,
            r#"{"type":"join","room":"a","since":{"epoch":"x","offset":-1}}"#,
            r#"{"type":"history","room":"nowhere","limit":100000}"#,
            r#"{"type":"leave","room":"nowhere"}"#,
            r#"{"type":"text","room":"nowhere","content":"?"}"#,
            r#"{"type":"direct","user":"nobody","content":"?"}"#,
        ];
        let mut client = self.open("/ws")?;
        for _ in 0..1 + self.random.below(12) {
            let command = commands[self.random.below(commands.len())];
            client.try_send(&Frame::text(command).bytes(), Chunking::Whole)?;
        }
        client.next_frame(MOMENT);
        self.leave(client.stream)
    }

    fn pages(&mut self) -> io::Result<()> {
        let pages = [("/", 200), ("/api/rooms", 401), ("/nowhere", 404), ("/throng.js", 200)];
        let (path, due) = pages[self.random.below(pages.len())];
        let (status, _) = self.server.get(path)?;
        if ![due, 503].contains(&status) {
            self.visits.faults.push(format!("{path}: {status}"));
        }
        let mut stream = self.dial()?;
        stream.write_all(&http::get("/metrics").repeat(1 + self.random.below(20)))?;
        self.leave(stream) // nothing of it is read
    }
}
