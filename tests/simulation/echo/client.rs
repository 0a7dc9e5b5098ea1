//! A client: what it does, what it has seen, and what it may expect of a server.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::dice::Dice;
use crate::frames::{Parser, encode};
use crate::world::Excuse;

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keeps the protocol, reads everything (if with pauses), closes properly.
    Good,
    /// Ends TCP without a Close when it has said everything; reads on.
    HalfClose,
    /// Breaks the protocol in the end.
    Break,
    /// Resets the connection.
    Reset,
    /// Stops reading for ever.
    Deaf,
    /// Stops saying anything, and does not answer pings.
    Silent,
    /// Sends half a request.
    HalfRequest,
    /// Sends a request that is no handshake.
    Plain,
}

/// One step of a client's script.
#[derive(Clone, Debug)]
pub enum Step {
    Request {
        whole: bool,
    },
    /// Text or binary in so many fragments, with or without pings between them.
    Message {
        opcode: u8,
        payload: Rc<[u8]>,
        fragments: usize,
        pings: bool,
    },
    Ping,
    /// Stops reading for a while.
    Pause(Duration),
    /// Says nothing for a while.
    Rest(Duration),
    /// Says nothing until everything is answered.
    Settle,
    /// Breaks the protocol; the code that it should be told, and some more bytes.
    Break {
        bytes: Vec<u8>,
        code: u16,
    },
    Close(Option<u16>),
    Fin,
    Reset,
    Deaf,
}

impl Step {
    /// Its debug form, cut: payloads are long.
    pub fn name(&self) -> String {
        format!("{self:?}").chars().take(90).collect()
    }
}

/// Why the handler was told that a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Peer(Option<u16>),
    Protocol(u16),
    Lost,
    Pong,
    Write,
    Close,
    Backlogged,
}

/// What a client answers at once.
#[derive(Default)]
pub struct Reply {
    pub bytes: Vec<u8>,
    /// Its script goes on: what it had waited for is there.
    pub goes_on: bool,
}

pub struct Sent {
    pub opcode: u8,
    pub payload: Rc<[u8]>,
    /// The policy said that it is not echoed.
    pub dropped: bool,
}

pub struct Client {
    pub kind: Kind,
    pub script: VecDeque<Step>,
    pub sent: Vec<Sent>,
    /// How many of `sent` the handler has had, and how many came back.
    pub handled: usize,
    echoed: usize,
    /// Broadcasts that the handler sent to this client and that have not come.
    pub broadcasts: VecDeque<Rc<[u8]>>,
    /// Whether some of that may be missing.
    pub lossy: bool,
    pings: Vec<[u8; 9]>,
    ponged: usize,
    head: Vec<u8>,
    status: Option<u16>,
    parser: Parser,
    pub connected: bool,
    pub paused_until: Duration,
    longest_pause: Duration,
    pub is_deaf: bool,
    /// Reads little at a time, with long breaks.
    pub is_trickling: bool,
    pub settling_since: Option<Duration>,
    close_sent: Option<Option<u16>>,
    close_got: Option<Option<u16>>,
    pub code_expected: Option<u16>,
    /// When it last said something.
    pub said_at: Duration,
    ended_at: Option<Duration>,
    fin_wanted: bool,
    pub fin_sent: bool,
    fin_got: bool,
    reset_got: bool,
    pub gone: bool,
    pub opens: u32,
    pub closes: Vec<Ended>,
    excuse: Option<Excuse>,
}

impl Client {
    pub fn new(kind: Kind, script: VecDeque<Step>, lossy: bool) -> Self {
        Self {
            kind,
            script,
            sent: Vec::new(),
            handled: 0,
            echoed: 0,
            broadcasts: VecDeque::new(),
            lossy,
            pings: Vec::new(),
            ponged: 0,
            head: Vec::new(),
            status: None,
            parser: Parser::default(),
            connected: false,
            paused_until: Duration::ZERO,
            longest_pause: Duration::ZERO,
            is_deaf: false,
            is_trickling: false,
            settling_since: None,
            close_sent: None,
            close_got: None,
            code_expected: None,
            said_at: Duration::ZERO,
            ended_at: None,
            fin_wanted: false,
            fin_sent: false,
            fin_got: false,
            reset_got: false,
            gone: false,
            opens: 0,
            closes: Vec::new(),
            excuse: None,
        }
    }

    pub fn excuse(&mut self, excuse: Excuse) {
        // Who is kicked had no Close before: a stop that was asked for has yet to come to it.
        let is_first =
            self.excuse.is_none() || (self.excuse, excuse) == (Some(Excuse::Stop), Excuse::Kicked);
        if is_first && !self.is_done() {
            self.excuse = Some(excuse);
        }
    }

    pub fn is_done(&self) -> bool {
        self.fin_got || self.reset_got || self.gone
    }

    /// Whether nothing is under way on its connection.
    pub fn is_at_rest(&self) -> bool {
        !self.connected
            || self.is_done()
            || (self.is_upgraded() && self.is_answered() && self.close_sent.is_none())
    }

