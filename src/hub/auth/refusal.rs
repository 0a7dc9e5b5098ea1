//! Why somebody may not come in.
//!
//! Owns the stable codes, their words, and the answers in which they go out: before the upgrade,
//! and by a Close after it. None says more than what was wrong with what was sent.

use crate::frame::CloseCode;
use crate::http::Response;

/// Why a handshake, a request or a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no token.
    Missing,
    /// What is there is no token.
    Malformed,
    /// Two tokens came in the same way.
    Repeated,
    /// `alg` is none that is allowed here.
    Algorithm,
    /// There is no such key.
    UnknownKey,
    /// The signature is not by the key.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` is yet to come.
    NotYetValid,
    /// `aud` is somebody else.
    Audience,
    /// `iss` is nobody known here.
    Issuer,
    /// A claim is missing, or of the wrong kind.
    Claims,
    /// The token was revoked.
    Revoked,
    /// A cookie came without word of the page that sent it.
    CookieWithoutOrigin,
    /// A refresh by a token of somebody else.
    OtherUser,
    /// This is no ticket of this process.
    Ticket,
    /// The ticket's time is over.
    TicketExpired,
    /// The ticket is another page's.
    TicketOrigin,
    /// The ticket was used before.
    TicketUsed,
    /// More tickets were used than can be remembered.
    TicketsFull,
    /// It came in the clear.
    Insecure,
    /// The token has no right to this.
    Forbidden,
    /// A page from there may not connect.
    Origin,
    /// The server does not go by that name.
    Host,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Missing,
        Self::Malformed,
        Self::Repeated,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Expired,
        Self::NotYetValid,
        Self::Audience,
        Self::Issuer,
        Self::Claims,
        Self::Revoked,
        Self::CookieWithoutOrigin,
        Self::OtherUser,
        Self::Ticket,
        Self::TicketExpired,
        Self::TicketOrigin,
        Self::TicketUsed,
        Self::TicketsFull,
        Self::Insecure,
        Self::Forbidden,
        Self::Origin,
        Self::Host,
    ];

    /// The code, for programs: it stays the same.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_token",
            Self::Malformed => "malformed_token",
            Self::Repeated => "repeated_token",
            Self::Algorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Expired => "expired_token",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Audience => "wrong_audience",
            Self::Issuer => "wrong_issuer",
            Self::Claims => "bad_claims",
            Self::Revoked => "revoked_token",
            Self::CookieWithoutOrigin => "cookie_without_origin",
            Self::OtherUser => "other_user",
            Self::Ticket => "bad_ticket",
            Self::TicketExpired => "expired_ticket",
            Self::TicketOrigin => "ticket_of_other_origin",
            Self::TicketUsed => "used_ticket",
            Self::TicketsFull => "tickets_full",
            Self::Insecure => "insecure",
            Self::Forbidden => "forbidden",
            Self::Origin => "forbidden_origin",
            Self::Host => "forbidden_host",
        }
    }

    /// The words, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Missing => "a token is needed",
            Self::Malformed => "this is no token",
            Self::Repeated => "there is more than one token",
            Self::Algorithm => "the token is signed with an algorithm that is not allowed",
            Self::UnknownKey => "the token is signed with a key that is not known",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Audience => "the token is for somebody else",
            Self::Issuer => "the token is from somebody who is not known",
            Self::Claims => "a claim of the token is missing or wrong",
            Self::Revoked => "the token was revoked",
            Self::CookieWithoutOrigin => "a cookie is taken only with an origin",
            Self::OtherUser => "the token is another user's",
            Self::Ticket => "this is no ticket of this server",
            Self::TicketExpired => "the ticket has expired",
            Self::TicketOrigin => "the ticket is for pages of another origin",
            Self::TicketUsed => "the ticket was used before",
            Self::TicketsFull => "too many tickets were used at once: try again",
            Self::Insecure => "this came in the clear: use https or wss, and another secret",
            Self::Forbidden => "the token has no right to this",
            Self::Origin => "pages from there may not connect",
            Self::Host => "this server does not go by that name",
        }
    }

    /// 401 where another token would help, else 403 (RFC 9110 section 15.5.2 and 15.5.4); 503 where
    /// it is the server's fault.
    pub const fn status(self) -> u16 {
        match self {
            Self::Missing
            | Self::Malformed
            | Self::Repeated
            | Self::Algorithm
            | Self::UnknownKey
            | Self::Signature
            | Self::Expired
            | Self::NotYetValid
            | Self::Audience
            | Self::Issuer
            | Self::Claims
            | Self::Revoked
            | Self::Ticket
            | Self::TicketExpired
            | Self::TicketOrigin
            | Self::TicketUsed => 401,
            Self::TicketsFull => 503,
            Self::CookieWithoutOrigin
            | Self::OtherUser
            | Self::Insecure
            | Self::Forbidden
            | Self::Origin
            | Self::Host => 403,
        }
    }

    /// The answer over HTTP. A handshake that is refused ends its connection.
    pub fn response(self) -> Response {
        let (code, message) = (self.code(), self.message()); // plain words: nothing to escape
        let body = format!("{{\"error\":\"{code}\",\"message\":\"{message}\"}}\n");
        let response = Response::json(self.status(), body).because(code);
        let response = response.header("Cache-Control", "no-store");
        match self {
            // RFC 6750 section 3.1: no error code for who has shown no token at all.
            Self::Missing => response.header("WWW-Authenticate", "Bearer realm=\"throng\""),
            Self::Forbidden => {
                response.header("WWW-Authenticate", challenge("insufficient_scope", message))
            }
            Self::TicketsFull => response.header("Retry-After", "1"),
            _ if self.status() == 401 => {
                response.header("WWW-Authenticate", challenge("invalid_token", message))
            }
            _ => response,
        }
    }

    /// The Close where the refusal comes after the upgrade: 1008 and the code.
    pub const fn close(self) -> (CloseCode, &'static str) {
        (CloseCode::POLICY_VIOLATION, self.code())
    }
}

/// RFC 6750 section 3.
fn challenge(error: &str, message: &str) -> String {
    format!("Bearer realm=\"throng\", error=\"{error}\", error_description=\"{message}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_json_that_says_why() {
        for refusal in Refusal::ALL {
            let response = refusal.response();
            let body: serde_json::Value = serde_json::from_slice(response.body_bytes()).unwrap();
            assert_eq!(body["error"], refusal.code());
            assert_eq!(body["message"], refusal.message());
            assert_eq!(response.status(), refusal.status());
            // RFC 9110 section 15.5.2: a 401 MUST have it.
            let challenge = response.header_lines().contains("WWW-Authenticate");
            assert_eq!(challenge, refusal.status() == 401 || refusal == Refusal::Forbidden);
        }
    }

    #[test]
    fn codes_differ() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
    }
}
