//! The header fields in which proxies say who sent a request.
//!
//! Owns the reading of their elements: X-Forwarded-For, and Forwarded by RFC 7239. Never decides
//! whether a proxy is believed.

use std::net::IpAddr;

use crate::http::fields::{is_token, trim_blanks};

/// What one proxy says in an element of Forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Whom it got the request from, where that is an address.
    pub(super) addr: Option<IpAddr>,
    /// Whether it got the request over TLS, where it says so.
    pub(super) is_secure: Option<bool>,
}

/// An address as X-Forwarded-For has it: with a port or without, IPv6 in brackets or without.
pub(super) fn parse_addr(element: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(element).ok()?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    parse_node(text)
}

/// A node of RFC 7239 section 6: an IPv4 address, or an IPv6 address in brackets, and a port. What
/// is hidden (`unknown`, `_secret`) is no address.
fn parse_node(text: &str) -> Option<IpAddr> {
    let (ip, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (ip, rest) = inner.split_once(']')?;
            (IpAddr::V6(ip.parse().ok()?), rest)
        }
        None => {
            let (ip, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (IpAddr::V4(ip.parse().ok()?), rest)
        }
    };
    let is_whole = match rest.strip_prefix(':') {
        Some(port) => is_port(port),
        None => rest.is_empty(),
    };
    is_whole.then_some(ip)
}

/// A number of at most five digits, or what stands for one.
fn is_port(text: &str) -> bool {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number || is_obfuscated(text)
}

/// RFC 7239 section 6.3: `_` and what hides the truth.
fn is_obfuscated(text: &str) -> bool {
    let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() > 1 && text.starts_with('_') && text.bytes().all(is_hidden)
}

/// The elements of one line of Forwarded, in their order (RFC 7239 section 4), each as it was
/// written. `None` where a quote has no end: then nobody can say what is inside it.
pub(super) fn split_elements(line: &[u8]) -> Option<Vec<&[u8]>> {
    split(line, b',')
}

/// The parts between separators that are in no quoted string, without blanks.
fn split(bytes: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if byte == separator && !is_quoted => {
                parts.push(trim_blanks(&bytes[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(trim_blanks(&bytes[start..]));
    parts.retain(|part| !part.is_empty());
    (!is_quoted).then_some(parts)
}

/// What an element says: `for=192.0.2.60;proto=https;by=203.0.113.43`. `None` where it is
/// malformed, or says something twice.
pub(super) fn parse_element(element: &[u8]) -> Option<Element> {
    let (mut node, mut proto) = (None, None);
    for pair in split(element, b';')? {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&pair[..equals], unquote(&pair[equals + 1..])?);
        if !is_token(name) {
            return None;
        }
        let place = match name.to_ascii_lowercase().as_slice() {
            b"for" => &mut node,
            b"proto" => &mut proto,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let addr = node.as_deref().and_then(|node| parse_node(str::from_utf8(node).ok()?));
    let is_secure = proto.as_deref().and_then(parse_proto);
    Some(Element { addr, is_secure })
}

/// A token, or a quoted string without its quotes (RFC 9110 section 5.6.4).
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return is_token(value).then(|| value.to_vec());
    };
    let mut bytes = inner.strip_suffix(b"\"")?.iter();
    let mut text = Vec::with_capacity(bytes.len());
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => text.push(*bytes.next()?),
            b'"' => return None, // the string has ended before its end
            _ => text.push(byte),
        }
    }
    Some(text)
}

/// Whether a scheme means TLS: those of HTTP and of WebSocket.
pub(super) fn parse_proto(scheme: &[u8]) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(true),
        b"http" | b"ws" => Some(false),
        _ => None,
    }
}
