//! How the body behind a head is framed.
//!
//! Owns the strict reading of Content-Length and Transfer-Encoding. Never reads from anywhere.

use super::{Headers, HttpError, Repeated, fields};

/// How the body that follows a head is framed (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing is declared: nothing follows a request; a response lasts until the connection ends.
    None,
    /// So many bytes follow, as the peer declares: not a number to reserve memory by.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

impl Body {
    /// RFC 9112, section 6.3, where every doubt about the length is an error: the doubt is how
    /// requests and responses are smuggled.
    pub(super) fn of(headers: Headers<'_>, version_minor: u8) -> Result<Self, HttpError> {
        let length = headers.only("content-length").map_err(|Repeated| HttpError::ContentLength)?;
        if headers.first("transfer-encoding").is_some() {
            // Section 6.1: with Content-Length or in HTTP/1.0 it is a likely attack.
            if length.is_some() || version_minor == 0 {
                return Err(HttpError::TransferEncoding);
            }
            return transfer_encoding(headers);
        }
        let Some(digits) = length else {
            return Ok(Self::None);
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(HttpError::ContentLength); // u64 would also take a sign
        }
        let digits = str::from_utf8(digits).map_err(|_| HttpError::ContentLength)?;
        digits.parse().map(Self::Length).map_err(|_| HttpError::ContentLength)
    }
}

/// Section 6.1: `chunked` comes once and last; codings before it are unknown to us (501).
fn transfer_encoding(headers: Headers<'_>) -> Result<Body, HttpError> {
    let (mut codings, mut chunked, mut chunked_last) = (0, 0, false);
    for coding in fields::tokens(headers.all("transfer-encoding")) {
        chunked_last = coding.eq_ignore_ascii_case(b"chunked");
        codings += 1;
        chunked += usize::from(chunked_last);
    }
    match (codings, chunked, chunked_last) {
        (1, 1, true) => Ok(Body::Chunked),
        (_, 1, true) => Err(HttpError::TransferCoding),
        _ => Err(HttpError::TransferEncoding),
    }
}

/// The content of a chunked body, as far as `bytes` go and are well-formed (RFC 9112, section 7.1).
/// For a body that people will read and nothing depends on.
///
/// ```
/// use throng::http::dechunk;
///
/// assert_eq!(dechunk(b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n"), b"Wikipedia");
/// assert_eq!(dechunk(b"4\r\nWiki\r\n5\r\nped"), b"Wikiped");
/// ```
pub fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Ok(httparse::Status::Complete((start, len @ 1..))) = httparse::parse_chunk_size(bytes)
    {
        let rest = &bytes[start..];
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
        content.extend_from_slice(&rest[..len]);
        match &rest[len..] {
            [b'\r', b'\n', rest @ ..] => bytes = rest,
            _ => break,
        }
    }
    content
}
