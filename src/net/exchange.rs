//! HTTP on a connection, until it becomes a WebSocket.
//!
//! Owns a request that has come in part, and what is answered to whole ones. Never lets requests
//! that are sent ahead make a peer owed more than its mark.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::dial::DialError;
use super::peer::Stage;
use super::reading::Reading;
use super::{EventLoop, Handler, Particulars, Peers, Platform, Request, Stream, Verdict};
use crate::extension::{self, Direction, Mode, Params};
use crate::handshake::{self, HandshakeError, Offer};
use crate::http::{self, Body, EncodeOptions, HeadScan, HeaderSlots, HttpError, Response};
use crate::proto::Inbound;

/// What plain HTTP is told where TLS is spoken.
const ASTRAY: &str = "this port speaks TLS: the address begins with https:// or wss://\n";

/// A request that has come in part, and what was sent ahead after it.
#[derive(Debug)]
pub(super) struct Exchange {
    buffer: Vec<u8>,
    scan: HeadScan,
    /// Nothing new can be said before so many bytes are there.
    needed: usize,
    /// Whether it may be whole, and waits for the peer to read its answers.
    stalled: bool,
    held: Held,
}

/// How much the buffer of an exchange takes, as part of what all of the loop take.
#[derive(Debug)]
struct Held {
    bytes: usize,
    sum: Arc<AtomicUsize>,
}

