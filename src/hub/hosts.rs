//! The names that the server goes by.
//!
//! Owns the list that a Host is held against. A page of somebody else can make its own name point
//! here (DNS rebinding): it is then of the same origin, and only its name gives it away.

use crate::http::Request;

use super::auth::Refusal;
use super::origin::split;

/// The names; where there are none, the server goes by every name.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<(Box<str>, Option<u16>)>);

impl Hosts {
    /// The names: each `host`, which stands for every port, or `host:port`.
    ///
    /// # Errors
    ///
    /// The entry that is none.
    pub fn new<E: AsRef<str>>(entries: &[E]) -> Result<Self, String> {
        let entries = entries.iter().map(AsRef::as_ref).map(|entry| {
            let fault = || format!("{entry:?} is no host or host:port");
            let (host, port) = split(entry).ok_or_else(fault)?;
            let port = port.map(|port| port.parse().map_err(|_| fault())).transpose()?;
            Ok((host.into(), port))
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a request is for this server.
    ///
    /// # Errors
    ///
    /// It names somebody else, or nobody.
    pub fn check(&self, head: &Request<'_>) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (host, port) = head.host().and_then(split).ok_or(Refusal::Host)?;
        let port = port.and_then(|port| port.parse::<u16>().ok());
        let is_ours = self.0.iter().any(|(ours, wanted)| {
            ours.eq_ignore_ascii_case(host) && (wanted.is_none() || *wanted == port)
        });
        if is_ours { Ok(()) } else { Err(Refusal::Host) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots};

    fn check(hosts: &Hosts, host: &str) -> bool {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut slots = HeaderSlots::new();
        let head = Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap();
        hosts.check(&head).is_ok()
    }

    #[test]
    fn rule_24_a_name_of_somebody_else_is_refused() {
        let hosts = Hosts::new(&["app.example.com", "localhost:8080", "[::1]"]).unwrap();
        for good in ["app.example.com", "APP.example.com:81", "localhost:8080", "[::1]:8080"] {
            assert!(check(&hosts, good), "{good}");
        }
        for bad in [
            "evil.example",
            "app.example.com.evil.example",
            "localhost",
            "localhost:81",
            "127.0.0.1:8080",
            "a.app.example.com",
            "app.example.com.",
        ] {
            assert!(!check(&hosts, bad), "{bad}");
        }
        assert!(check(&Hosts::default(), "any.example"));
        for bad in ["", "a:b", "a/b", "http://a", "*", "a:"] {
            assert!(Hosts::new(&[bad]).is_err(), "{bad}");
        }
    }
}
