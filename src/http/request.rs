//! A request head, parsed and checked.
//!
//! Owns the checks that span the head: version, target, host. Never reads a body, and never decides
//! what is done with the request.

use super::fields::has_token;
use super::target::{Target, is_host};
use super::{Body, HeadLimits, HeadScan, HeaderSlots, Headers, HttpError, Repeated};

/// A complete request head that passed every check. Borrows the head's bytes; copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'a str,
    target: Target<'a>,
    version_minor: u8,
    host: Option<&'a str>,
    headers: Headers<'a>,
    body: Body,
}

impl<'a> Request<'a> {
    /// Parses a head, exactly as long as [`HeadScan`] said. The line structure is checked here once
    /// more (some 50 ns), so that a head from elsewhere meets the same rules.
    ///
    /// ```
    /// use throng::http::{HeadLimits, HeaderSlots, HttpError, Request};
    ///
    /// let head = b"GET /chat HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    /// let mut slots = HeaderSlots::new();
    /// let result = Request::parse(head, &mut slots, &HeadLimits::default());
    /// assert_eq!(result.unwrap_err(), HttpError::HostRepeated);
    /// ```
    ///
    /// # Errors
    ///
    /// The first fault found; [`HttpError::Incomplete`] where `head` is not one whole head.
    pub fn parse<'b: 'a>(
        head: &'b [u8],
        slots: &'a mut HeaderSlots<'b>,
        limits: &HeadLimits,
    ) -> Result<Self, HttpError> {
        if HeadScan::new().scan(head, limits)? != Some(head.len()) {
            return Err(HttpError::Incomplete);
        }
        let mut parsed = httparse::Request::new(&mut []);
        parsed
            .parse_with_uninit_headers(head, slots.first(limits.headers_max))
            .map_err(|error| fault(error, head))?;
        let (Some(method), Some(target), Some(version_minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(HttpError::Incomplete);
        };
        if target.len() > limits.target_bytes_max {
            return Err(HttpError::TargetTooLong);
        }
        let headers = Headers::new(parsed.headers);
        let target = Target::parse(method, target)?;
        // RFC 9112, section 3.2.2: in absolute-form the authority replaces Host.
        let host = target.authority.or(host(headers, version_minor)?);
        let body = Body::of(headers, version_minor)?;
        Ok(Self { method, target, version_minor, host, headers, body })
    }

    /// The method as sent. Methods are case-sensitive.
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The path as sent, neither decoded nor normalised. It starts with `/`, or is `*`.
    pub const fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the first `?`, as sent.
    pub const fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub const fn version_minor(&self) -> u8 {
        self.version_minor
    }

    /// Whether the request is HTTP/1.1.
    pub const fn is_http_11(&self) -> bool {
        self.version_minor == 1
    }

    /// `host[:port]`, from the target or the Host header. Only HTTP/1.0 can lack it.
    pub const fn host(&self) -> Option<&'a str> {
        self.host
    }

    /// The value of the first header of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.first(name)
    }

    /// The values of all headers of that name, compared without case.
    pub fn headers<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        self.headers.all(name)
    }

    /// All headers, in the order received.
    pub const fn all_headers(&self) -> Headers<'a> {
        self.headers
    }

    /// What follows the head.
    pub const fn body(&self) -> Body {
        self.body
    }

    /// Whether the client wants the connection kept for another request (RFC 9112, section 9.3).
    pub fn keep_alive(&self) -> bool {
        let option = |token| has_token(self.headers.all("connection"), token);
        !option("close") && (self.is_http_11() || option("keep-alive"))
    }
}

/// What httparse found, in our words.
fn fault(error: httparse::Error, head: &[u8]) -> HttpError {
    let version = error == httparse::Error::Version && names_http_version(head);
    HttpError::found(error, if version { HttpError::Version } else { HttpError::RequestLine })
}

/// Whether the request line ends in `HTTP/digit.digit`: then a version that we do not speak is the
/// fault (505), else the line is none (400).
fn names_http_version(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    let version = words.next().unwrap_or_default();
    words.next().is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9112, section 3.2: exactly one Host in HTTP/1.1, and a valid one, else 400.
fn host(headers: Headers<'_>, version_minor: u8) -> Result<Option<&str>, HttpError> {
    match headers.only("host") {
        Err(Repeated) => Err(HttpError::HostRepeated),
        Ok(None) if version_minor == 0 => Ok(None),
        Ok(None) => Err(HttpError::HostMissing),
        Ok(Some(value)) => match str::from_utf8(value) {
            Ok(host) if is_host(host) => Ok(Some(host)),
            _ => Err(HttpError::HostInvalid),
        },
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
