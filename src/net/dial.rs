//! Connections that the loop opens itself: its client role (RFC 6455 section 4.1).
//!
//! Owns a connection from the wish for it to the server's verified answer. Never resolves a name,
//! never follows a redirect, never tries twice: that is for who dials.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::reading::Reading;
use super::{Config, EventLoop, Handler, Platform, Poll, Stream};
use crate::extension::{self, Direction, Params, verify_answer};
use crate::handshake::{AnswerError, ClientRequest};
use crate::http::{HeadScan, HeaderSlots, ResponseError, ResponseHead};

/// A connection to be opened: see [`Peers::connect`](super::Peers::connect).
#[derive(Debug)]
pub struct Dial<S> {
    /// The server.
    pub to: SocketAddr,
    /// The address to come from, where it matters.
    pub from: Option<IpAddr>,
    /// What is asked of it. The engine adds the offer of permessage-deflate.
    pub request: ClientRequest,
    /// The session of the connection.
    pub session: S,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No socket could be had, or it cannot be watched.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// The transport ended before the answer was there, or never came to be.
    #[error("the connection ended before it was open")]
    Lost,
    /// No answer came in time.
    #[error("the handshake took too long")]
    Timeout,
    /// The answer is no HTTP.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// The answer is no, or breaks a rule of the handshake.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The answer says of permessage-deflate what was not offered (RFC 7692 section 5).
    #[error(transparent)]
    Extension(#[from] extension::AnswerError),
}

/// A handshake that waits for its answer.
#[derive(Debug)]
pub(super) struct Dialled {
    request: ClientRequest,
    buffer: Vec<u8>,
    scan: HeadScan,
    is_sent: bool,
}

/// What an answer says.
struct Answered {
    head_len: usize,
    params: Option<Params>,
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Begins to open a connection.
    pub(super) fn dial(&mut self, dial: Dial<H::Session>) {
        let Dial { to, from, request, session } = dial;
        let connected = self.poll.connect(from, to);
        let led = connected.and_then(|mut stream| {
            stream.lead_to(request.host())?;
            Ok(stream)
        });
        let stream = match led {
            Ok(stream) => stream,
            Err(error) => return self.handler.refused(&mut self.peers, session, error.into()),
        };
        let mut offer = String::new();
        extension::write_offer(&self.peers.deflaters.config, &mut offer);
        let request = request.clone().extensions(offer).unwrap_or(request); // none, if it is off
        let id = self.peers.insert(stream);
        self.make_room(id);
        let (buffer, scan) = (Vec::new(), HeadScan::new());
        let dialled = Dialled { request, buffer, scan, is_sent: false };
        self.readings[id.slot()] = Reading::Dialled(Box::new(dialled));
        let peer = &mut self.peers.table[id.slot()];
        peer.session = Some(session);
        if let Err(error) = self.poll.register(&mut peer.stream, id) {
            self.refuse_dial(id.slot(), error.into());
        }
    }

    /// The transport is there: sends the request, once.
    pub(super) fn send_request(&mut self, index: usize) {
        if self.peers.table[index].stream.is_opening() {
            return; // that goes first
        }
        let Reading::Dialled(dialled) = &mut self.readings[index] else { return };
        if !std::mem::replace(&mut dialled.is_sent, true) {
            self.peers.write(index, |out| dialled.request.encode(out));
        }
    }

    /// Takes bytes of the answer.
    pub(super) fn receive_answer(&mut self, index: usize, input: &[u8]) {
        let Reading::Dialled(dialled) = &mut self.readings[index] else { return };
        dialled.buffer.extend_from_slice(input);
        match judge_answer(dialled, &self.peers.config) {
            Ok(None) => {}
            Ok(Some(Answered { head_len, params })) => {
                let mut rest = dialled.buffer.split_off(head_len);
                self.open_dialled(index, params);
                self.receive_frames(index, Some(&mut rest), 0);
            }
            Err(error) => self.refuse_dial(index, error),
        }
    }

    fn open_dialled(&mut self, index: usize, params: Option<Params>) {
        let incoming = params.map_or(Direction::PLAIN, Direction::of_server);
        let outgoing = params.map_or(Direction::PLAIN, Direction::of_client);
        self.open(index, incoming, outgoing);
    }

    /// A connection was not opened after all. It is gone when this returns.
    pub(super) fn refuse_dial(&mut self, index: usize, error: DialError) {
        let session = self.peers.table[index].session.take();
        self.remove(index);
        if let Some(session) = session {
            self.handler.refused(&mut self.peers, session, error);
        }
    }

    pub(super) fn is_dialled(&self, index: usize) -> bool {
        matches!(self.readings[index], Reading::Dialled(_))
    }
}

/// Whether the answer is whole, and takes us in.
fn judge_answer(dialled: &mut Dialled, config: &Config) -> Result<Option<Answered>, DialError> {
    let Dialled { request, buffer, scan, .. } = dialled;
    let found = scan.scan(buffer, &config.head).map_err(ResponseError::from)?;
    let Some(head_len) = found else { return Ok(None) };
    let mut slots = HeaderSlots::new();
    let response = ResponseHead::parse(&buffer[..head_len], &mut slots, &config.head)?;
    let accepted = request.verify(&response)?;
    let mut params = None;
    for answer in accepted.extensions() {
        // Nothing else is offered, so that nothing else can be here.
        let list = answer.params().map(|param| (param.name, param.value));
        params = Some(verify_answer(list, &config.deflate)?);
    }
    Ok(Some(Answered { head_len, params }))
}
