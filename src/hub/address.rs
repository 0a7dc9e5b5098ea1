//! Who a request is really from, where proxies stand in front.
//!
//! Owns which proxies are trusted, and the walk through what they say. Never believes a header
//! field of anybody else: whoever may connect can write one.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::forwarded::{Element, parse_addr, parse_element, parse_proto, split_elements};
use crate::http::Request;
use crate::http::fields::tokens;

/// The networks of proxies that are believed, and in which fields.
///
/// Each proxy adds whom it got a request from to the right end of a list. So the list is walked
/// from the right for as long as the hop that has spoken is trusted. What is malformed or hidden
/// ends the walk at the last good hop.
///
/// ```
/// use throng::http::{HeadLimits, HeaderSlots, Request};
/// use throng::hub::address::TrustedProxies;
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\n\
///     X-Forwarded-For: 10.6.6.6, 192.0.2.7, 10.0.0.2\r\n\r\n";
/// let mut slots = HeaderSlots::new();
/// let request = Request::parse(head, &mut slots, &HeadLimits::default())?;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
/// let client = |peer: [u8; 4]| proxies.client(peer.into(), &request).ip.to_string();
/// assert_eq!(client([10, 0, 0, 1]), "192.0.2.7");
/// assert_eq!(client([203, 0, 113, 9]), "203.0.113.9"); // nobody we know: it speaks for itself
/// # Ok::<(), throng::http::HttpError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<TrustedNetwork>,
    believed: Believed,
}

/// The fields in which proxies are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Believed {
    /// The one that is there. Where both are and they differ, one of them is the client's own
    /// work, which the proxy passed on: then neither is believed.
    #[default]
    Either,
    /// X-Forwarded-For, and X-Forwarded-Proto.
    XForwardedFor,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// An address or a network of trusted proxies: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedNetwork(IpNet);

/// Text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network, such as 10.0.0.0/8")]
pub struct NotANetwork(String);

/// Who a request is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; an IPv4 address never stands as IPv6.
    pub ip: IpAddr,
    /// Whether it came to the proxy over TLS, where a trusted one says so.
    pub is_secure: Option<bool>,
}

impl FromStr for TrustedNetwork {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => Ok(IpNet::from(ip.to_canonical())),
            Err(_) => text.parse::<IpNet>(),
        };
        let network = network.map_err(|_| NotANetwork(text.to_owned()))?;
        // A network of IPv4 addresses that are written as IPv6 holds the IPv4 addresses.
        let network = match (network.addr().to_canonical(), network.prefix_len()) {
            (IpAddr::V4(ip), len) if network.addr().is_ipv6() && len >= 96 => {
                IpNet::new(ip.into(), len - 96).unwrap_or(network)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => network,
        };
        Ok(Self(network.trunc()))
    }
}

impl TrustedProxies {
    /// Trusts these networks. None means that every request is from whom it comes.
    pub fn new(networks: impl IntoIterator<Item = TrustedNetwork>) -> Self {
        Self { networks: networks.into_iter().collect(), believed: Believed::Either }
    }

    /// Believes them only in this field. Better than [`Believed::Either`] where it is known.
    #[must_use]
    pub const fn believing(mut self, believed: Believed) -> Self {
        self.believed = believed;
        self
    }

    /// Whether somebody at this address is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.0.contains(&ip))
    }

    /// Who a request is from that came from `peer`, as [`net::Request::remote_addr`] says.
    ///
    /// [`net::Request::remote_addr`]: crate::net::Request::remote_addr
    pub fn client(&self, peer: IpAddr, head: &Request<'_>) -> Client {
        let peer = Client { ip: peer.to_canonical(), is_secure: None };
        if !self.trusts(peer.ip) {
            return peer;
        }
        let has = |name| head.header(name).is_some();
        match self.believed {
            Believed::XForwardedFor => self.by_x_forwarded(peer, head),
            Believed::Forwarded => self.by_forwarded(peer, head),
            Believed::Either if !has("forwarded") => self.by_x_forwarded(peer, head),
            Believed::Either if !has("x-forwarded-for") => self.by_forwarded(peer, head),
            Believed::Either => {
                let (one, other) = (self.by_x_forwarded(peer, head), self.by_forwarded(peer, head));
                let ip = if one.ip == other.ip { one.ip } else { peer.ip };
                Client { ip, is_secure: one.is_secure.filter(|_| one == other) }
            }
        }
    }

    fn by_x_forwarded(&self, peer: Client, head: &Request<'_>) -> Client {
        let elements: Vec<_> = tokens(head.headers("x-forwarded-for"))
            .map(|element| Element { addr: parse_addr(element), is_secure: None })
            .collect();
        // The proxy that spoke last has set it, whatever stood there before.
        let proto = tokens(head.headers("x-forwarded-proto")).last();
        Client { is_secure: proto.and_then(parse_proto), ..self.walk(peer, &elements) }
    }

    fn by_forwarded(&self, peer: Client, head: &Request<'_>) -> Client {
        let mut elements = Vec::new();
        for line in head.headers("forwarded") {
            match split_elements(line) {
                Some(parts) => elements
                    .extend(parts.into_iter().map(|part| parse_element(part).unwrap_or_default())),
                None => elements.push(Element::default()),
            }
        }
        self.walk(peer, &elements)
    }

    /// Goes from one hop to the one before it, for as long as the hop that speaks is trusted.
    fn walk(&self, peer: Client, elements: &[Element]) -> Client {
        let mut client = peer;
        for element in elements.iter().rev() {
            client.is_secure = element.is_secure.or(client.is_secure);
            let Some(ip) = element.addr else { break };
            client.ip = ip.to_canonical();
            if !self.trusts(client.ip) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
