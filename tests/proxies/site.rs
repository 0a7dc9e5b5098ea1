//! A server behind a proxy, and its clients, each from an address of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use crate::common::http::{Answer, Upgrade, get};
use crate::common::{Folder, RawClient, Server};
use crate::proxy::{Kind, Proxy};
use crate::tls::Tunnel;

/// A server, and the proxy in front of it.
pub struct Site {
    pub kind: Kind,
    pub server: Server,
    pub proxy: Proxy,
    /// Of the server's Unix socket, where the proxy leads to one.
    _folder: Option<Folder>,
}

impl Site {
    /// `throng serve` with what it has to be told for this proxy, and with `flags`.
    pub fn start(kind: Kind, flags: &[&str]) -> Site {
        Site::with_idle(kind, "75s", flags)
    }

    /// The same, where the proxy cuts who is silent for so long.
    pub fn with_idle(kind: Kind, idle: &str, flags: &[&str]) -> Site {
        Site::trusting(kind, idle, &[kind.flags(), flags].concat())
    }

    /// The same, and nothing is told to the server but `flags`.
    pub fn trusting(kind: Kind, idle: &str, flags: &[&str]) -> Site {
        let Some(prefix) = kind.unix() else {
            let server = Server::serve(flags);
            let proxy = Proxy::start(kind, server.address().to_string(), idle);
            return Site { kind, server, proxy, _folder: None };
        };
        let folder = Folder::new("site");
        let path = folder.file("socket");
        let server = Server::serve(&[&["--listen", &format!("unix:{path}")], flags].concat());
        let proxy = Proxy::start(kind, format!("{prefix}{path}"), idle);
        Site { kind, server, proxy, _folder: Some(folder) }
    }

    /// Connected to the proxy from 127.0.0.`host`.
    pub fn dial(&self, host: u8) -> RawClient {
        let mut client = RawClient::on(dial(host, self.proxy.http));
        client.note(format!("{:?}, from host {host}", self.kind));
        client
    }

    /// The same by TLS.
    pub fn dial_tls(&self, host: u8) -> Guest {
        let (tunnel, stream) = Tunnel::start(host, self.proxy.https);
        let mut client = RawClient::on(stream);
        client.note(format!("{:?} by TLS, from host {host}", self.kind));
        Guest { client, _tunnel: Some(tunnel) }
    }

    /// Upgraded through the proxy.
    pub fn open(&self, host: u8, target: &str) -> RawClient {
        let mut client = self.dial(host);
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        client
    }

    /// The answer to an upgrade through the proxy; keep the client, or the connection ends.
    pub fn ask(&self, host: u8, upgrade: &Upgrade) -> (Answer, RawClient) {
        let mut client = self.dial(host);
        client.send(upgrade.bytes());
        (client.read_answer(false), client)
    }

    /// What the server says to who asks it directly.
    pub fn metrics(&self) -> String {
        let mut client = RawClient::on(dial(1, self.server.address()));
        if self.kind.flags().contains(&"--proxy-protocol") {
            client.send("PROXY UNKNOWN\r\n");
        }
        client.send(get("/metrics"));
        let answer = client.read_answer(false);
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).expect("metrics in UTF-8")
    }
}

/// A client, and what carries it.
pub struct Guest {
    client: RawClient,
    _tunnel: Option<Tunnel>,
}

impl Deref for Guest {
    type Target = RawClient;
    fn deref(&self) -> &RawClient {
        &self.client
    }
}

impl DerefMut for Guest {
    fn deref_mut(&mut self) -> &mut RawClient {
        &mut self.client
    }
}

/// Connected from 127.0.0.`host`.
pub fn dial(host: u8, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&from.into()).expect("an address of loopback");
    socket.connect(&to.into()).unwrap_or_else(|error| panic!("{to}: {error}"));
    socket.into()
}
