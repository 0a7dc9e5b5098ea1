//! What can be wrong with a request head, and the status that says so.
//!
//! Owns the one match from fault to status. Never says anything about the server's own state.

use super::Response;

/// A fault of the peer's request head. After one the connection is answered and closed: where the
/// next request would start is no longer certain.
///
/// ```
/// use throng::http::HttpError;
///
/// assert_eq!(HttpError::HeadTooLarge.status(), 431);
/// assert_eq!(HttpError::BareLf.to_string(), "a line ends in LF without CR");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("a line ends in LF without CR")]
    BareLf,
    #[error("a CR is not followed by LF")]
    BareCr,
    #[error("the head contains a control byte")]
    ControlByte,
    #[error("the head is not complete")]
    Incomplete,
    #[error("the head is larger than this server accepts")]
    HeadTooLarge,
    #[error("the request has more headers than this server accepts")]
    TooManyHeaders,
    #[error("the request line is malformed")]
    RequestLine,
    #[error("the HTTP version is not supported: use HTTP/1.1")]
    Version,
    #[error("the method CONNECT is not supported")]
    Connect,
    #[error("the request target is malformed")]
    Target,
    #[error("the request target is longer than this server accepts")]
    TargetTooLong,
    #[error("a header name is malformed")]
    HeaderName,
    #[error("a header value is malformed")]
    HeaderValue,
    #[error("the Host header is missing")]
    HostMissing,
    #[error("there is more than one Host header")]
    HostRepeated,
    #[error("the host is malformed")]
    HostInvalid,
    #[error("the Content-Length is malformed or given more than once")]
    ContentLength,
    #[error("the Transfer-Encoding is malformed or must not be used here")]
    TransferEncoding,
    #[error("the Transfer-Encoding is not supported: use chunked alone")]
    TransferCoding,
    #[error("a body needs a Content-Length here")]
    LengthRequired,
    #[error("the body is larger than this server accepts")]
    BodyTooLarge,
    #[error("the request took too long to arrive")]
    Timeout,
}

impl HttpError {
    /// What httparse found in a head, in our words; only the caller knows what is wrong with the
    /// first line.
    pub(super) const fn found(error: httparse::Error, first_line: Self) -> Self {
        match error {
            httparse::Error::HeaderName => Self::HeaderName,
            httparse::Error::HeaderValue => Self::HeaderValue,
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            httparse::Error::Version
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token => first_line,
        }
    }

    /// The status code that answers this fault.
    pub const fn status(self) -> u16 {
        match self {
            Self::BareLf
            | Self::BareCr
            | Self::ControlByte
            | Self::Incomplete
            | Self::RequestLine
            | Self::Target
            | Self::HeaderName
            | Self::HeaderValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::ContentLength
            | Self::TransferEncoding => 400,
            Self::Timeout => 408,
            Self::LengthRequired => 411,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Connect | Self::TransferCoding => 501,
            Self::Version => 505,
        }
    }

    /// The answer: plain text that names the fault, and `Connection: close`.
    pub fn response(self) -> Response {
        let words = self.to_string();
        Response::text(self.status(), format!("{words}\n")).because(words).close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::EncodeOptions;

    #[test]
    fn the_response_names_the_fault_and_closes() {
        let mut out = Vec::new();
        let keep_alive = EncodeOptions { keep_alive: true, omit_body: false };
        HttpError::HostMissing.response().encode(&mut out, keep_alive);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nthe Host header is missing\n"), "{text}");
    }
}
