//! The records of one connection: rustls, in either role, behind one type.
//!
//! Owns the state machine of rustls and what is done about each of its states. Never keeps a byte:
//! the caller has the buffers.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

/// One end of a TLS connection.
pub(super) enum Records {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// Ciphertext on its way out: a buffer that is not made anew for each write.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    room: Vec<u8>,
    len: usize,
}

/// Where plaintext goes: into the room that there is, and what is left is kept.
pub(super) struct Sink<'a> {
    pub(super) room: &'a mut [u8],
    pub(super) len: usize,
    pub(super) kept: &'a mut Vec<u8>,
}

/// What came of some ciphertext.
#[derive(Debug, Default)]
pub(super) struct Advanced {
    /// How much of it is done with.
    pub(super) used: usize,
    /// Whether the handshake is over.
    pub(super) is_open: bool,
    /// Whether the peer has said that it sends no more.
    pub(super) has_ended: bool,
}

/// What is to be encrypted.
#[derive(Clone, Copy)]
pub(super) enum Say<'a> {
    Data(&'a [u8]),
    /// RFC 8446 section 6.1: close_notify.
    End,
}

impl Records {
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        Ok(Self::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    /// What rustls knows of the connection.
    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Server(conn) => conn,
            Self::Client(conn) => conn,
        }
    }

    /// Takes ciphertext. What has to be sent is appended to `out`, an alert about a fault too.
    ///
    /// # Errors
    /// The peer broke a rule, or is not whom it says: there is nothing more to be had of it.
    pub(super) fn advance(
        &mut self,
        incoming: &mut [u8],
        out: &mut Outgoing,
        sink: &mut Sink<'_>,
    ) -> Result<Advanced, Error> {
        match self {
            Self::Server(conn) => advance(&mut **conn, incoming, out, sink),
            Self::Client(conn) => advance(&mut **conn, incoming, out, sink),
        }
    }

    /// Encrypts into `out`. `incoming` is the record that has come in part.
    ///
    /// # Errors
    /// The handshake is not over, or the connection is.
    pub(super) fn say(
        &mut self,
        incoming: &mut Vec<u8>,
        say: Say<'_>,
        out: &mut Outgoing,
    ) -> Result<(), Error> {
        match self {
            Self::Server(conn) => speak(&mut **conn, incoming, say, out),
            Self::Client(conn) => speak(&mut **conn, incoming, say, out),
        }
    }
}

/// What the two roles have in common, for which rustls has no trait.
trait Process {
    type Data;

    /// Whether something is to be encoded.
    fn has_to_say(&self) -> bool;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Process for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Process for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

fn advance<C: Process>(
    conn: &mut C,
    incoming: &mut [u8],
    out: &mut Outgoing,
    sink: &mut Sink<'_>,
) -> Result<Advanced, Error> {
    let mut advanced = Advanced::default();
    loop {
        let status = conn.process(&mut incoming[advanced.used..]);
        let (mut discard, mut is_done) = (status.discard, false);
        match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    sink.take(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                out.append(|room| data.encode(room).map_err(|error| room_to_encode(&error)))?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => advanced.has_ended = true,
            Ok(ConnectionState::Closed) => {
                advanced.has_ended = true;
                is_done = true;
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                advanced.is_open = true;
                is_done = true;
            }
            Ok(ConnectionState::BlockedHandshake) => is_done = true,
            Ok(_) => return Err(Error::General("early data, which was not agreed on".into())),
            Err(error) => {
                let rest = &mut incoming[advanced.used + discard..];
                say_why(conn, rest, out)?;
                return Err(error);
            }
        }
        advanced.used += discard;
        if is_done {
            return Ok(advanced);
        }
    }
}

/// After a fault: the alert about it, and what was to be said before. Nothing more is asked of
/// rustls then: it would find the same fault again.
fn say_why<C: Process>(conn: &mut C, incoming: &mut [u8], out: &mut Outgoing) -> Result<(), Error> {
    while conn.has_to_say() {
        match conn.process(incoming).state? {
            ConnectionState::EncodeTlsData(mut data) => {
                out.append(|room| data.encode(room).map_err(|error| room_to_encode(&error)))?;
            }
            _ => break,
        }
    }
    Ok(())
}

fn speak<C: Process>(
    conn: &mut C,
    incoming: &mut Vec<u8>,
    say: Say<'_>,
    out: &mut Outgoing,
) -> Result<(), Error> {
    loop {
        let status = conn.process(incoming);
        let (discard, mut is_done) = (status.discard, false);
        match status.state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                encrypt(&mut traffic, say, out)?;
                is_done = true;
            }
            ConnectionState::EncodeTlsData(mut data) => {
                out.append(|room| data.encode(room).map_err(|error| room_to_encode(&error)))?;
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            _ => return Err(Error::HandshakeNotComplete),
        }
        incoming.drain(..discard);
        if is_done {
            return Ok(());
        }
    }
}

fn encrypt<D>(
    traffic: &mut WriteTraffic<'_, D>,
    say: Say<'_>,
    out: &mut Outgoing,
) -> Result<(), Error> {
    out.append(|room| {
        let written = match say {
            Say::Data(plain) => traffic.encrypt(plain, room),
            Say::End => traffic.queue_close_notify(room),
        };
        written.map_err(|error| match error {
            EncryptError::InsufficientSize(size) => Some(size.required_size),
            EncryptError::EncryptExhausted => None,
        })
    })
}

/// How much room is needed, where that is what is wrong.
fn room_to_encode(error: &EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

impl Outgoing {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }

    /// Lets `encode` append; where it lacks room, it says how much it needs.
    fn append(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
    ) -> Result<(), Error> {
        for _ in 0..2 {
            match encode(&mut self.room[self.len..]) {
                Ok(written) => {
                    self.len += written;
                    return Ok(());
                }
                Err(Some(needed)) => self.room.resize(self.len + needed, 0),
                Err(None) => break,
            }
        }
        Err(Error::EncryptError)
    }
}

impl Sink<'_> {
    fn take(&mut self, plain: &[u8]) {
        let room = &mut self.room[self.len..];
        let (front, rest) = plain.split_at(plain.len().min(room.len()));
        room[..front.len()].copy_from_slice(front);
        self.len += front.len();
        self.kept.extend_from_slice(rest);
    }
}
