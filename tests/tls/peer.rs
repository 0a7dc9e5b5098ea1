//! Peers that are not throng: rustls' buffered connections, and tungstenite over them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use tungstenite::{Message, WebSocket};

use crate::authority::{Authority, Pair};

pub type Secure = StreamOwned<ClientConnection, TcpStream>;

pub const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub fn roots(ca: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("a file") {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    roots
}

/// A client that trusts an authority, and may show a certificate of its own.
pub fn config(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Pair>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots(&authority.ca()));
    match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = load(pair);
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    }
}

pub fn load(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&pair.certificate).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("PEM");
    (chain, PrivateKeyDer::from_pem_file(&pair.key).expect("a key"))
}

/// A server with one certificate.
pub fn server_config(pair: &Pair) -> Arc<ServerConfig> {
    let (chain, key) = load(pair);
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a pair"))
}

pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// A connection whose handshake is still to be done: the first read or write does it.
pub fn begin(config: &Arc<ClientConfig>, addr: SocketAddr, name: &str) -> Secure {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
    StreamOwned::new(connection, dial(addr))
}

/// A connection whose handshake is done.
pub fn connect(config: &Arc<ClientConfig>, addr: SocketAddr, name: &str) -> Secure {
    let mut stream = begin(config, addr, name);
    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    stream
}

/// A WebSocket over TLS, opened by tungstenite.
pub fn open(stream: Secure, target: &str) -> WebSocket<Secure> {
    let request = format!("wss://throng.test{target}");
    tungstenite::client(request.as_str(), stream).expect("an upgrade").0
}

/// Sends each message and gets it back.
pub fn echo<S: Read + Write>(socket: &mut WebSocket<S>, text: &str) {
    socket.send(Message::text(text)).expect("sent");
    assert_eq!(socket.read().expect("an answer"), Message::text(text));
}
