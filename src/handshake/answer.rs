//! The server's answer to a client's opening handshake (RFC 6455, section 4.1, second half).
//!
//! Owns every check of the answer. Never looks at what an accepted extension's parameters mean:
//! that is the extension's business.

use super::{ClientRequest, ExtensionOffer, extensions};
use crate::http::fields::{has_token, is_token};
use crate::http::{Body, Headers, Repeated, ResponseHead};

/// What the server agreed to. Borrows the head of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    subprotocol: Option<&'a str>,
    headers: Headers<'a>,
}

/// What the server got wrong in its half of the handshake. The connection fails: not a byte is sent
/// on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a fault of the handshake: the server answers as plain HTTP does.
    #[error("the server answered with status {0} instead of 101")]
    Status(u16),
    #[error("the server answered 101 in HTTP/1.0")]
    HttpVersion,
    #[error("the server's answer does not upgrade to websocket")]
    Upgrade,
    #[error("the server's answer does not name Upgrade in Connection")]
    Connection,
    #[error("the server's answer lacks Sec-WebSocket-Accept: it may not speak WebSocket")]
    AcceptMissing,
    #[error("the server's answer has more than one Sec-WebSocket-Accept")]
    AcceptRepeated,
    #[error("the server's Sec-WebSocket-Accept does not answer this request's key")]
    Accept,
    #[error("the server's Sec-WebSocket-Extensions is malformed")]
    Extensions,
    #[error("the server accepted an extension that was not offered")]
    ExtensionNotOffered,
    #[error("the server accepted an extension twice")]
    ExtensionRepeated,
    #[error("the server's Sec-WebSocket-Protocol is malformed or given more than once")]
    Subprotocol,
    #[error("the server chose a subprotocol that was not offered")]
    SubprotocolNotOffered,
    #[error("the server put a body behind its 101")]
    Body,
}

impl ClientRequest {
    /// Checks the answer to this request. Only after it may anything be sent.
    ///
    /// # Errors
    ///
    /// The first rule broken. [`AnswerError::Status`] is for the caller to handle as HTTP: a
    /// redirect, a demand for authentication, a refusal.
    pub fn verify<'a>(&self, response: &ResponseHead<'a>) -> Result<Accepted<'a>, AnswerError> {
        // Section 4.1, second list, item 1.
        if response.status() != 101 {
            return Err(AnswerError::Status(response.status()));
        }
        if !response.is_http_11() {
            return Err(AnswerError::HttpVersion); // RFC 9110, section 7.8
        }
        let headers = response.headers();
        check_upgrade(headers)?;
        // Item 3.
        if !has_token(headers.all("connection"), "upgrade") {
            return Err(AnswerError::Connection);
        }
        self.check_accept(headers)?;
        self.check_extensions(headers)?;
        let subprotocol = self.subprotocol_in(headers)?;
        // RFC 9110, section 8.6: none in 1xx. Whoever reads one would take frames for a body.
        if !matches!(response.body(), Body::None | Body::Length(0)) {
            return Err(AnswerError::Body);
        }
        Ok(Accepted { subprotocol, headers })
    }

    /// Item 4. Blanks around the value are gone since the head was parsed.
    fn check_accept(&self, headers: Headers<'_>) -> Result<(), AnswerError> {
        match headers.only("sec-websocket-accept") {
            Ok(Some(value)) if value == self.key().accept() => Ok(()),
            Ok(Some(_)) => Err(AnswerError::Accept),
            Ok(None) => Err(AnswerError::AcceptMissing),
            Err(Repeated) => Err(AnswerError::AcceptRepeated),
        }
    }

    /// Item 5: nothing that was not offered, nothing twice, and by the grammar of section 9.1.
    fn check_extensions(&self, headers: Headers<'_>) -> Result<(), AnswerError> {
        let mut count = 0;
        for accepted in accepted_extensions(headers) {
            let accepted = accepted.map_err(|extensions::Malformed| AnswerError::Extensions)?;
            if !self.offers_extension(accepted.name()) {
                return Err(AnswerError::ExtensionNotOffered);
            }
            let earlier = accepted_extensions(headers).flatten().take(count);
            if earlier.map(|it| it.name()).any(|name| name == accepted.name()) {
                return Err(AnswerError::ExtensionRepeated);
            }
            count += 1; // at most as many as were offered: each name once
        }
        let named = headers.first("sec-websocket-extensions").is_some();
        if named && count == 0 { Err(AnswerError::Extensions) } else { Ok(()) }
    }

    /// Item 6: one that was offered. Naming none is the server's right.
    fn subprotocol_in<'a>(&self, headers: Headers<'a>) -> Result<Option<&'a str>, AnswerError> {
        let value = match headers.only("sec-websocket-protocol") {
            Ok(Some(value)) if is_token(value) => value,
            Ok(None) => return Ok(None),
            Ok(Some(_)) | Err(Repeated) => return Err(AnswerError::Subprotocol),
        };
        match str::from_utf8(value) {
            Ok(name) if self.offers_subprotocol(name) => Ok(Some(name)),
            Ok(_) | Err(_) => Err(AnswerError::SubprotocolNotOffered),
        }
    }
}

/// Item 2: the value is "websocket" without regard to case, not a list that holds it.
fn check_upgrade(headers: Headers<'_>) -> Result<(), AnswerError> {
    match headers.only("upgrade") {
        Ok(Some(value)) if value.eq_ignore_ascii_case(b"websocket") => Ok(()),
        Ok(_) | Err(Repeated) => Err(AnswerError::Upgrade),
    }
}

fn accepted_extensions<'a>(
    headers: Headers<'a>,
) -> impl Iterator<Item = Result<ExtensionOffer<'a>, extensions::Malformed>> {
    headers.all("sec-websocket-extensions").flat_map(extensions::offers)
}

impl<'a> Accepted<'a> {
    /// The subprotocol that the server chose from the offered ones.
    pub const fn subprotocol(&self) -> Option<&'a str> {
        self.subprotocol
    }

    /// The extensions in use, in the order in which they are applied. Each was offered, none comes
    /// twice; their parameters are still to be checked by the extension (RFC 6455, section 9.1).
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionOffer<'a>> + use<'a> {
        accepted_extensions(self.headers).flatten()
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
