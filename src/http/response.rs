//! A response, built and written.
//!
//! Owns the framing of responses: `Content-Length` and `Connection` are its own. Never sends a
//! `Server` or `Date` header, nor a control byte inside a header.

use super::{HeaderLines, Request};
use std::borrow::Cow;
use std::io::Write;

/// An HTTP/1.1 response with its whole body.
///
/// ```
/// use throng::http::{EncodeOptions, Response};
///
/// let mut out = Vec::new();
/// let response = Response::text(404, "no such page\n").header("Cache-Control", "no-store");
/// response.encode(&mut out, EncodeOptions::CLOSE);
/// assert_eq!(
///     out,
///     b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\
///       Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
///       Content-Length: 13\r\n\r\nno such page\n",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    close: bool,
    headers: HeaderLines,
    body: Cow<'static, [u8]>,
    cause: Option<Cow<'static, str>>,
}

/// What the request says about how its response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The connection stays open for another request.
    pub keep_alive: bool,
    /// Leave the body out but declare its length: the answer to HEAD.
    pub omit_body: bool,
}

impl EncodeOptions {
    /// With its body, after which the connection closes.
    pub const CLOSE: Self = Self { keep_alive: false, omit_body: false };

    /// As this request wants it.
    pub fn answering(request: &Request<'_>) -> Self {
        Self { keep_alive: request.keep_alive(), omit_body: request.method() == "HEAD" }
    }
}

impl Response {
    /// A response without headers and body. The status has three digits.
    pub const fn new(status: u16) -> Self {
        debug_assert!(status >= 100 && status <= 999);
        let body = Cow::Borrowed([].as_slice());
        Self { status, close: false, headers: HeaderLines::new(), body, cause: None }
    }

    /// A response with a plain text body.
    pub fn text(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status).body("text/plain; charset=utf-8", into_bytes(text.into()))
    }

    /// A response with a body of JSON, already written.
    pub fn json(status: u16, json: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status).body("application/json", into_bytes(json.into()))
    }

    /// Adds a header. Dropped are a name that is not a token, a value with a control byte (see
    /// [`HeaderLines::push`]), and `Connection`, `Content-Length` and `Transfer-Encoding`, which
    /// are written by [`encode`](Self::encode) alone.
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let name = name.into();
        if !is_framing(&name) {
            self.headers.push(name, value);
        }
        self
    }

    /// Sets the body and adds its `Content-Type`.
    #[must_use]
    pub fn body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Says `Connection: close`, even where the client would keep the connection.
    #[must_use]
    pub const fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Says why, for the log: it is never sent.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Why, as the log says it.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection has to be closed after this response.
    pub const fn closes(&self) -> bool {
        self.close
    }

    /// The headers that were added.
    pub const fn header_lines(&self) -> &HeaderLines {
        &self.headers
    }

    /// The body.
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Appends the response to `out`.
    pub fn encode(&self, out: &mut Vec<u8>, options: EncodeOptions) {
        write_line(out, format_args!("HTTP/1.1 {} {}", self.status, reason(self.status)));
        let close = self.close || !options.keep_alive;
        // RFC 9110, section 7.8: Upgrade MUST be named in Connection.
        match (self.headers.contains("Upgrade"), close) {
            (false, false) => {}
            (false, true) => out.extend_from_slice(b"Connection: close\r\n"),
            (true, false) => out.extend_from_slice(b"Connection: Upgrade\r\n"),
            (true, true) => out.extend_from_slice(b"Connection: Upgrade, close\r\n"),
        }
        self.headers.encode(out);
        // RFC 9110, section 8.6: no Content-Length with 1xx and 204; with 304 it would have to be
        // that of the 200, which is not known here.
        let has_body = self.status >= 200 && self.status != 204 && self.status != 304;
        if has_body {
            write_line(out, format_args!("Content-Length: {}", self.body.len()));
        }
        out.extend_from_slice(b"\r\n");
        if has_body && !options.omit_body {
            out.extend_from_slice(&self.body);
        }
    }
}

fn into_bytes(text: Cow<'static, str>) -> Cow<'static, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Whether a header frames the message, so that a second one would be an attack.
fn is_framing(name: &str) -> bool {
    ["Connection", "Content-Length", "Transfer-Encoding"]
        .iter()
        .any(|framing| framing.eq_ignore_ascii_case(name))
}

fn write_line(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{line}\r\n");
}

/// The reason phrase of a status code; empty where there is none.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: EncodeOptions = EncodeOptions { keep_alive: true, omit_body: false };

    fn encoded(response: &Response, options: EncodeOptions) -> String {
        let mut out = Vec::new();
        response.encode(&mut out, options);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn framing() {
        let head = EncodeOptions { keep_alive: true, omit_body: true };
        let table = [
            (Response::new(200), KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (
                Response::json(200, "{}"),
                KEEP,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            ),
            (
                Response::json(200, "{}"),
                head,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n",
            ),
            (
                Response::new(503).close(),
                KEEP,
                "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
                 Content-Length: 0\r\n\r\n",
            ),
            (Response::new(100), KEEP, "HTTP/1.1 100 Continue\r\n\r\n"),
            (Response::new(204), KEEP, "HTTP/1.1 204 No Content\r\n\r\n"),
            (Response::new(299), KEEP, "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"),
            (
                Response::new(426).header("Upgrade", "websocket"),
                EncodeOptions::CLOSE,
                "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade, close\r\n\
                 Upgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            ),
        ];
        for (response, options, expected) in table {
            assert_eq!(encoded(&response, options), expected);
        }
        let text = encoded(&Response::text(304, "x"), KEEP);
        assert!(!text.contains("Content-Length") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn nothing_is_injected() {
        let plain = Response::new(200);
        let hostile = Response::new(200)
            .header("X", "a\r\nY: b")
            .header("X\r\nY", "b")
            .header("content-length", "5")
            .header("Transfer-Encoding", "chunked")
            .header("Connection", "close");
        assert_eq!(hostile, plain);
        let typed = Response::new(200).body("a\r\nY: b", &b"body"[..]);
        assert_eq!(encoded(&typed, KEEP), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
    }
}
