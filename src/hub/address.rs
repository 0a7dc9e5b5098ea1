//! Who a request is really from, where proxies stand in front.
//!
//! Owns which proxies are trusted, and the walk through what they say. Never believes a header
//! field of anybody else: whoever may connect can write one.

use std::net::{IpAddr, Ipv4Addr};
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
/// let client = |peer: [u8; 4]| proxies.client(Some(peer.into()), &request).ip;
/// assert_eq!(client([10, 0, 0, 1]), Some([192, 0, 2, 7].into()));
/// // Nobody we know: it speaks for itself.
/// assert_eq!(client([203, 0, 113, 9]), Some([203, 0, 113, 9].into()));
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

/// An address or a network of trusted proxies: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`; or
/// `unix`, who comes by a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedNetwork(Network);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Ip(IpNet),
    Unix,
}

/// Text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network, such as 10.0.0.0/8")]
pub struct NotANetwork(String);

/// Who a request is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; an IPv4 address never stands as IPv6. Who comes by a Unix socket has none,
    /// unless a proxy there is trusted and names one.
    pub ip: Option<IpAddr>,
    /// Whether it came to the proxy over TLS, where a trusted one says so.
    pub is_secure: Option<bool>,
}

impl Client {
    /// The address that limits go by. Those by a Unix socket whom no proxy names are one client, as
    /// all are who share an address: they have 0.0.0.0, which no packet comes from.
    pub fn counted_as(&self) -> IpAddr {
        self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl FromStr for TrustedNetwork {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        if text == "unix" {
            return Ok(Self(Network::Unix));
        }
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
        Ok(Self(Network::Ip(network.trunc())))
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

    /// Whether nobody is.
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether somebody at this address is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| match network.0 {
            Network::Ip(network) => network.contains(&ip),
            Network::Unix => false,
        })
    }

    /// Whether somebody by a Unix socket is believed.
    pub fn trusts_unix(&self) -> bool {
        self.networks.iter().any(|network| network.0 == Network::Unix)
    }

    /// Who a request is from that came from `peer`, as [`net::Request::remote_addr`] says; or from
    /// none, by a Unix socket ([`net::Request::is_unix`]).
    ///
    /// [`net::Request::remote_addr`]: crate::net::Request::remote_addr
    /// [`net::Request::is_unix`]: crate::net::Request::is_unix
    pub fn client(&self, peer: Option<IpAddr>, head: &Request<'_>) -> Client {
        let peer = Client { ip: peer.map(|ip| ip.to_canonical()), is_secure: None };
        if !peer.ip.map_or_else(|| self.trusts_unix(), |ip| self.trusts(ip)) {
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
            let ip = ip.to_canonical();
            client.ip = Some(ip);
            if !self.trusts(ip) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
