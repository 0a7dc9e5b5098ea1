//! An HTTP proxy that opens tunnels (RFC 9110, section 9.3.6).
//!
//! Owns the proxy's URL and the CONNECT request. Never sends the proxy's credentials to anybody
//! else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::url::{Url, split_authority};
use crate::http::ResponseError;

/// A proxy: `http://[user:password@]host[:port]`.
///
/// ```
/// use throng::client::Proxy;
///
/// let proxy = Proxy::parse("http://ann:secret@proxy.example:3128")?;
/// assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
/// # Ok::<(), throng::client::ProxyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// `user:password` in base64.
    credentials: Option<String>,
}

/// What is wrong with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy's URL is not of the form http://[user:password@]host[:port]")]
    Url,
    /// Among them 407: it wants credentials, or others.
    #[error("the proxy answered with status {0}")]
    Refused(u16),
    #[error("the proxy's answer is no valid HTTP response: {0}")]
    Head(ResponseError),
    /// Somebody else speaks, or the proxy speaks out of turn: what follows cannot be trusted.
    #[error("the proxy sent something before anything was sent through it")]
    Surplus,
}

impl Proxy {
    /// Reads a proxy's URL. The port is 80 where it names none.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Url`].
    pub fn parse(url: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = url.split_once("://").ok_or(ProxyError::Url)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user_info, authority) = match rest.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info), authority),
            None => (None, rest),
        };
        let (host, port) = split_authority(authority).ok_or(ProxyError::Url)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(ProxyError::Url);
        }
        let credentials = match user_info {
            Some(user_info) => Some(basic(&percent_decoded(user_info).ok_or(ProxyError::Url)?)),
            None => None,
        };
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(80), credentials })
    }

    /// The host; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The request for a tunnel to where `url` leads. The port is always named.
    pub(super) fn request(&self, url: &Url) -> String {
        let target = format!("{}:{}", url.host(), url.port());
        let credentials = match &self.credentials {
            Some(credentials) => format!("Proxy-Authorization: Basic {credentials}\r\n"),
            None => String::new(),
        };
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n")
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port) // and no password
    }
}

/// The credentials of RFC 7617.
fn basic(user_and_password: &[u8]) -> String {
    let mut encoded = vec![0; user_and_password.len().div_ceil(3) * 4];
    let written = STANDARD.encode_slice(user_and_password, &mut encoded);
    debug_assert_eq!(written, Ok(encoded.len()), "three bytes are four characters");
    encoded.into_iter().map(char::from).collect()
}

/// Undoes percent-encoding; `None` where it is none.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_9_3_6_the_request_for_a_tunnel() {
        let proxy = Proxy::parse("HTTP://p.example:3128/").unwrap();
        let url = Url::parse("ws://[::1]/x").unwrap();
        assert_eq!(proxy.request(&url), "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
        // RFC 7617, section 2
        let proxy = Proxy::parse("http://Aladdin:open%20sesame@p").unwrap();
        let request = proxy.request(&Url::parse("wss://a/x").unwrap());
        let line = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert!(request.starts_with("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n"), "{request}");
        assert!(request.ends_with(line), "{request}");
        assert_eq!((proxy.host(), proxy.port()), ("p", 80));
        assert_eq!(format!("{proxy:?}"), "Proxy(p:80)");
    }

    #[test]
    fn urls_that_are_no_proxy() {
        let bad = "|p:80|https://p|socks5://p|http://|http://p/x|http://a b|http://p:0|http://u@|\
                   http://%z@p|http://%4@p|http://p?x|http://p:80\r\nX: 1";
        for url in bad.split('|') {
            assert_eq!(Proxy::parse(url), Err(ProxyError::Url), "{url}");
        }
    }
}