    pub fn is_upgraded(&self) -> bool {
        self.status == Some(101)
    }

    /// Whether what it said has come back, and the newest of its pings was answered.
    pub fn is_answered(&self) -> bool {
        (self.lossy || self.sent[self.echoed..].iter().all(|sent| sent.dropped))
            && self.ponged == self.pings.len()
    }

    pub fn has_heard_close(&self) -> bool {
        self.close_got.is_some()
    }

    /// Whether it may still send frames.
    pub fn is_talking(&self) -> bool {
        self.close_sent.is_none() && !self.fin_sent && !self.is_done()
    }

    pub fn pause(&mut self, now: Duration, pause: Duration) {
        self.paused_until = now + pause;
        self.longest_pause = self.longest_pause.max(pause);
    }

    pub fn take_fin(&mut self) -> bool {
        let fin = std::mem::take(&mut self.fin_wanted);
        self.fin_sent |= fin;
        fin
    }

    pub fn next_ping(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut id = [0; 9];
        id[..8].copy_from_slice(&(self.pings.len() as u64).to_be_bytes());
        id[8] = dice.below(256) as u8;
        self.pings.push(id);
        let mut payload = id.to_vec();
        payload.resize(dice.between(9, 125), id[8]);
        payload
    }

    pub fn close(&mut self, code: Option<u16>) {
        self.close_sent = Some(code);
    }

