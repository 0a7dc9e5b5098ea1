//! What a server answered, kept.
//!
//! Owns a copy of the response head and the beginning of its body. Never interprets either.

use crate::http::{ResponseHead, reason};

/// An HTTP response: the 101 that opened a connection, or what came instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(response: &ResponseHead<'_>) -> Self {
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Self { status: response.status(), headers, body: Vec::new() }
    }

    pub(super) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first header of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Name and value of each header line.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The body, cut at [`Connect::body_bytes_max`](super::Connect::body_bytes_max).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The status with its usual words: `404 Not Found`.
    pub fn status_line(&self) -> String {
        let line = format!("{} {}", self.status, reason(self.status));
        line.trim_end().to_owned()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Answer");
        shown.field("status", &self.status);
        for (name, value) in self.headers() {
            shown.field(name, &value.escape_ascii().to_string());
        }
        shown.field("body", &self.body.escape_ascii().to_string()).finish()
    }
}
