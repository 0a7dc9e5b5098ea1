//! A response head, parsed and checked: the client's side of [`Request`](super::Request).
//!
//! Owns the status line. Never reads a body, and never decides what the status means.

use super::{Body, HeadLimits, HeadScan, HeaderSlots, Headers, HttpError};

/// A complete response head that passed every check. Borrows the head's bytes; copies nothing.
///
/// ```
/// use throng::http::{Body, HeadLimits, HeaderSlots, ResponseHead};
///
/// let head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n";
/// let mut slots = HeaderSlots::new();
/// let response = ResponseHead::parse(head, &mut slots, &HeadLimits::default())?;
/// assert_eq!((response.status(), response.reason()), (404, "Not Found"));
/// assert_eq!(response.body(), Body::Length(13));
/// # Ok::<(), throng::http::ResponseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    status: u16,
    reason: &'a str,
    version_minor: u8,
    headers: Headers<'a>,
    body: Body,
}

/// A fault of the server's response head. After one nothing that follows can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the status line is malformed")]
    StatusLine,
    #[error("the head is larger than this client accepts")]
    TooLarge,
    #[error("the response has more headers than this client accepts")]
    TooManyHeaders,
    /// What a request could have got wrong just as well.
    #[error(transparent)]
    Head(HttpError),
}

impl From<HttpError> for ResponseError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::RequestLine => Self::StatusLine,
            HttpError::HeadTooLarge | HttpError::TargetTooLong => Self::TooLarge,
            HttpError::TooManyHeaders => Self::TooManyHeaders,
            other => Self::Head(other),
        }
    }
}

impl<'a> ResponseHead<'a> {
    /// Parses a head, exactly as long as [`HeadScan`] said; the line structure is checked once
    /// more. Of the limits, `target_bytes_max` holds for the status line.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn parse<'b: 'a>(
        head: &'b [u8],
        slots: &'a mut HeaderSlots<'b>,
        limits: &HeadLimits,
    ) -> Result<Self, ResponseError> {
        if HeadScan::new().scan(head, limits)? != Some(head.len()) {
            return Err(HttpError::Incomplete.into());
        }
        // An empty line in front is forgiven to clients only (RFC 9112, section 2.2).
        if !head.starts_with(b"HTTP/") {
            return Err(ResponseError::StatusLine);
        }
        let mut parsed = httparse::Response::new(&mut []);
        httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut parsed, head, slots.first(limits.headers_max))
            .map_err(|error| HttpError::found(error, HttpError::RequestLine))?;
        let (Some(status @ 100..), Some(version_minor)) = (parsed.code, parsed.version) else {
            return Err(ResponseError::StatusLine);
        };
        let headers = Headers::new(parsed.headers);
        let body = Body::of(headers, version_minor)?;
        let reason = parsed.reason.unwrap_or_default();
        Ok(Self { status, reason, version_minor, headers, body })
    }

    /// The status code: 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; empty where there is none, or none in ASCII.
    pub const fn reason(&self) -> &'a str {
        self.reason
    }

    /// Whether the response is HTTP/1.1.
    pub const fn is_http_11(&self) -> bool {
        self.version_minor == 1
    }

    /// All headers, in the order received.
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// How the body is framed by the headers. That 1xx, 204 and 304 have none, whatever the headers
    /// say, is for the caller to know (RFC 9112, section 6.3).
    pub const fn body(&self) -> Body {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &[u8]) -> Result<(u16, String, bool), ResponseError> {
        ResponseHead::parse(head, &mut HeaderSlots::new(), &HeadLimits::default())
            .map(|it| (it.status(), it.reason().to_owned(), it.is_http_11()))
    }

    #[test]
    fn rfc9112_4_status_lines() {
        type Read<'a> = (u16, &'a str, bool);
        let good: [(&[u8], Read<'_>); 6] = [
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", (101, "Switching Protocols", true)),
            (b"HTTP/1.1 101 \r\n\r\n", (101, "", true)),
            (b"HTTP/1.1 101\r\n\r\n", (101, "", true)),
            (b"HTTP/1.0 200 OK\r\n\r\n", (200, "OK", false)),
            (b"HTTP/1.1 999 \xe9t\xe9\r\n\r\n", (999, "", true)),
            (b"HTTP/1.1 400 Why? Because.\r\nX: y\r\n\r\n", (400, "Why? Because.", true)),
        ];
        for (head, (status, reason, is_http_11)) in good {
            let expected = Ok((status, reason.to_owned(), is_http_11));
            assert_eq!(parse(head), expected, "{}", head.escape_ascii());
        }
        let bad: [&[u8]; 11] = [
            b"\r\nHTTP/1.1 101 x\r\n\r\n",
            b"HTTP/1.1  101 x\r\n\r\n",
            b"HTTP/1.1 10 x\r\n\r\n",
            b"HTTP/1.1 1010 x\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.1 abc x\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/2.0 101 x\r\n\r\n",
            b"http/1.1 101 x\r\n\r\n",
            b"HTTP/1.11 101 x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        for head in bad {
            assert_eq!(parse(head), Err(ResponseError::StatusLine), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn the_rest_of_the_head_is_read_as_strictly_as_a_requests() {
        let head = |lines: &str| parse(format!("HTTP/1.1 101 x\r\n{lines}\r\n").as_bytes());
        let fault = |error| Err(ResponseError::Head(error));
        assert_eq!(head("A : b\r\n"), fault(HttpError::HeaderName));
        assert_eq!(head("A: b\r\n c\r\n"), fault(HttpError::HeaderName)); // folded
        assert_eq!(head("A: b\x7f\r\n"), fault(HttpError::HeaderValue));
        assert_eq!(head("A: b\n"), fault(HttpError::BareLf));
        assert_eq!(head("A: b\0\r\n"), fault(HttpError::ControlByte));
        assert_eq!(head("Content-Length: +1\r\n"), fault(HttpError::ContentLength));
        let both = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(head(both), fault(HttpError::TransferEncoding));
        assert_eq!(parse(b"HTTP/1.1 101 x\r\n"), fault(HttpError::Incomplete));
        assert_eq!(parse(b"HTTP/1.1 101 x\r\n\r\n!"), fault(HttpError::Incomplete));
        assert_eq!(head(&"A: b\r\n".repeat(65)), Err(ResponseError::TooManyHeaders));
        assert_eq!(head(&format!("A: {}\r\n", "b".repeat(20_000))), Err(ResponseError::TooLarge));
        let endless = format!("HTTP/1.1 101 {}", "x".repeat(9_000));
        assert_eq!(parse(endless.as_bytes()), Err(ResponseError::TooLarge));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(head in proptest::collection::vec(any::<u8>(), 0..80)) {
            let whole = [b"HTTP/1.1 101 x\r\n", &head[..], b"\r\n\r\n"].concat();
            let _ = parse(&head);
            let _ = parse(&whole);
        }
    }
}
