//! What passes between a server and its successor: packets over a Unix socket, some with a
//! descriptor (SCM_RIGHTS, unix(7)).
//!
//! Owns the form of a packet. Bounded in both directions: in length, and in the time that one may
//! take. Never knows what is said.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use prost::Message;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The longest packet, in bytes.
const PACKET_BYTES_MAX: usize = 64 << 10;

/// How long the other end may leave a packet lying.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a body goes into a packet, in bytes.
const BODY_BYTES_MAX: usize = 48 << 10;

/// The longest body of several packets, in bytes.
const BODY_WHOLE_MAX: usize = 64 << 20;

/// One end of the way between the two.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What is said at once.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Packet {
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "2")]
    pub number: u32,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub body: Vec<u8>,
    /// Whether the body goes on in the next packet.
    #[prost(bool, tag = "5")]
    pub has_more: bool,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Something newer than this.
    Unknown = 0,
    /// The first: its number is the version of all that follows.
    Hello = 1,
    /// A listening socket, by the name of what it was asked for.
    Socket = 2,
    /// There are no more sockets. Its number is 1 where they stand in place of all addresses.
    Sockets = 3,
    /// The successor could serve. Its number is the version of states and connections that it
    /// takes.
    Ready = 4,
    /// Nothing more is handed over.
    Go = 5,
    /// The successor has everything: from here on it is the server.
    Taken = 6,
    /// A piece of what is known, for all loops.
    State = 7,
    /// A connection, and what is known of it.
    Connection = 8,
}

/// What has come.
pub type Received = (Kind, Packet, Option<OwnedFd>);

impl Packet {
    pub fn new(kind: Kind) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }
}

impl Channel {
    /// Both ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self::new(one)?, Self::new(other)?))
    }

    /// An end that was handed to this process.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        set_socket_timeout(&socket, Timeout::Send, Some(SEND_TIMEOUT))?;
        Ok(Self(socket))
    }

    /// The descriptor, to hand it to a process.
    pub fn into_inner(self) -> OwnedFd {
        self.0
    }

    /// Sends a packet, and a descriptor with it.
    ///
    /// # Errors
    /// The other end is gone, or does not take it.
    pub fn send(&self, packet: &Packet, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = packet.encode_to_vec();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds
            && !control.push(SendAncillaryMessage::ScmRights(fds))
        {
            return Err(io::Error::other("a descriptor does not fit"));
        }
        let flags = SendFlags::NOSIGNAL;
        retry(|| sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, flags))?;
        Ok(())
    }

    /// Sends a body of any length, and a descriptor with its beginning.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_body(
        &self,
        kind: Kind,
        body: &[u8],
        mut fd: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut rest = body;
        loop {
            let (part, after) = rest.split_at(rest.len().min(BODY_BYTES_MAX));
            let (body, has_more) = (part.to_vec(), !after.is_empty());
            self.send(&Packet { body, has_more, ..Packet::new(kind) }, fd.take())?;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// The next packet, with all of its body, and the descriptor that came with it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_whole(&self, patience: Duration) -> io::Result<Received> {
        let (kind, mut packet, fd) = self.receive(patience)?;
        while packet.has_more {
            let (next, part, _) = self.receive(patience)?;
            if next != kind || packet.body.len() + part.body.len() > BODY_WHOLE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a body that has no end"));
            }
            packet.body.extend(part.body);
            packet.has_more = part.has_more;
        }
        Ok((kind, packet, fd))
    }

    /// The next packet, and the descriptor that came with it.
    ///
    /// # Errors
    /// The other end is gone (`UnexpectedEof`), says nothing for so long (`WouldBlock`), or nothing
    /// that can be understood.
    pub fn receive(&self, patience: Duration) -> io::Result<Received> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        let mut bytes = vec![0; PACKET_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received =
            retry(|| recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags))?;
        let mut fd = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                fd = fds.last().or(fd);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet is too long"));
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let packet = Packet::decode(&bytes[..received.bytes])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((packet.kind(), packet, fd))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_descriptor_arrives_with_its_packet() {
        let (one, other) = Channel::pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let packet = Packet { number: 7, name: "x".repeat(1000), ..Packet::new(Kind::Socket) };
        one.send(&packet, Some(writer.as_fd())).expect("sent");
        one.send(&Packet::new(Kind::Ready), None).expect("sent");
        drop((one, writer));
        let (kind, received, fd) = other.receive(PATIENCE).expect("received");
        assert_eq!((kind, received), (Kind::Socket, packet));
        let mut file = File::from(fd.expect("a descriptor"));
        io::Write::write_all(&mut file, b"hi").expect("written");
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read to the end");
        assert_eq!(text, "hi");
        let (kind, _, fd) = other.receive(PATIENCE).expect("received");
        assert!(kind == Kind::Ready && fd.is_none());
        let error = other.receive(PATIENCE).expect_err("the end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_long_body_arrives_whole() {
        let (one, other) = Channel::pair().expect("a pair");
        let body: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let sent = body.clone();
        let sending = std::thread::spawn(move || {
            one.send_body(Kind::State, &sent, None).expect("sent");
            one.send_body(Kind::State, b"", None).expect("sent");
        });
        let (kind, packet, _) = other.receive_whole(PATIENCE).expect("received");
        assert!(kind == Kind::State && packet.body == body);
        let (_, packet, _) = other.receive_whole(PATIENCE).expect("received");
        assert!(packet.body.is_empty());
        sending.join().expect("sent all");
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_for_ever() {
        let (_one, other) = Channel::pair().expect("a pair");
        let error = other.receive(Duration::from_millis(20)).expect_err("too late");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
