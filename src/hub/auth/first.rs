//! The first message of somebody who has shown no token in the handshake.
//!
//! Owns its form, and what such a connection may have until then. Never waits for it.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::{Refusal, Token};

/// How long a connection lives without having said who it is.
pub const UNAUTHENTICATED_LIFE: Duration = Duration::from_secs(10);

/// The most that is held for it until then, in bytes.
pub const UNAUTHENTICATED_BYTES_MAX: usize = 16 << 10;

#[derive(Deserialize)]
struct First<'m> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'m, str>,
    #[serde(borrow)]
    token: Option<Cow<'m, str>>,
}

/// The token of `{"type":"auth","token":".."}`.
///
/// # Errors
///
/// [`Refusal::Missing`] where the message is anything else.
pub fn first_message(message: &[u8]) -> Result<Token<'_>, Refusal> {
    if message.len() > UNAUTHENTICATED_BYTES_MAX {
        return Err(Refusal::Missing);
    }
    let first: First<'_> = serde_json::from_slice(message).map_err(|_| Refusal::Missing)?;
    match first.token {
        Some(token) if first.kind == "auth" => Ok(Token(token)),
        Some(_) | None => Err(Refusal::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_has_a_token_or_is_none() {
        let token = first_message(br#"{"id":1,"type":"auth","token":"a\u002eb.c"}"#).unwrap();
        assert_eq!(token.as_str(), "a.b.c");
        let long = format!(r#"{{"type":"auth","token":"{}"}}"#, "x".repeat(16 << 10));
        for bad in [
            "",
            "{}",
            "hello",
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","token":7}"#,
            r#"{"type":"join","token":"a.b.c"}"#,
            &long,
        ] {
            assert_eq!(first_message(bad.as_bytes()).unwrap_err(), Refusal::Missing);
        }
    }
}
