//! The opening handshake over a transport (RFC 6455, section 4.1).
//!
//! Owns what has come before the connection is open. Never sends a byte between its request and the
//! verified answer.

use std::io;
use std::time::Duration;

use super::deadline::Deadline;
use super::transport::Transport;
use super::{Answer, ClientError, Step};
use crate::extension::{self, Params};
use crate::handshake::{AnswerError, ClientRequest};
use crate::http::{Body, HeadLimits, HeadScan, HeaderSlots, ResponseHead, dechunk};

/// How many 1xx other than 101 may come first (RFC 9110, section 15.2).
const INTERIM_MAX: usize = 8;

/// How long the body of a refusal is waited for: it is only for people to read.
const BODY_TIME: Duration = Duration::from_secs(2);

/// What the server made of the request.
pub(super) enum Opening {
    Opened(Opened),
    /// Any status but 101, as plain HTTP has it.
    Refused(Answer),
}

/// What was agreed on, and what the server has sent since.
pub(super) struct Opened {
    pub(super) answer: Answer,
    pub(super) subprotocol: Option<String>,
    pub(super) params: Option<Params>,
    pub(super) glued: Vec<u8>,
}

/// What bounds an answer, and what was offered.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) head: &'a HeadLimits,
    pub(super) body_bytes_max: usize,
    pub(super) compression: &'a extension::Config,
}

/// Sends the request and judges the answer.
pub(super) fn open(
    transport: &mut Transport,
    request: &ClientRequest,
    limits: Limits<'_>,
    deadline: Deadline,
) -> Result<Opening, ClientError> {
    let Limits { head: limits, body_bytes_max, compression } = limits;
    let mut out = Vec::new();
    request.encode(&mut out);
    write_all(transport, &out, deadline, Step::Handshake)?;
    let mut received = Received::default();
    let head_len = received.final_head(transport, limits, deadline, Step::Handshake)?;
    let (head, rest) = received.bytes().split_at(head_len);
    let mut slots = HeaderSlots::new();
    let response = ResponseHead::parse(head, &mut slots, limits)?;
    let answer = Answer::new(&response);
    match request.verify(&response) {
        Ok(accepted) => {
            let subprotocol = accepted.subprotocol().map(str::to_owned);
            // Without an offer there are none, or `verify` would have failed.
            let mut extensions = accepted.extensions();
            let params = extensions.next().map(|answer| {
                let list = answer.params().map(|param| (param.name, param.value));
                extension::verify_answer(list, compression)
            });
            let (params, glued) = (params.transpose()?, rest.to_vec());
            Ok(Opening::Opened(Opened { answer, subprotocol, params, glued }))
        }
        Err(AnswerError::Status(_)) => {
            // RFC 9112, section 6.3: these have no body, whatever their headers say.
            let bodiless = matches!(response.status(), 204 | 304);
            let framing = if bodiless { Body::Length(0) } else { response.body() };
            let body = read_body(transport, rest.to_vec(), framing, body_bytes_max, deadline);
            Ok(Opening::Refused(answer.with_body(body)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes everything before the deadline.
pub(super) fn write_all(
    transport: &mut Transport,
    mut bytes: &[u8],
    deadline: Deadline,
    step: Step,
) -> Result<(), ClientError> {
    while !bytes.is_empty() {
        let wait = deadline.left().map_err(|_| ClientError::Timeout(step))?;
        let count = transport.write(bytes, wait).map_err(|error| ClientError::Lost(Some(error)))?;
        bytes = &bytes[count.unwrap_or(0)..];
    }
    Ok(())
}

/// What has been received, from the first byte of a response on.
#[derive(Debug, Default)]
pub(super) struct Received(Vec<u8>);

impl Received {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads until the head of the final response is there, and says how long it is. The interim
    /// ones before it are dropped.
    pub(super) fn final_head(
        &mut self,
        transport: &mut Transport,
        limits: &HeadLimits,
        deadline: Deadline,
        step: Step,
    ) -> Result<usize, ClientError> {
        for _ in 0..=INTERIM_MAX {
            let head_len = self.head(transport, limits, deadline, step)?;
            let mut slots = HeaderSlots::new();
            let status = ResponseHead::parse(&self.0[..head_len], &mut slots, limits)?.status();
            if status >= 200 || status == 101 {
                return Ok(head_len);
            }
            self.0.drain(..head_len);
        }
        Err(AnswerError::Status(100).into())
    }

    fn head(
        &mut self,
        transport: &mut Transport,
        limits: &HeadLimits,
        deadline: Deadline,
        step: Step,
    ) -> Result<usize, ClientError> {
        let mut scan = HeadScan::new();
        loop {
            let found = scan.scan(&self.0, limits).map_err(crate::http::ResponseError::from)?;
            if let Some(head_len) = found {
                return Ok(head_len);
            }
            let wait = deadline.left().map_err(|_| ClientError::Timeout(step))?;
            match self.read(transport, wait) {
                Ok(Some(0)) => return Err(ClientError::Lost(None)),
                Ok(_) => {}
                Err(error) => return Err(ClientError::Lost(Some(error))),
            }
        }
    }

    fn read(
        &mut self,
        transport: &mut Transport,
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        let mut block = [0; 4096];
        let count = transport.read(&mut block, wait)?;
        self.0.extend_from_slice(&block[..count.unwrap_or(0)]);
        Ok(count)
    }
}

/// Reads the body of a refusal, as far as it comes: without it the refusal stands just as well.
fn read_body(
    transport: &mut Transport,
    begun: Vec<u8>,
    framing: Body,
    bytes_max: usize,
    deadline: Deadline,
) -> Vec<u8> {
    let deadline = deadline.within(BODY_TIME);
    let wanted = match framing {
        Body::Length(len) => usize::try_from(len).unwrap_or(usize::MAX).min(bytes_max),
        Body::None | Body::Chunked => bytes_max,
    };
    let mut received = Received(begun);
    while received.0.len() < wanted {
        let chunked_end = framing == Body::Chunked && received.0.ends_with(b"0\r\n\r\n");
        let Ok(wait) = deadline.left() else { break };
        if chunked_end || !matches!(received.read(transport, wait), Ok(None | Some(1..))) {
            break;
        }
    }
    received.0.truncate(wanted);
    if framing == Body::Chunked { dechunk(&received.0) } else { received.0 }
}
