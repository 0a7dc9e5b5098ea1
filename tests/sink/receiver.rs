//! The other side: an HTTP server that takes batches, or fails as it is told to.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::authority::Pair;
use crate::common::{Folder, RawClient, Server, eventually, http};
use crate::record::Person;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, and more lines of the head.
    Status(u16, &'static str),
    /// Nothing, for a second and a half.
    Stall,
    /// The connection ends.
    Hangup,
}

pub const OK: Reply = Reply::Status(204, "");

/// A request that has come.
#[derive(Clone, Debug)]
pub struct Post {
    pub headers: HashMap<String, String>,
    pub body: String,
    pub reply: Reply,
}

impl Post {
    pub fn events(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).expect("a list in JSON")
    }
}

type Rule = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// A server that takes POST requests. `rule` is given the number of the request and its body.
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    posts: Arc<Mutex<Vec<Post>>>,
    is_closed: Arc<AtomicBool>,
}

impl Receiver {
    pub fn new(rule: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0".parse().expect("an address"), rule)
    }

    pub fn on(
        address: SocketAddr,
        rule: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, None, rule)
    }

    /// One that takes everything, over TLS.
    pub fn secured(pair: &Pair) -> Self {
        let certificate = CertificateDer::from_pem_file(&pair.certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions");
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key);
        let config = Arc::new(config.expect("a pair"));
        Self::start("127.0.0.1:0".parse().expect("an address"), Some(config), |_, _| OK)
    }

    fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        rule: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("it has one");
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let is_closed = Arc::<AtomicBool>::default();
        let (rule, all, closed) = (Arc::new(rule), Arc::clone(&posts), Arc::clone(&is_closed));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let (rule, posts, tls) = (Arc::clone(&rule), Arc::clone(&all), tls.clone());
                thread::spawn(move || match tls {
                    Some(config) => {
                        let tls = ServerConnection::new(config).expect("a configuration");
                        serve(StreamOwned::new(tls, stream), &*rule, &posts);
                    }
                    None => serve(stream, &*rule, &posts),
                });
            }
        });
        Self { address, scheme, posts, is_closed }
    }

    /// One that takes everything.
    pub fn willing() -> Self {
        Self::new(|_, _| OK)
    }

    pub fn url(&self) -> String {
        let host =
            if self.scheme == "https" { "localhost".into() } else { self.address.ip().to_string() };
        format!("{}://{host}:{}/events", self.scheme, self.address.port())
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("not poisoned").clone()
    }

    /// The events of requests that were taken.
    pub fn taken(&self) -> Vec<Value> {
        let posts = self.posts();
        let taken = posts.iter().filter(|post| post.reply == OK);
        taken.flat_map(Post::events).collect()
    }

    pub fn wait_for(&self, count: usize, seconds: f64) -> Vec<Value> {
        let mut taken = Vec::new();
        eventually("the events come", seconds, || {
            taken = once(self.taken());
            taken.len() >= count
        });
        taken
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // so that it looks
    }
}

/// Each event once, as it came first.
pub fn once(events: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    events.into_iter().filter(|event| seen.insert(event["id"].to_string())).collect()
}

fn serve(stream: impl Read + Write, rule: &Rule, posts: &Mutex<Vec<Post>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut headers = HashMap::new();
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert!(line.starts_with("POST /events HTTP/1.1"), "{line}");
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return; // it was killed
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length: usize = headers["content-length"].parse().expect("a number");
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).expect("text");
        let reply = {
            let mut posts = posts.lock().expect("not poisoned");
            let reply = rule(posts.len(), &body);
            posts.push(Post { headers, body, reply: reply.clone() });
            reply
        };
        match reply {
            Reply::Status(status, more) => {
                let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
                let answer = format!("HTTP/1.1 {status} Status\r\n{length}{more}\r\n");
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Reply::Stall => {
                thread::sleep(Duration::from_millis(1500));
                return;
            }
            Reply::Hangup => return,
        }
    }
}

/// The file of a server, with its outbox.
pub fn store_of(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("throng.db")
}

/// A server whose rooms `d.*` are durable, and that tells a service.
pub fn serve_telling(file: &std::path::Path, url: &str, flags: &[&str]) -> Server {
    let file = file.to_str().expect("a path in UTF-8");
    let own = ["--history-db", file, "--durable", "d.*", "--sink", url, "--sink-pause", "0.2"];
    Server::serve(&[&own[..], flags].concat())
}

/// The same, which trusts the authority of this file; else those of the system.
pub fn serve_trusting(ca: Option<&str>, file: &std::path::Path, url: &str) -> Server {
    let file = file.to_str().expect("a path in UTF-8");
    let own = ["--history-db", file, "--durable", "d.*", "--sink", url, "--sink-pause", "0.2"];
    let variables: Vec<_> = ca.map(|ca| ("SSL_CERT_FILE", ca)).into_iter().collect();
    Server::serve_with(&variables, &own)
}

pub fn person(server: &Server, name: &str) -> Person {
    Person::open(RawClient::connect(server), &format!("/ws?name={name}")).0
}

/// The value of a metric.
pub fn metric(server: &Server, name: &str) -> u64 {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    let body = String::from_utf8(client.read_answer(false).body).expect("text");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse::<f64>().ok()).expect(name) as u64
}
