//! Where a RabbitMQ is, and how a connection to it is made.
//!
//! Owns the URL and that nobody sees its password; and the socket, with TLS or without. Never says
//! anything over it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wire::Socket;
use crate::tls::Connector;

/// Where a RabbitMQ is: `amqp://[USER:PASSWORD@]HOST[:PORT][/VHOST]`, or `amqps://` for TLS. Shown
/// without the password. Without a user it is `guest`, whom RabbitMQ lets in from its own machine;
/// without a virtual host it is `/`.
///
/// ```
/// use throng::hub::broker::RabbitAddress;
///
/// let address: RabbitAddress = "amqp://ann:secret@127.0.0.1/chat".parse()?;
/// assert_eq!(address.to_string(), "127.0.0.1:5672");
/// assert!("127.0.0.1:5672".parse::<RabbitAddress>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitAddress {
    has_tls: bool,
    host: String,
    port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
}

impl RabbitAddress {
    /// Opens a connection to it.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Socket>> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        if !self.has_tls {
            return Ok(Box::new(socket));
        }
        let config = Connector::system().map_err(io::Error::other)?.config_of_no_protocol();
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        Ok(Box::new(socket))
    }

    fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (has_tls, usual_port) = match scheme {
            "amqp" => (false, 5672),
            "amqps" => (true, 5671),
            _ => return None,
        };
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, "")) => (authority, "/".into()),
            Some((authority, vhost)) => (authority, plain(vhost)?),
            None => (rest, "/".into()),
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':')) {
            Some(Some((user, password))) => (plain(user)?, plain(password)?),
            Some(None) => return None,
            None => ("guest".into(), "guest".into()),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(place) => {
                let (host, port) = place.split_once(']')?;
                let is_end = port.is_empty() || port.starts_with(':');
                (host, is_end.then_some(port.strip_prefix(':'))?)
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Some(usual_port), |port| port.parse().ok().filter(|it| *it > 0))?;
        let is_host = |char: char| char.is_ascii_alphanumeric() || "-._:".contains(char);
        let is_good = !host.is_empty()
            && host.chars().all(is_host)
            && !user.is_empty()
            && vhost.len() <= 255
            && !url.contains(['?', '#']);
        is_good.then(|| Self { has_tls, host: host.into(), port, user, password, vhost })
    }
}

/// A part of a URL without its escapes.
fn plain(part: &str) -> Option<String> {
    let part = percent_decode_str(part).decode_utf8().ok()?;
    (!part.contains('\0')).then(|| part.into_owned())
}

impl FromStr for RabbitAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let wanted = "this is not amqp://[USER:PASSWORD@]HOST[:PORT][/VHOST], or amqps://";
        Self::read(url).ok_or_else(|| wanted.into())
    }
}

impl fmt::Display for RabbitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for RabbitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_hides_its_password() {
        let address: RabbitAddress = "amqps://a%40b:hush%2Fx@[::1]:7/%2Fchat".parse().unwrap();
        assert_eq!((&*address.user, &*address.password), ("a@b", "hush/x"));
        assert_eq!((&*address.vhost, address.has_tls), ("/chat", true));
        assert_eq!(format!("{address} {address:?}"), "[::1]:7 RabbitAddress([::1]:7)");
        let address: RabbitAddress = "amqp://rabbit".parse().unwrap();
        let login = [&*address.user, &*address.password, &*address.vhost];
        assert_eq!((login, address.port), (["guest", "guest", "/"], 5672));
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        let bad = [
            "",
            "example.com",
            "http://hush:hush@h",
            "amqp://",
            "amqp://:hush@",
            "amqp://:hush@h",
            "amqp://hush@h",
            "amqp://ann:hush@h:x",
            "amqp://ann:hush@h:0",
            "amqp://ann:hush@[::1]x",
            "amqp://ann:hush@h/v?heartbeat=1",
            "amqp://ann:hush@h h",
        ];
        for bad in bad {
            let error = bad.parse::<RabbitAddress>().map(|_| ()).unwrap_err();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
    }
}