    /// Takes what the server wrote.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Result<Reply, String> {
        let mut reply = Reply::default();
        if self.is_upgraded() {
            self.parser.push(bytes);
        } else if !bytes.is_empty() {
            self.receive_head(bytes)?;
        }
        if !self.is_upgraded() {
            return Ok(reply);
        }
        while let Some(frame) = self.parser.next()? {
            if self.close_got.is_some() && frame.opcode != 10 {
                return Err(format!("opcode {} after the server's Close", frame.opcode));
            }
            match frame.opcode {
                1 | 2 => self.take_message(frame.opcode, &frame.payload)?,
                8 => self.take_close(&frame.payload, now, &mut reply)?,
                9 if self.is_talking() && self.kind != Kind::Silent => {
                    self.said_at = now;
                    encode(&mut reply.bytes, 0x8A, &frame.payload, [7, 77, 177, 207]);
                }
                9 => {}
                _ => self.take_pong(&frame.payload)?,
            }
        }
        reply.goes_on = self.settling_since.is_some() && self.is_answered();
        Ok(reply)
    }

    fn receive_head(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        let rest = self.head.split_off(end + 4);
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        self.status = status;
        let accept = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        if status == Some(101) {
            if !head.to_lowercase().contains(&accept.to_lowercase()) {
                return Err(format!("a handshake answered with {head:?}"));
            }
            self.parser.push(&rest);
        }
        Ok(())
    }

    fn take_message(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        if payload.first() == Some(&b'#') {
            while let Some(expected) = self.broadcasts.pop_front() {
                if *expected == *payload && opcode == 1 {
                    return Ok(());
                }
                if !self.lossy {
                    break;
                }
            }
            return Err(format!("a broadcast of {} bytes out of order", payload.len()));
        }
        while let Some(expected) = self.sent.get(self.echoed) {
            self.echoed += 1;
            if expected.opcode == opcode && *expected.payload == *payload && !expected.dropped {
                return Ok(());
            }
            if !expected.dropped && !self.lossy {
                break;
            }
        }
        let start = String::from_utf8_lossy(&payload[..payload.len().min(20)]).into_owned();
        let (at, len) = (self.echoed, payload.len());
        Err(format!("echo {at} of {} is not what was sent: {start:?} ({len})", self.sent.len()))
    }

    fn take_pong(&mut self, payload: &[u8]) -> Result<(), String> {
        let rest = &self.pings[self.ponged..];
        let Some(at) = rest.iter().position(|ping| payload.get(..9) == Some(ping)) else {
            return Err(format!("a pong out of order: {payload:02x?}"));
        };
        self.ponged += at + 1;
        Ok(())
    }

    fn take_close(&mut self, body: &[u8], now: Duration, reply: &mut Reply) -> Result<(), String> {
        let code = match body {
            [] => None,
            [high, low, reason @ ..] => {
                std::str::from_utf8(reason).map_err(|error| error.to_string())?;
                Some(u16::from_be_bytes([*high, *low]))
            }
            [_] => return Err("a Close of one byte".to_owned()),
        };
        self.close_got = Some(code);
        self.ended_at = Some(now);
        let is_broken = self.kind == Kind::Break && self.code_expected.is_some();
        if self.is_talking() && self.kind != Kind::Silent && !is_broken {
            self.close(code);
            encode(&mut reply.bytes, 0x88, body, [9, 8, 7, 6]);
        }
        Ok(())
    }

    /// The server has ended its side of TCP.
    pub fn on_fin(&mut self, dice: &mut Dice, now: Duration) -> Result<(), String> {
        if self.fin_got {
            return Ok(());
        }
        self.fin_got = true;
        self.ended_at.get_or_insert(now);
        self.fin_wanted = !self.fin_sent && !dice.once_in(4); // else the server stops waiting
        if self.parser.is_inside() && self.excuse.is_none() {
            return Err("the end of TCP inside a frame".to_owned());
        }
        Ok(())
    }

    pub fn on_reset(&mut self) {
        self.reset_got = true;
    }

    /// What it waits for, where a world does not come to an end.
    pub fn waiting(&self) -> Option<String> {
        let step = self.script.front().map(Step::name).unwrap_or_default();
        (!self.is_done()).then(|| {
            format!(
                "{:?} next {}, {} of {} echoed, {} of {} pings answered, close {:?}/{:?}",
                self.kind,
                step,
                self.echoed,
                self.sent.len(),
                self.ponged,
                self.pings.len(),
                self.close_sent,
                self.close_got
            )
        })
    }

    /// What the server still owes at the end of the world.
    pub fn judge(&self, was_full: bool, jumped: bool) -> Result<(), String> {
        let ends = u32::try_from(self.closes.len()).unwrap_or(u32::MAX);
        if self.opens > 1 || ends != self.opens {
            return Err(format!("{} times open, {:?}", self.opens, self.closes));
        }
        if let Some(excuse) = self.excuse {
            return self.judge_excused(excuse);
        }
        // Who does not read does not see the ping.
        if self.longest_pause > Duration::from_secs(8) && self.closes == [Ended::Pong] {
            return Ok(());
        }
        match self.kind {
            Kind::Good => {
                self.judge_answers(was_full)?;
                let code = self.close_sent.flatten();
                self.judge_end(Some(code), Ended::Peer(code))
            }
            Kind::HalfClose => {
                self.judge_answers(was_full)?;
                self.judge_end(None, Ended::Lost)
            }
            Kind::Break => {
                self.judge_answers(was_full)?;
                // The Close frames that may not be sent are an end, too, but a protocol error.
                let code = self.code_expected.unwrap_or_default();
                self.judge_end(Some(Some(code)), Ended::Protocol(code))
            }
            Kind::Silent => {
                self.judge_answers(true)?;
                self.judge_end(Some(Some(1008)), Ended::Pong)?;
                let silent = self.ended_at.unwrap_or_default().saturating_sub(self.said_at);
                let is_due = (34.0..47.0).contains(&silent.as_secs_f64()) || jumped;
                is_due.then_some(()).ok_or(format!("given up after {silent:?} of silence"))
            }
            Kind::HalfRequest => self.judge_refusal(408),
            Kind::Plain => self.judge_refusal(426),
            Kind::Reset | Kind::Deaf => Ok(()),
        }
    }

    fn judge_excused(&self, excuse: Excuse) -> Result<(), String> {
        let codes: &[u16] = match excuse {
            Excuse::Stop => &[1001],
            Excuse::Backlogged => &[1008, 1013],
            Excuse::Kicked => &[4001],
            Excuse::Aborted | Excuse::Full | Excuse::Unwatched => return Ok(()),
        };
        let is_good = matches!(self.kind, Kind::Good | Kind::HalfClose);
        // It may have closed itself before, or been cut off when its time was over.
        let own = self.close_sent.flatten();
        match self.close_got {
            Some(got) if is_good && !got.is_some_and(|got| codes.contains(&got)) && got != own => {
                Err(format!("closed with {got:?} where {excuse:?} asks for {codes:?}"))
            }
            _ => Ok(()),
        }
    }

    fn judge_answers(&self, was_full: bool) -> Result<(), String> {
        let missing = self.sent[self.echoed..].iter().filter(|sent| !sent.dropped).count();
        if missing > 0 && !self.lossy {
            return Err(format!("{missing} of {} echoes are missing", self.sent.len()));
        }
        if !self.broadcasts.is_empty() && !self.lossy {
            return Err(format!("{} broadcasts are missing", self.broadcasts.len()));
        }
        if self.ponged < self.pings.len() && !was_full {
            return Err(format!("{} of {} pings answered", self.ponged, self.pings.len()));
        }
        Ok(())
    }

    fn judge_end(&self, close: Option<Option<u16>>, ended: Ended) -> Result<(), String> {
        if self.close_got != close || !self.fin_got || self.reset_got || self.closes != [ended] {
            return Err(format!(
                "ended with Close {:?}, FIN {}, reset {}, handler told {:?}; \
                 not {close:?}, {ended:?}",
                self.close_got, self.fin_got, self.reset_got, self.closes
            ));
        }
        Ok(())
    }

    fn judge_refusal(&self, status: u16) -> Result<(), String> {
        if self.status != Some(status) || !self.fin_got || self.reset_got || self.opens > 0 {
            let (fin, reset) = (self.fin_got, self.reset_got);
            return Err(format!("answered {:?}, FIN {fin}, reset {reset}", self.status));
        }
        Ok(())
    }
}
