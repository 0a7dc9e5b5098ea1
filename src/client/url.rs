//! Where to connect to (RFC 6455, section 3).
//!
//! Owns the grammar of `ws://` and `wss://` URLs and what a redirect makes of one. Never resolves a
//! name, and never repairs a URL: what a browser would percent-encode is an error here.

use crate::http::is_host;
use std::fmt;

/// A WebSocket URL, taken apart.
///
/// ```
/// use throng::client::Url;
///
/// let url = Url::parse("ws://Example.com:8080/chat?room=a")?;
/// assert_eq!((url.host(), url.port(), url.target()), ("example.com", 8080, "/chat?room=a"));
/// assert_eq!(url.authority(), "example.com:8080");
/// assert!(Url::parse("ws://example.com/#top").is_err());
/// # Ok::<(), throng::client::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    /// In lower case; an IPv6 address with its brackets.
    host: String,
    port: u16,
    target: String,
}

/// Why a URL is none to connect to. Found before anything is resolved or connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("the URL does not start with ws:// or wss://")]
    Scheme,
    #[error("the URL has a fragment (#)")]
    Fragment,
    #[error("the URL holds user information: send a header instead")]
    UserInfo,
    #[error("the URL's host or port is malformed")]
    Host,
    #[error("the URL holds {0:?}, which has to be percent-encoded")]
    Character(char),
    #[error("the URL holds a % that is not followed by two hexadecimal digits")]
    Percent,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// See [`UrlError`]: a fragment is forbidden by RFC 6455, section 3; the rest by RFC 3986.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(UrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, path_and_query) =
            rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_authority(authority).ok_or(UrlError::Host)?;
        check_characters(path_and_query)?;
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(default_port(secure)),
            target: format!("{slash}{path_and_query}"),
        })
    }

    /// What a redirect to `location` leads to (RFC 9110, section 10.2.2; RFC 3986, section 5.2).
    /// `http` and `https` stand for `ws` and `wss` there. A fragment is dropped.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.secure { "wss" } else { "ws" };
        if let Some((named, rest)) = scheme_of(location) {
            let scheme = match named {
                _ if named.eq_ignore_ascii_case("http") => "ws",
                _ if named.eq_ignore_ascii_case("https") => "wss",
                _ => named,
            };
            return Self::parse(&format!("{scheme}:{rest}")).map(Self::without_dots);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}")).map(Self::without_dots);
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match location.as_bytes() {
            [] => self.target.clone(),
            [b'/', ..] => location.to_owned(),
            [b'?', ..] => format!("{path}{location}"),
            [_, ..] => format!("{}{location}", &path[..=path.rfind('/').unwrap_or(0)]),
        };
        check_characters(&target)?;
        Ok(Self { target, ..self.clone() }.without_dots())
    }

    /// Whether the connection has to be over TLS: `wss`.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host in lower case; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 80 for `ws` and 443 for `wss` where the URL names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as sent: `/` at least.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of the Host header: with the port where that is not the default one (RFC 6455,
    /// section 4.1, item 4).
    pub fn authority(&self) -> String {
        if self.port == default_port(self.secure) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether both lead to the same scheme, host and port.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }

    /// RFC 3986, section 5.2.4: `.` and `..` are resolved by whoever follows a reference.
    fn without_dots(mut self) -> Self {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let mut kept: Vec<&str> = Vec::new();
        let mut ends_open = false;
        for segment in path.split('/').skip(1) {
            ends_open = matches!(segment, "." | "..");
            match segment {
                "." => {}
                ".." => {
                    kept.pop();
                }
                segment => kept.push(segment),
            }
        }
        if ends_open {
            kept.push("");
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        self.target = format!("/{}{query}", kept.join("/"));
        self
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// `host[:port]`; an empty port is none (RFC 3986, section 3.2.3), and nothing listens on port 0.
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    if !is_host(authority) {
        return None;
    }
    match authority.rsplit_once(':') {
        Some((host, "")) => Some((host, None)),
        Some((host, port)) if !port.ends_with(']') => {
            port.parse().ok().filter(|port| *port != 0).map(|port| (host, Some(port)))
        }
        Some(_) | None => Some((authority, None)),
    }
}

/// The scheme of a reference that has one: what is before a `:` that comes before any `/` or `?`.
fn scheme_of(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    (!scheme.contains(['/', '?'])).then_some((scheme, rest))
}

/// RFC 3986, sections 3.3 and 3.4: what may stand in a path and a query.
fn check_characters(path_and_query: &str) -> Result<(), UrlError> {
    let mut chars = path_and_query.chars();
    while let Some(char) = chars.next() {
        match char {
            '%' => {
                let digits = [chars.next(), chars.next()];
                if !digits.iter().all(|digit| digit.is_some_and(|it| it.is_ascii_hexdigit())) {
                    return Err(UrlError::Percent);
                }
            }
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~' => {}
            '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=' => {}
            ':' | '@' | '/' | '?' => {}
            other => return Err(UrlError::Character(other)),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
