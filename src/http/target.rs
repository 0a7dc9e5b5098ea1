//! The request target and the host.
//!
//! Owns the four forms of a target (RFC 9112, section 3.2) and what a host may look like. Never
//! decodes or normalises: the path is compared as it came, so `/%77s` and `/./ws` are not `/ws`,
//! for routing and for access rights alike.

use super::HttpError;
use std::net::Ipv6Addr;

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Starts with `/`; or `*` for OPTIONS.
    pub(super) path: &'a str,
    /// What follows the first `?`.
    pub(super) query: Option<&'a str>,
    /// Only in absolute-form: replaces the Host header.
    pub(super) authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(super) fn parse(method: &str, target: &'a str) -> Result<Self, HttpError> {
        if method == "CONNECT" {
            return Err(HttpError::Connect);
        }
        // A fragment never leaves the client (RFC 9110, section 7.1).
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(HttpError::Target);
        }
        match target {
            "*" if method == "OPTIONS" => Ok(Self { path: target, query: None, authority: None }),
            _ if target.starts_with('/') => Ok(Self::split(target, None)),
            _ => Self::absolute(target),
        }
    }

    /// `scheme://authority/path?query`, as sent to a proxy; every server must take it
    /// (RFC 9112, section 3.2.2).
    fn absolute(target: &'a str) -> Result<Self, HttpError> {
        let (scheme, rest) = target.split_once("://").ok_or(HttpError::Target)?;
        if !["http", "https", "ws", "wss"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
            return Err(HttpError::Target);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        if !is_host(authority) {
            return Err(HttpError::HostInvalid);
        }
        Ok(Self::split(path_and_query, Some(authority)))
    }

    fn split(path_and_query: &'a str, authority: Option<&'a str>) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        Self { path: if path.is_empty() { "/" } else { path }, query, authority }
    }
}

/// Whether this is `host[:port]` (RFC 3986, section 3.2.2): a name, an IPv4 address or a bracketed
/// IPv6 address. User information is no part of it (RFC 9110, section 4.2.4). Left out on purpose:
/// sub-delims such as `,`, which no real name holds and which make one host look like two.
pub fn is_host(value: &str) -> bool {
    let (host, port) = if value.starts_with('[') {
        match value.find(']') {
            Some(end) => value.split_at(end + 1),
            None => return false,
        }
    } else {
        value.split_at(value.find(':').unwrap_or(value.len()))
    };
    let host_valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(host.as_bytes()),
    };
    host_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// The grammar allows an empty port; `u16` alone would allow a sign.
fn is_port(digits: &str) -> bool {
    digits.is_empty()
        || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
}

fn is_name(mut name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    while let [first, rest @ ..] = name {
        name = match (first, rest) {
            (b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z', _) => rest,
            (b'%', [high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest
            }
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9112_3_2_target_forms() {
        let table = [
            ("GET", "/", Ok(("/", None, None))),
            ("GET", "/ws?room=a?b&c", Ok(("/ws", Some("room=a?b&c"), None))),
            ("GET", "/ws?", Ok(("/ws", Some(""), None))),
            ("GET", "//a/b", Ok(("//a/b", None, None))),
            ("GET", "/%77s/../x", Ok(("/%77s/../x", None, None))),
            ("GET", "http://a.example/x?y", Ok(("/x", Some("y"), Some("a.example")))),
            ("GET", "WSS://a:443", Ok(("/", None, Some("a:443")))),
            ("GET", "ws://[::1]:80?q", Ok(("/", Some("q"), Some("[::1]:80")))),
            ("OPTIONS", "*", Ok(("*", None, None))),
            ("GET", "*", Err(HttpError::Target)),
            ("OPTIONS", "**", Err(HttpError::Target)),
            ("GET", "ws", Err(HttpError::Target)),
            ("GET", "?q", Err(HttpError::Target)),
            ("GET", "example.com:80", Err(HttpError::Target)),
            ("GET", "ftp://a/", Err(HttpError::Target)),
            ("GET", "://a/", Err(HttpError::Target)),
            ("GET", "/a#b", Err(HttpError::Target)),
            ("GET", "/\u{e9}", Err(HttpError::Target)),
            ("GET", "/\u{7f}", Err(HttpError::Target)),
            ("GET", "http:///x", Err(HttpError::HostInvalid)),
            ("GET", "http://user@a/", Err(HttpError::HostInvalid)),
            ("CONNECT", "a:443", Err(HttpError::Connect)),
            ("CONNECT", "/", Err(HttpError::Connect)),
        ];
        for (method, target, expected) in table {
            let parsed = Target::parse(method, target);
            let parsed = parsed.map(|it| (it.path, it.query, it.authority));
            assert_eq!(parsed, expected, "{method} {target}");
        }
    }

    #[test]
    fn rfc3986_3_2_2_hosts() {
        let good = "a|a.example|a.example:|a:1|a:65535|127.0.0.1:80|[::1]|[::1]:8080|my_service|\
                    xn--bcher-kva.example|a%2Db|A-1~.";
        for host in good.split('|') {
            assert!(is_host(host), "{host}");
        }
        let bad = "|:80|a b|a,b|u@a|a:b|a:65536|a:-1|a:+1|a:1:2|::1|[::1|[]|[a]|[::1]x|[::1]\u{e9}|\
                   [::1]:x|a/b|a%2|a%zz|a\\b|\u{e9}|a:\u{e9}|a;b";
        for host in bad.split('|') {
            assert!(!is_host(host), "{host}");
        }
    }
}
