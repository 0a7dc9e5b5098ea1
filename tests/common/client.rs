//! A client made of nothing but a socket: it sends what it is told, cut as it is told, and every
//! read has a deadline.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Frame, Received};
use super::http::{ACCEPT, Answer, Upgrade};
use super::random::Random;
use super::server::Server;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a stream of bytes is cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    Whole,
    /// Byte for byte; of a stream over 4 KiB only the first and the last 2 KiB.
    Bytewise,
    /// At up to 16 places given by a seed, with a pause at each.
    Random(u64),
}

pub const CHUNKINGS: [Chunking; 3] = [Chunking::Whole, Chunking::Bytewise, Chunking::Random(7)];

thread_local! {
    /// How this thread cuts what no test has cut itself.
    static CURRENT: Cell<Chunking> = const { Cell::new(Chunking::Whole) };
}

impl Chunking {
    /// How this thread cuts: see [`each_cut`].
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// Has this thread cut so from now on.
    pub fn set_current(self) {
        CURRENT.set(self);
    }

    /// Writes `bytes`, cut.
    pub fn write(self, to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let (ends, pause) = self.plan(bytes.len());
        let mut start = 0;
        for end in ends {
            to.write_all(&bytes[start..end])?;
            start = end;
            if !pause.is_zero() && end < bytes.len() {
                thread::sleep(pause);
            }
        }
        Ok(())
    }

    /// Where each write ends, and the pause after it.
    fn plan(self, length: usize) -> (Vec<usize>, Duration) {
        const EDGE: usize = 2048;
        match self {
            Chunking::Whole => (vec![length], Duration::ZERO),
            Chunking::Bytewise => {
                let edges = |end: &usize| *end <= EDGE || *end + EDGE >= length;
                let ends: Vec<usize> = (1..=length).filter(edges).collect();
                let pause = if length <= 300 { Duration::from_micros(30) } else { Duration::ZERO };
                (ends, pause)
            }
            Chunking::Random(seed) => {
                let mut random = Random::new(seed ^ length as u64);
                let count = length.min(16);
                let mut ends: Vec<usize> = (0..count).map(|_| random.below(length) + 1).collect();
                ends.push(length);
                ends.sort_unstable();
                ends.dedup();
                (ends, Duration::from_micros(200))
            }
        }
    }
}

/// What must come from the server, in this order.
#[derive(Clone, PartialEq, Eq)]
pub enum Expect {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// A Close frame with this code, then the end of the stream.
    Close(u16),
    /// A Close frame without a body, then the end of the stream.
    CloseEmpty,
}

impl Expect {
    pub fn text(payload: impl AsRef<str>) -> Expect {
        Expect::Text(payload.as_ref().to_owned())
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Expect {
        Expect::Binary(payload.as_ref().to_vec())
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Expect {
        Expect::Pong(payload.as_ref().to_vec())
    }
}

impl Debug for Expect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expect::Text(text) => write!(out, "Text of {} {:.60?}", text.len(), text),
            Expect::Binary(bytes) => {
                write!(out, "Binary of {} {:?}", bytes.len(), &bytes[..bytes.len().min(16)])
            }
            Expect::Pong(bytes) => write!(out, "Pong {:?}", String::from_utf8_lossy(bytes)),
            Expect::Close(code) => write!(out, "Close {code}"),
            Expect::CloseEmpty => write!(out, "Close without a body"),
        }
    }
}

/// One connection to the server.
pub struct RawClient {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    note: String,
}

impl RawClient {
    /// Connected, nothing sent.
    pub fn connect(server: &Server) -> RawClient {
        RawClient::on(server.dial())
    }

    pub fn on(stream: TcpStream) -> RawClient {
        let _ = stream.set_nodelay(true); // a Unix socket in it has no such option
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        let (buffer, note) = (Vec::new(), String::new());
        RawClient { stream, buffer, start: 0, ended: false, note }
    }

