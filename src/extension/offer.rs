//! The client's side of the negotiation.
//!
//! Owns what is offered, and whether the answer keeps to it. An answer that does not MUST fail the
//! connection (RFC 7692 sections 5 and 7).

use super::params::{
    self, Elements, Fault, Params, WINDOW_BITS_IMPOSSIBLE, WINDOW_BITS_UNNAMED, Window,
};
use super::{Config, Mode};

/// An answer that does not fit the offer, or that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("the server agreed to permessage-deflate, which was not offered")]
    NotOffered,
    #[error("the server's permessage-deflate has a parameter that the RFC does not know")]
    Unknown,
    #[error("the server's permessage-deflate has a parameter twice")]
    Repeated,
    #[error("the server's permessage-deflate has a parameter with an invalid value")]
    Invalid,
    #[error("the server did not confirm server_no_context_takeover")]
    ContextTakeover,
    #[error("the server did not keep to the offered server_max_window_bits")]
    ServerWindow,
    #[error("the server wants a client_max_window_bits that was not offered or is not possible")]
    ClientWindow,
}

impl From<Fault> for AnswerError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unknown => Self::Unknown,
            Fault::Repeated => Self::Repeated,
            Fault::Invalid => Self::Invalid,
        }
    }
}

/// Appends the client's offer, the value of a Sec-WebSocket-Extensions header. Nothing, if the mode
/// is [`Mode::Off`].
///
/// ```
/// use throng::extension::{Config, Mode, write_offer};
///
/// let mut header = String::new();
/// write_offer(&Config::new(Mode::Dedicated), &mut header);
/// assert_eq!(header, "permessage-deflate; client_max_window_bits");
/// ```
pub fn write_offer(config: &Config, out: &mut String) {
    if config.mode != Mode::Off {
        params::write_offer(config, out);
    }
}

/// Checks the parameters of the server's answer, values unquoted, against the offer that
/// [`write_offer`] made of the same `config`.
pub fn verify_answer<P, N, V>(answer: P, config: &Config) -> Result<Params, AnswerError>
where
    P: IntoIterator<Item = (N, Option<V>)>,
    N: AsRef<str>,
    V: AsRef<str>,
{
    if config.mode == Mode::Off {
        return Err(AnswerError::NotOffered);
    }
    let shared = config.mode == Mode::Shared;
    let answer = Elements::parse(answer)?;
    if shared && !answer.server_no_context_takeover {
        return Err(AnswerError::ContextTakeover); // section 7.1.1.1: accepted by confirming it
    }
    Ok(Params {
        server_no_context_takeover: answer.server_no_context_takeover,
        // What the server leaves open we may do all the same.
        client_no_context_takeover: answer.client_no_context_takeover || shared,
        server_window: server_window(answer, config)?,
        client_window: client_window(answer, config)?,
    })
}

/// Section 7.1.2.1: if it was offered, the same or less MUST come back; if not, it may come.
fn server_window(answer: Elements, config: &Config) -> Result<Window, AnswerError> {
    let most = config.server_window();
    match answer.server_window {
        // The server does the deflating here: 2^8 is no trouble.
        Some(bits) if bits <= most => Ok(Window::named(bits)),
        None if most == WINDOW_BITS_UNNAMED => Ok(Window::unnamed(most)),
        Some(_) | None => Err(AnswerError::ServerWindow),
    }
}

/// Section 7.1.2.2: always offered, so it may come, with a value; but not above the offered one.
fn client_window(answer: Elements, config: &Config) -> Result<Window, AnswerError> {
    match answer.client_window {
        None => Ok(Window::unnamed(config.client_window())),
        Some(None) => Err(AnswerError::Invalid),
        Some(Some(WINDOW_BITS_IMPOSSIBLE)) => Err(AnswerError::ClientWindow),
        Some(Some(bits)) if bits <= config.client_window() => Ok(Window::named(bits)),
        Some(Some(_)) => Err(AnswerError::ClientWindow),
    }
}
