//! How it ended.
//!
//! Owns the exit status of each ending, and the words for it. Never decides what is done next.

use throng::client::{Answer, ClientError, ProxyError, Step};
use throng::frame::CloseCode;

use super::words;

/// The exit statuses; the options' help explains them.
pub const CLOSED: i32 = 0;
pub const BROKEN: i32 = 1;
pub const USAGE: i32 = 2;
pub const REFUSED: i32 = 3;
pub const UNREACHABLE: i32 = 4;

/// Of the body of a refusal this much is shown, in bytes.
const BODY_SHOWN_MAX: usize = 1 << 10;

/// The exit status after the server's Close.
pub fn of_close(code: Option<CloseCode>) -> i32 {
    match code {
        None | Some(CloseCode::NORMAL | CloseCode::GOING_AWAY) => CLOSED,
        Some(_) => BROKEN,
    }
}

/// The exit status after an attempt that failed.
pub const fn of_attempt(error: &ClientError) -> i32 {
    match error {
        ClientError::Url(_)
        | ClientError::TlsNotBuilt
        | ClientError::TlsSetup(_)
        | ClientError::Request(_)
        | ClientError::Proxy(ProxyError::Url) => USAGE,
        ClientError::Proxy(_)
        | ClientError::Resolve { .. }
        | ClientError::Connect { .. }
        | ClientError::Timeout(Step::Turn | Step::Connect | Step::Proxy) => UNREACHABLE,
        ClientError::Refused(_)
        | ClientError::Tls(_)
        | ClientError::Head(_)
        | ClientError::Answer(_)
        | ClientError::TooManyRedirects
        | ClientError::Redirect
        | ClientError::Lost(_) // without a word
        | ClientError::Timeout(_) => REFUSED,
        _ => BROKEN,
    }
}

/// Why an attempt failed, with what a server says about it.
pub fn words_of_attempt(error: &ClientError) -> String {
    match error {
        ClientError::Refused(answer) => words_of_refusal(answer),
        ClientError::Lost(_) => format!("the server did not answer the handshake: {error}"),
        _ => error.to_string(),
    }
}

fn words_of_refusal(answer: &Answer) -> String {
    let mut said = format!("refused: {}", answer.status_line());
    if let Some(location) = answer.header("location") {
        let location = words::escape(&String::from_utf8_lossy(location), false).into_owned();
        said.push_str(&format!(", to {location} (see --redirects)"));
    }
    let body = String::from_utf8_lossy(answer.body());
    let (body, left) = words::beginning(body.trim(), BODY_SHOWN_MAX);
    if !body.is_empty() {
        said.push_str("\n  ");
        said.push_str(&words::escape(body, true).replace('\n', "\n  "));
    }
    if left > 0 {
        said.push_str(&format!("\n  and {left} bytes more"));
    }
    said
}