    /// Connected and upgraded on `target`.
    pub fn open(server: &Server, target: &str) -> RawClient {
        let mut client = RawClient::connect(server);
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        client
    }

    /// As `open`, with a receive buffer so small that a client that does not read is felt at once.
    pub fn open_narrow(server: &Server, target: &str) -> RawClient {
        let mut client = RawClient::connect_narrow(server);
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        client
    }

    pub fn connect_narrow(server: &Server) -> RawClient {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_recv_buffer_size(8192).expect("SO_RCVBUF");
        socket.connect(&server.address().into()).expect("connect");
        RawClient::on(socket.into())
    }

    /// Words that come before every complaint, to tell apart the cases of one test.
    pub fn note(&mut self, note: impl Display) {
        self.note = format!("{note}: ");
    }

    /// Sends bytes, in one go but for [`each_cut`]. Fails the test when the server has hung up on
    /// us.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_chunked(bytes.as_ref(), Chunking::current());
    }

    pub fn send_chunked(&mut self, bytes: &[u8], chunking: Chunking) {
        if let Err(error) = self.try_send(bytes, chunking) {
            panic!("{}sending failed: {error}", self.note);
        }
    }

    pub fn try_send(&mut self, bytes: &[u8], chunking: Chunking) -> io::Result<()> {
        chunking.write(&mut self.stream, bytes)
    }

    /// Sends `bytes` over and over until the server takes no more for `patience`, or `most` bytes
    /// are out. The last unit may be cut. Returns how many bytes were taken.
    pub fn flood(&mut self, bytes: &[u8], most: usize, patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).expect("a write timeout");
        let mut taken = 0;
        while taken < most {
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        taken
    }

    /// Whether the stream was seen to end, or was reset.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unread()[..count].to_vec();
        self.start += count;
        if self.start > 1 << 16 && self.start * 2 > self.buffer.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        taken
    }

    /// Reads once. False at the end of the stream. Panics on a reset and at the deadline.
    fn fill(&mut self, end: Instant, waiting_for: &str) -> bool {
        match self.fill_within(end) {
            Ok(more) => more,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let rest = String::from_utf8_lossy(self.unread()).into_owned();
                panic!("{}no {waiting_for} in time; unread: {rest:.200?}", self.note)
            }
            Err(error) => panic!("{}{error} while waiting for {waiting_for}", self.note),
        }
    }

    fn fill_within(&mut self, end: Instant) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut block = [0; 65536];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.read(&mut block) {
                Ok(count) => {
                    self.ended = count == 0;
                    self.buffer.extend_from_slice(&block[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// The next frame, already held to the rules that a server must keep.
    pub fn read_frame(&mut self) -> Received {
        let frame = self.read_frame_raw(PATIENCE);
        frame.check();
        frame
    }

    /// The next frame, whatever it is like.
    pub fn read_frame_raw(&mut self, patience: Duration) -> Received {
        let end = Instant::now() + patience;
        loop {
            if let Some((frame, length)) = Received::decode(self.unread()) {
                self.take(length);
                return frame;
            }
            if !self.fill(end, "frame") {
                panic!("{}the stream ended where a frame was due", self.note);
            }
        }
    }

    /// The next frame, or None when the stream ends, is reset, or stays silent for `patience`.
    pub fn next_frame(&mut self, patience: Duration) -> Option<Received> {
        let end = Instant::now() + patience;
        loop {
            if let Some((frame, length)) = Received::decode(self.unread()) {
                self.take(length);
                frame.check();
                return Some(frame);
            }
            if !matches!(self.fill_within(end), Ok(true)) {
                return None;
            }
        }
    }

    /// Reads once, and forgets what came; whether something did.
    pub fn skip(&mut self, patience: Duration) -> bool {
        self.take(self.unread().len());
        matches!(self.fill_within(Instant::now() + patience), Ok(true))
    }

    /// The next message or control frame; the fragments of a message are joined.
    pub fn read_message(&mut self) -> Received {
        let mut message = self.read_frame();
        assert_ne!(message.opcode, frame::CONTINUATION, "{}a stray continuation", self.note);
        while !message.fin {
            let next = self.read_frame();
            assert_eq!(next.opcode, frame::CONTINUATION, "{}inside a message", self.note);
            message.payload.extend_from_slice(&next.payload);
            message.fin = next.fin;
        }
        message
    }

    /// The next text message.
    pub fn read_text(&mut self) -> String {
        let message = self.read_message();
        assert_eq!(message.opcode, frame::TEXT, "{}not a text: {message}", self.note);
        String::from_utf8(message.payload).expect("a text message in UTF-8")
    }

    pub fn expect(&mut self, expected: &Expect) {
        let message = self.read_message();
        let same = match expected {
            Expect::Text(text) => {
                message.opcode == frame::TEXT && message.payload == text.as_bytes()
            }
            Expect::Binary(bytes) => message.opcode == frame::BINARY && message.payload == *bytes,
            Expect::Pong(bytes) => message.opcode == frame::PONG && message.payload == *bytes,
            Expect::Close(code) => {
                message.opcode == frame::CLOSE && message.close_code() == Some(*code)
            }
            Expect::CloseEmpty => message.opcode == frame::CLOSE && message.payload.is_empty(),
        };
        let code = || message.close_code().map_or(String::new(), |code| code.to_string());
        let code = if message.opcode == frame::CLOSE { code() } else { String::new() };
        assert!(same, "{}{expected:?} was due, came {message} {code}", self.note);
        if matches!(expected, Expect::Close(_) | Expect::CloseEmpty) {
            self.expect_eof();
        }
    }

    /// A Close frame with `code`, then the end of the stream.
    pub fn expect_close(&mut self, code: u16) {
        self.expect(&Expect::Close(code));
    }

    /// The end of the stream and not one byte before it; a reset is not an end.
    pub fn expect_eof(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.unread().is_empty() {
            if !self.fill(end, "end of the stream") {
                return;
            }
        }
        let rest = String::from_utf8_lossy(self.unread());
        panic!("{}bytes where the end was due: {rest:.200?}", self.note);
    }

    /// All that still comes, up to the end of the stream; a reset is not an end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        while self.fill(end, "end of the stream") {}
        self.take(self.unread().len())
    }

    /// The connection is alive and had nothing left to say: a ping is answered first of all.
    pub fn expect_open(&mut self) {
        self.send(Frame::ping("still there?").bytes());
        self.expect(&Expect::pong("still there?"));
    }

    /// As `expect_open`, where text messages of others may still be on their way.
    pub fn expect_open_among_texts(&mut self) {
        self.send(Frame::ping("still there?").bytes());
        let mut message = self.read_message();
        while message.opcode == frame::TEXT {
            message = self.read_message();
        }
        assert_eq!(message.payload, b"still there?", "{}{message}", self.note);
    }

    /// Nothing comes for `time`.
    pub fn expect_silence(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let silent = matches!(self.fill_within(end),
            Err(error) if error.kind() == ErrorKind::TimedOut);
        let rest = String::from_utf8_lossy(self.unread()).into_owned();
        let silent = silent && self.unread().is_empty();
        assert!(silent, "{}silence was due; ended {}, {rest:.200?}", self.note, self.ended);
    }

    /// The next HTTP answer; without its body where `head_only`, as after HEAD.
    pub fn read_answer(&mut self, head_only: bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let end = loop {
            if let Some(end) = self.head_end() {
                break end;
            }
            if !self.fill(deadline, "HTTP answer") {
                let rest = String::from_utf8_lossy(self.unread()).into_owned();
                panic!("{}the stream ended inside an HTTP answer: {rest:.200?}", self.note);
            }
        };
        let head = self.take(end + 4);
        let mut answer = Answer::parse(&head[..end]);
        let length = if head_only { 0 } else { answer.body_length() };
        while self.unread().len() < length {
            assert!(self.fill(deadline, "HTTP body"), "{}the body is cut off", self.note);
        }
        answer.body = self.take(length);
        answer
    }

    fn head_end(&self) -> Option<usize> {
        self.unread().windows(4).position(|window| window == b"\r\n\r\n")
    }

    /// Upgrades on `target`, where the server may be about to go; whether it did.
    pub fn try_upgrade(&mut self, target: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        if self.try_send(&Upgrade::new(target).bytes(), Chunking::Whole).is_err() {
            return false;
        }
        loop {
            if let Some(end) = self.head_end() {
                let head = self.take(end + 4);
                return Answer::parse(&head[..end]).status == 101;
            }
            if !matches!(self.fill_within(deadline), Ok(true)) {
                return false;
            }
        }
    }

    /// A correct 101 to a request with the usual key.
    pub fn expect_upgrade(&mut self) -> Answer {
        let answer = self.read_answer(false);
        assert_eq!(answer.status, 101, "{}{answer:?}", self.note);
        assert!(answer.has_token("upgrade", "websocket"), "{}{answer:?}", self.note);
        assert!(answer.has_token("connection", "upgrade"), "{}{answer:?}", self.note);
        assert_eq!(answer.only("sec-websocket-accept"), Some(ACCEPT), "{}", self.note);
        answer
    }

    /// A complete answer with one of `statuses`, then the end of the stream without a reset.
    pub fn expect_refusal(&mut self, statuses: &[u16]) -> Answer {
        let answer = self.read_answer(false);
        let right = statuses.contains(&answer.status);
        assert!(right, "{}{statuses:?} was due, came {answer:?}", self.note);
        assert!(answer.has_token("connection", "close"), "{}{answer:?}", self.note);
        self.expect_eof();
        answer
    }

    /// A complete answer with `status`; the connection then ends or goes on as the answer says.
    pub fn expect_answer(&mut self, status: u16) -> Answer {
        let answer = self.read_answer(false);
        assert_eq!(answer.status, status, "{}{answer:?}", self.note);
        if answer.has_token("connection", "close") {
            self.expect_eof();
        } else {
            self.send(super::http::get("/healthz"));
            self.read_answer(false);
        }
        answer
    }

    /// FIN to the server; what it sends can still be read.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a half close");
    }

    /// RST to the server.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

/// Runs `test` once for each way of cutting; a failure says which it was.
pub fn each_chunking(mut test: impl FnMut(Chunking)) {
    for chunking in CHUNKINGS {
        test(chunking);
    }
}

/// Runs `test` once for each way of cutting, whatever it sends: for tests that do not cut their
/// streams themselves. A [`RawClient`] and the peers of `tests/client` cut so.
pub fn each_cut(test: impl Fn()) {
    each_chunking(|chunking| {
        println!("{chunking:?}"); // shown where the test fails
        chunking.set_current();
        test();
        Chunking::Whole.set_current();
    });
}

/// Sends `stream` on fresh connections to `/`, cut in each of the ways, and once glued to the
/// handshake, and expects `expected` and nothing more. Where that does not end with a Close,
/// the connection must still be alive afterwards.
pub fn exchange(server: &Server, name: &str, stream: &[u8], expected: &[Expect]) {
    for chunking in CHUNKINGS.map(Some).into_iter().chain([None]) {
        let mut client = RawClient::connect(server);
        match chunking {
            Some(chunking) => {
                client.note(format!("{name}, {chunking:?}"));
                client.send(Upgrade::new("/").bytes());
                client.expect_upgrade();
                client.send_chunked(stream, chunking);
            }
            None => {
                client.note(format!("{name}, glued to the handshake"));
                client.send([Upgrade::new("/").bytes(), stream.to_vec()].concat());
                client.expect_upgrade();
            }
        }
        for one in expected {
            client.expect(one);
        }
        if !matches!(expected.last(), Some(Expect::Close(_) | Expect::CloseEmpty)) {
            client.expect_open();
        }
    }
}
