//! Who connections come from, as far as the engine cannot say.
//!
//! Owns the clients' own addresses behind proxies that say them, and the pages that browsers name.
//! Who has neither takes no place here. Never decides whether somebody may come in.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::origin::is_origin;
use crate::http;
use crate::net::ConnectionId;

/// What is kept of an origin, in bytes: no name of the DNS is longer, but for what nobody uses.
const ORIGIN_BYTES_MAX: usize = 256;

/// What is said of an origin that is none. What it is the client has made up.
const MALFORMED: &str = "(malformed)";

/// What is kept of somebody who has come through a proxy, or from a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its own address, where a proxy stands in between.
    pub(super) ip: Option<IpAddr>,
    /// The page.
    pub(super) origin: Option<Arc<str>>,
}

/// Those of one loop.
#[derive(Debug, Default)]
pub(super) struct Callers {
    table: HashMap<ConnectionId, Caller>,
    /// The origin that was kept last: most have the same, and share it.
    last: Option<Arc<str>>,
}

/// Where a connection is from: its address, and its port where that is known. A proxy that says
/// whom it speaks for in a header field has no port to say.
///
/// ```
/// use throng::hub::Address;
///
/// assert_eq!(Address::from([192, 0, 2, 7]).to_string(), "192.0.2.7");
/// let socket: std::net::SocketAddr = "192.0.2.7:4711".parse().unwrap();
/// assert_eq!(Address::Socket(socket).to_string(), "192.0.2.7:4711");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The other end of the connection.
    Socket(SocketAddr),
    /// Whom a proxy speaks for.
    Ip(IpAddr),
}

impl Callers {
    /// Remembers a connection until it is gone; `ip` is the client's where a proxy stands in
    /// between.
    pub(super) fn keep(&mut self, id: ConnectionId, ip: Option<IpAddr>, origin: Option<&str>) {
        let origin = origin.map(|origin| self.shared(origin));
        if ip.is_some() || origin.is_some() {
            self.table.insert(id, Caller { ip, origin });
        }
    }

    pub(super) fn find(&self, id: ConnectionId) -> Option<&Caller> {
        self.table.get(&id)
    }

    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.table.remove(&id);
    }

    /// What it takes, in bytes, without the origins.
    pub(super) fn held_bytes(&self) -> u64 {
        (self.table.capacity() * size_of::<(ConnectionId, Caller)>()) as u64
    }

    fn shared(&mut self, origin: &str) -> Arc<str> {
        match &self.last {
            Some(last) if **last == *origin => Arc::clone(last),
            Some(_) | None => Arc::clone(self.last.insert(origin.into())),
        }
    }
}

/// The page that a request names.
pub(super) fn origin_of<'a>(head: &http::Request<'a>) -> Option<&'a str> {
    let value = head.header("origin")?;
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= ORIGIN_BYTES_MAX);
    Some(text.filter(|text| is_origin(text)).unwrap_or(MALFORMED))
}

impl Address {
    /// Of a connection: as a proxy says, else as the engine does.
    pub(super) fn of(caller: Option<&Caller>, remote: Option<SocketAddr>) -> Option<Self> {
        let ip = caller.and_then(|caller| caller.ip).map(Self::Ip);
        ip.or(remote.map(Self::Socket))
    }
}

impl Address {
    /// Without a port.
    pub const fn ip(self) -> IpAddr {
        match self {
            Self::Socket(addr) => addr.ip(),
            Self::Ip(ip) => ip,
        }
    }
}

impl<I: Into<IpAddr>> From<I> for Address {
    fn from(ip: I) -> Self {
        Self::Ip(ip.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => addr.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse().map(Self::Socket).or_else(|_| text.parse().map(Self::Ip))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots};

    fn with_head<T>(line: &str, look: impl FnOnce(&http::Request<'_>) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        let mut slots = HeaderSlots::new();
        let head = http::Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default());
        look(&head.expect("a good head"))
    }

    fn origin(line: &str) -> Option<String> {
        with_head(line, |head| origin_of(head).map(Into::into))
    }

    #[test]
    fn an_origin_is_kept_as_it_came_and_nothing_else_is() {
        assert_eq!(origin(""), None);
        for good in ["http://a.example", "https://[::1]:8443", "null", "app://x"] {
            assert_eq!(origin(&format!("Origin: {good}\r\n")).as_deref(), Some(good));
        }
        let long = format!("https://{}", "a".repeat(ORIGIN_BYTES_MAX));
        for bad in ["http://a/?token=x", "x y", "\u{85}", "\"", &long, "http://a status=200"] {
            assert_eq!(origin(&format!("Origin: {bad}\r\n")).as_deref(), Some(MALFORMED), "{bad}");
        }
    }

    #[test]
    fn who_has_neither_takes_no_place() {
        let mut callers = Callers::default();
        let id = ConnectionId::from_u64;
        let ip = Some(IpAddr::from([192, 0, 2, 7]));
        for (n, ip, origin) in [
            (1, None, ""),
            (2, ip, ""),
            (3, None, "Origin: http://a\r\n"),
            (4, None, "Origin: http://a\r\n"),
        ] {
            with_head(origin, |head| callers.keep(id(n), ip, origin_of(head)));
        }
        assert_eq!(callers.find(id(1)), None);
        let origin = |n| callers.find(id(n)).and_then(|caller| caller.origin.clone());
        assert!(Arc::ptr_eq(&origin(3).expect("a page"), &origin(4).expect("a page")));
        let remote = "127.0.0.1:4711".parse().ok();
        let address = |n| Address::of(callers.find(id(n)), remote).expect("one of them");
        let addresses = [1, 2, 3].map(|n| address(n).to_string());
        assert_eq!(addresses, ["127.0.0.1:4711", "192.0.2.7", "127.0.0.1:4711"]);
        (1..5).for_each(|n| callers.forget(id(n)));
        assert!(callers.table.is_empty());
    }
}