impl Held {
    fn set(&mut self, bytes: usize) {
        self.sum.fetch_add(bytes.wrapping_sub(self.bytes), Relaxed); // wraps where it is less
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What became of the front of some bytes.
enum Step {
    /// No whole request: so many bytes are needed.
    More(usize),
    /// A request of this length was answered.
    Answered(usize),
    /// A request of this length was a handshake, and was taken.
    Upgraded(usize),
    /// The handler will decide.
    Pending,
    /// Nothing more is read.
    Ended,
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Takes bytes of a request.
    pub(super) fn receive_request(&mut self, index: usize, input: &mut [u8]) {
        if self.peers.table[index].stream.is_astray() {
            return self.refuse(index, &Response::text(400, ASTRAY).close());
        }
        let Reading::Request(exchange) = &mut self.readings[index] else { return };
        let Some(mut exchange) = exchange.take() else {
            return self.serve(index, input, HeadScan::new());
        };
        exchange.buffer.extend_from_slice(input);
        exchange.held.set(exchange.buffer.capacity());
        if exchange.buffer.len() < exchange.needed {
            self.readings[index] = Reading::Request(Some(exchange));
            return;
        }
        self.serve(index, &mut exchange.buffer, exchange.scan);
    }

    /// Goes on with requests that were sent ahead.
    pub(super) fn serve_stalled(&mut self, index: usize) {
        if !self.peers.table[index].paused && self.is_stalled(index) {
            self.receive_request(index, &mut []);
        }
    }

    /// Whether what was sent ahead has to wait for the peer to read its answers.
    pub(super) fn is_stalled(&self, index: usize) -> bool {
        matches!(&self.readings[index], Reading::Request(Some(exchange)) if exchange.stalled)
    }

    /// Answers the requests in `bytes`, and keeps what is no whole one.
    fn serve(&mut self, index: usize, bytes: &mut [u8], mut scan: HeadScan) {
        let mut at = 0;
        let (needed, stalled) = loop {
            match self.serve_one(index, &bytes[at..], &mut scan) {
                Step::More(needed) => break (needed, false),
                Step::Answered(len) => {
                    at += len;
                    scan = HeadScan::new();
                    let owed = self.peers.owed_bytes(index);
                    if owed > self.peers.config.backlog_high_bytes {
                        break (0, at < bytes.len());
                    }
                }
                Step::Upgraded(len) => {
                    self.receive_frames(index, Some(&mut bytes[at + len..]), 0);
                    return;
                }
                Step::Pending => {
                    let exchange = self.exchange(&bytes[at..], scan, 0, false);
                    self.readings[index] = Reading::Pending(exchange);
                    return;
                }
                Step::Ended => return,
            }
        };
        if at < bytes.len() {
            let exchange = self.exchange(&bytes[at..], scan, needed, stalled);
            self.readings[index] = Reading::Request(Some(exchange));
        }
        if stalled {
            self.read_again(index);
        }
    }

    /// Answers the request at the front of `bytes`, if it is whole.
    fn serve_one(&mut self, index: usize, bytes: &[u8], scan: &mut HeadScan) -> Step {
        match self.judge_request(index, bytes, scan, None) {
            Ok(step) => step,
            Err(error) => {
                self.refuse(index, &error.response());
                Step::Ended
            }
        }
    }

    /// Reads the request at the front of `bytes`, and carries out what was decided about it: by the
    /// handler now, or before, where it was left pending.
    fn judge_request(
        &mut self,
        index: usize,
        bytes: &[u8],
        scan: &mut HeadScan,
        decided: Option<Verdict<H::Session>>,
    ) -> Result<Step, HandshakeError> {
        let config = &self.peers.config;
        let Some(head_len) = scan.scan(bytes, &config.head)? else {
            return Ok(Step::More(bytes.len() + 1));
        };
        let mut slots = HeaderSlots::new();
        let head = http::Request::parse(&bytes[..head_len], &mut slots, &config.head)?;
        let offer = match Offer::from_request(&head) {
            Ok(offer) => offer,
            Err(error) => return Ok(self.refuse_head(index, &head, &error.response())),
        };
        let body_len = match body_len(&head, config.body_bytes_max) {
            Ok(len) => len,
            Err(error) => return Ok(self.leave_unread(index, &head, error)),
        };
        let len = head_len + body_len;
        let body = bytes.get(head_len..len);
        let is_stopping = self.draining.is_some();
        let request = self.peers.request(index, head, offer, body.unwrap_or_default(), is_stopping);
        if body.is_none() {
            if !self.handler.waits_for(&request, body_len) {
                return Ok(self.leave_unread(index, &head, HttpError::BodyTooLarge));
            }
            *scan = HeadScan::new(); // the head is read once more, when the body is there
            return Ok(Step::More(len));
        }
        let verdict = decided.unwrap_or_else(|| self.handler.request(&request));
        self.apply(index, &head, offer.as_ref(), len, verdict)
    }

    /// Answers a request whose body is not taken, and ends the connection.
    fn leave_unread(&mut self, index: usize, head: &http::Request<'_>, error: HttpError) -> Step {
        let response = self.handler.unread(head, error);
        self.refuse_head(index, head, &response)
    }

    /// Carries out a verdict.
    fn apply(
        &mut self,
        index: usize,
        head: &http::Request<'_>,
        offer: Option<&Offer<'_>>,
        len: usize,
        verdict: Verdict<H::Session>,
    ) -> Result<Step, HandshakeError> {
        let verdict = match verdict {
            Verdict::Accept(..) if self.takes_no_more() => Verdict::Respond(stopping()),
            verdict => verdict,
        };
        match (verdict, offer) {
            (Verdict::Pending, _) => Ok(Step::Pending),
            (Verdict::Accept(acceptance, session), Some(offer)) => {
                offer.check(&acceptance)?;
                let is_plain = acceptance.is_without_extensions();
                let params = if is_plain { None } else { self.negotiate(offer) };
                let acceptance = match params {
                    Some(params) => {
                        let mut answer = String::new();
                        params.write_answer(&mut answer);
                        acceptance.extensions(answer)
                    }
                    None => acceptance,
                };
                self.peers.write(index, |out| {
                    handshake::write_response(out, offer.key(), &acceptance);
                });
                let mut incoming = params.map_or(Direction::PLAIN, Direction::of_client);
                if acceptance.is_limited() {
                    incoming = incoming.limited();
                }
                let outgoing = params.map_or(Direction::PLAIN, Direction::of_server);
                self.peers.table[index].session = Some(session);
                self.open(index, incoming, outgoing);
                Ok(Step::Upgraded(len))
            }
            (Verdict::Accept(..), None) => Err(HandshakeError::Upgrade),
            (Verdict::Respond(response), offer) => {
                let mut options = EncodeOptions::answering(head);
                // What follows a handshake that was refused may be frames, not a request.
                options.keep_alive &= offer.is_none() && !response.closes() && !self.is_stopping();
                if let Some(offer) = offer {
                    self.say_refused(index, head, Some(*offer), &response);
                }
                self.peers.write(index, |out| response.encode(out, options));
                if !options.keep_alive {
                    self.readings[index] = Reading::Discard;
                    self.peers.end(index);
                    return Ok(Step::Ended);
                }
                self.peers.table[index].answered = true;
                self.peers.rest(index);
                Ok(Step::Answered(len))
            }
        }
    }

    /// What is agreed about compression. Contexts are promised as long as there is room for them.
    fn negotiate(&self, offer: &Offer<'_>) -> Option<Params> {
        let deflaters = &self.peers.deflaters;
        let mut config = deflaters.config;
        if config.mode == Mode::Dedicated && !deflaters.has_room() {
            config.mode = Mode::Shared;
        }
        let offers = offer.extensions().filter(|offer| offer.name() == extension::NAME);
        let params = offers.map(|offer| offer.params().map(|param| (param.name, param.value)));
        extension::negotiate(params, &config)
    }

    /// Keeps what has come of a request.
    fn exchange(
        &self,
        bytes: &[u8],
        scan: HeadScan,
        needed: usize,
        stalled: bool,
    ) -> Box<Exchange> {
        let mut held = Held { bytes: 0, sum: Arc::clone(&self.partial_requests) };
        let buffer = bytes.to_vec();
        held.set(buffer.capacity());
        Box::new(Exchange { buffer, scan, needed, stalled, held })
    }

    /// From here on the connection is a WebSocket.
    pub(super) fn open(&mut self, index: usize, incoming: Direction, outgoing: Direction) {
        self.readings[index] = Reading::Open(Inbound::with_extension(incoming));
        let peer = &mut self.peers.table[index];
        peer.direction = outgoing;
        if incoming.keeps_context() || outgoing.keeps_context() {
            peer.direction = outgoing.counted();
            self.peers.deflaters.count();
        }
        self.peers.enter(index, Stage::Open);
        self.peers.rest(index);
        let id = self.peers.id(index);
        self.peers.say_open(id, |session| self.handler.particulars(session, id));
        self.handler.open(&mut self.peers, id);
        self.drain_too(id);
    }

    /// Refuses a request whose head was read, and ends the connection.
    fn refuse_head(&mut self, index: usize, head: &http::Request<'_>, response: &Response) -> Step {
        self.say_refused(index, head, None, response);
        self.answer_last(index, response);
        Step::Ended
    }

    /// Counts the refusal of a request, and has the log tell of it.
    fn say_refused(
        &mut self,
        index: usize,
        head: &http::Request<'_>,
        offer: Option<Offer<'_>>,
        response: &Response,
    ) {
        if self.peers.counts_refused(response) {
            let request = self.peers.request(index, *head, offer, &[], self.draining.is_some());
            let particulars = self.handler.particulars_of_request(&request);
            self.peers.say_refused(index, response, particulars);
        }
    }

    /// Answers, and ends the connection.
    pub(super) fn refuse(&mut self, index: usize, response: &Response) {
        if self.peers.counts_refused(response) {
            self.peers.say_refused(index, response, Particulars::default());
        }
        self.answer_last(index, response);
    }

    fn answer_last(&mut self, index: usize, response: &Response) {
        self.readings[index] = Reading::Discard;
        self.peers.write(index, |out| response.encode(out, EncodeOptions::CLOSE));
        self.peers.end(index);
    }

    /// The handler has decided about a request.
    pub(super) fn decide(&mut self, index: usize, verdict: Verdict<H::Session>) {
        let reading = std::mem::replace(&mut self.readings[index], Reading::START);
        let Reading::Pending(mut exchange) = reading else {
            self.readings[index] = reading;
            return;
        };
        match self.judge_request(index, &exchange.buffer, &mut HeadScan::new(), Some(verdict)) {
            Ok(Step::Upgraded(len)) => {
                self.receive_frames(index, Some(&mut exchange.buffer[len..]), 0);
            }
            Ok(Step::Answered(len)) => {
                self.serve(index, &mut exchange.buffer[len..], HeadScan::new());
            }
            Ok(Step::Pending) => self.readings[index] = Reading::Pending(exchange),
            Ok(Step::More(_) | Step::Ended) => {}
            Err(error) => self.refuse(index, &error.response()),
        }
        self.read_again(index); // it may hold what was not read meanwhile
    }

    /// The server stops: a request under way gets 503, a connection without one just ends.
    pub(super) fn stop_request(&mut self, index: usize) {
        if self.is_dialled(index) {
            self.refuse_dial(index, DialError::Lost);
        } else if self.peers.table[index].stream.is_opening() {
            self.remove(index);
        } else if matches!(self.readings[index], Reading::Request(None) | Reading::Proxy(_)) {
            self.readings[index] = Reading::Discard;
            self.peers.end(index);
        } else {
            self.refuse(index, &stopping());
        }
    }

    /// A request has not come in time (408), or has not been decided about (503). A connection
    /// that was kept for a further request, and is silent, just ends.
    pub(super) fn expire_request(&mut self, index: usize) {
        let is_kept = self.peers.table[index].answered;
        let is_opening = self.peers.table[index].stream.is_opening();
        match &self.readings[index] {
            Reading::Dialled(_) => self.refuse_dial(index, DialError::Timeout),
            Reading::Proxy(_) => self.remove(index),
            Reading::Request(_) if is_opening => self.remove(index), // nothing can be said
            Reading::Request(None) if is_kept => self.peers.end(index),
            Reading::Pending(_) => {
                let response = Response::text(503, "no decision in time\n").close();
                self.refuse(index, &response.because("no decision in time"));
            }
            Reading::Request(_) | Reading::Open(_) | Reading::Discard => {
                self.refuse(index, &HttpError::Timeout.response());
            }
        }
    }
}

impl<S, P: Platform> Peers<S, P> {
    /// A request, as the handler gets it.
    fn request<'a>(
        &'a self,
        index: usize,
        head: http::Request<'a>,
        offer: Option<Offer<'a>>,
        body: &'a [u8],
        is_stopping: bool,
    ) -> Request<'a> {
        let id = self.id(index);
        let (stream, clock) = (&self.table[index].stream, &self.clock);
        let proxied = self.proxied.find(id);
        Request { id, head, offer, body, stream, proxied, clock, is_stopping }
    }
}

/// The answer to what a server that stops does not take.
fn stopping() -> Response {
    let words = "the server stops";
    Response::text(503, format!("{words}\n")).header("Retry-After", "1").because(words)
}

/// The length of the body behind a head, where it is taken.
fn body_len(head: &http::Request<'_>, max: usize) -> Result<usize, HttpError> {
    match head.body() {
        Body::None => Ok(0),
        Body::Length(len) => {
            let len = usize::try_from(len).ok().filter(|len| *len <= max);
            len.ok_or(HttpError::BodyTooLarge)
        }
        Body::Chunked => Err(HttpError::LengthRequired),
    }
}

impl Exchange {
    /// What it takes, in bytes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held.bytes
    }
}
