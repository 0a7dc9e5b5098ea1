//! Many clients on one thread: each frame is held against the rules, each end is told apart.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::common::frame::{CLOSE, PING, Received};
use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient};

/// How a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// After a Close frame with this code, between two frames.
    Closed(u16),
    /// Otherwise.
    Cut(String),
}

/// One connection.
pub struct Member {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    owed: VecDeque<u8>,
    /// When its Close came, and its code.
    pub close: Option<(Instant, u16)>,
    pub end: Option<End>,
}

pub struct Fleet {
    poll: Poll,
    events: Events,
    pub members: Vec<Member>,
}

impl Fleet {
    pub fn new() -> Fleet {
        let poll = Poll::new().expect("epoll");
        Fleet { poll, events: Events::with_capacity(1024), members: Vec::new() }
    }

    /// Opens one more connection.
    pub fn open(&mut self, address: SocketAddr, target: &str) {
        let stream = std::net::TcpStream::connect(address).expect("connect");
        let mut client = RawClient::on(stream);
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        let buffer = client.unread().to_vec();
        client.stream.set_nonblocking(true).expect("non-blocking");
        let mut stream = TcpStream::from_std(client.stream);
        let token = Token(self.members.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both).expect("registered");
        let owed = VecDeque::new();
        self.members.push(Member { stream, buffer, owed, close: None, end: None });
    }

    /// Sends bytes on a connection.
    pub fn send(&mut self, index: usize, bytes: &[u8]) {
        let member = &mut self.members[index];
        member.owed.extend(bytes);
        member.write();
    }

    /// Takes what has come within `wait`. `see` gets each frame but pings and Closes, which are
    /// answered.
    pub fn turn(&mut self, wait: Duration, mut see: impl FnMut(usize, Received)) {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            result => result.expect("epoll"),
        }
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for index in ready {
            self.members[index].write();
            self.members[index].read(|frame| see(index, frame));
        }
    }

    /// How many connections have not ended.
    pub fn alive(&self) -> usize {
        self.members.iter().filter(|member| member.end.is_none()).count()
    }

    /// Every end that is not this one.
    pub fn other_ends(&self, end: &End) -> Vec<(usize, Option<End>)> {
        let ends = self.members.iter().map(|member| member.end.clone()).enumerate();
        ends.filter(|(_, other)| other.as_ref() != Some(end)).collect()
    }
}

impl Member {
    fn write(&mut self) {
        while !self.owed.is_empty() {
            match self.stream.write(self.owed.as_slices().0) {
                Ok(count) => drop(self.owed.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    // What has come before the end is still read.
                    self.owed.clear();
                    let _ = error;
                    return;
                }
            }
        }
    }

    fn read(&mut self, mut see: impl FnMut(Received)) {
        let mut block = [0; 16384];
        self.take(&mut see); // what came behind the handshake
        while self.end.is_none() {
            match self.stream.read(&mut block) {
                Ok(0) => {
                    self.take(&mut see);
                    let is_between = self.buffer.is_empty();
                    self.end = Some(match self.close {
                        Some((_, code)) if is_between => End::Closed(code),
                        _ => End::Cut(format!("the end, {} bytes unread", self.buffer.len())),
                    });
                }
                Ok(count) => {
                    self.buffer.extend_from_slice(&block[..count]);
                    self.take(&mut see);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.end = Some(End::Cut(error.to_string())),
            }
        }
    }

    fn take(&mut self, see: &mut impl FnMut(Received)) {
        let mut at = 0;
        while let Some((frame, length)) = Received::decode(&self.buffer[at..]) {
            at += length;
            frame.check();
            assert!(self.close.is_none(), "{frame} behind a Close");
            match frame.opcode {
                CLOSE => {
                    let code = frame.close_code().unwrap_or_default();
                    self.close = Some((Instant::now(), code));
                    self.owed.extend(Frame::close(code, "").bytes());
                    self.write();
                }
                PING => {
                    self.owed.extend(Frame::pong(&frame.payload).bytes());
                    self.write();
                }
                _ => see(frame),
            }
        }
        self.buffer.drain(..at);
    }
}
