//! TLS by the program `openssl`: a certificate, and a client that encrypts what goes through a
//! socket. Nothing of it is throng's.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A certificate for `localhost` and its key, made once for all tests of this program.
pub fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "-", "-out", "-"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .output()
            .expect("openssl; tests/run installs it");
        let text = String::from_utf8(made.stdout).expect("PEM");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(text.contains("CERTIFICATE") && text.contains("PRIVATE KEY"), "{said}");
        text
    })
}

/// `openssl s_client` between a socket and a server.
pub struct Tunnel {
    child: Child,
    trusted: PathBuf,
}

impl Tunnel {
    /// To a server that has the certificate, from 127.0.0.`host`. What is written to the stream
    /// goes there encrypted.
    pub fn start(host: u8, to: SocketAddr) -> (Tunnel, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let outer = TcpStream::connect(listener.local_addr().expect("an address")).expect("it");
        let (inner, from) = listener.accept().expect("a connection");
        assert_eq!(from, outer.local_addr().expect("an address"), "somebody else came in");
        let name = format!("throng-trusted-{}-{}.pem", std::process::id(), from.port());
        let trusted = std::env::temp_dir().join(name);
        fs::write(&trusted, pem()).expect("a writable folder");
        let ends = OwnedFd::from(inner.try_clone().expect("a second handle"));
        let child = Command::new("openssl")
            .args(["s_client", "-quiet", "-no_ign_eof", "-nocommands", "-verify_return_error"])
            .args(["-servername", "localhost", "-verify_hostname", "localhost"])
            .arg("-connect")
            .arg(to.to_string())
            .arg("-bind")
            .arg(format!("127.0.0.{host}:0"))
            .arg("-CAfile")
            .arg(&trusted)
            .stdin(Stdio::from(ends))
            .stdout(Stdio::from(OwnedFd::from(inner)))
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl; tests/run installs it");
        (Tunnel { child, trusted }, outer)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.trusted);
    }
}
