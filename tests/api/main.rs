//! The HTTP API of the real binary, over real sockets: what it does, who may ask, bad input, pages
//! of other origins, traces.
//!
//! Owns the tests of what is on the wire. The way in that it goes by is tested in `tests/hub`.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // no WebSocket is opened by it here
#[path = "../engine/running.rs"]
mod running;

mod access;
mod asking;
mod behind;
mod document;
mod origins;
mod publishing;
mod refused;
mod revoking;
mod tickets;
mod traces;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use throng::hub::auth::{Claims, Signer};

use common::frame::CLOSE;
use common::{Answer, Frame, RawClient, Server, Upgrade};

pub const KEY: &str = "key-of-these-tests-0123456789";

/// The key as a header.
pub const WITH_KEY: (&str, &str) = ("Authorization", "Bearer key-of-these-tests-0123456789");

const SECRET: &[u8] = b"a secret that is long enough for anybody";

/// A server with a key and two loops.
pub fn server(flags: &[&str]) -> Server {
    let flags = [&["--api-key", KEY, "--loops", "2"], flags].concat();
    Server::serve(&flags)
}

/// The same, which takes tokens too. The file has to be there while it starts.
pub fn server_with_tokens(flags: &[&str]) -> Server {
    let secret = Scratch::new(SECRET);
    let file = secret.0.to_str().expect("a name in UTF-8");
    server(&[&["--jwt-secret-file", file], flags].concat())
}

/// One request, and its answer, whose body has to be JSON where there is one.
pub fn request(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (Answer, Value) {
    let mut client = RawClient::connect(server);
    client.note(format!("{method} {target}"));
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: api.example\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    client.send(format!("{text}\r\n{body}"));
    let answer = client.read_answer(method == "HEAD");
    let value = match &*answer.body {
        [] => Value::Null,
        body => {
            assert_eq!(answer.only("content-type"), Some("application/json"), "{answer:?}");
            serde_json::from_slice(body).expect("JSON")
        }
    };
    (answer, value)
}

/// A request with the key, answered with 200.
pub fn api(server: &Server, method: &str, target: &str, body: &str) -> Value {
    let (answer, value) = request(server, method, target, &with_key(body), body);
    assert_eq!(answer.status, 200, "{method} {target}: {value}");
    value
}

/// The same, refused: its status and the code.
pub fn fault(server: &Server, method: &str, target: &str, body: &str) -> (u16, String) {
    let (answer, value) = request(server, method, target, &with_key(body), body);
    (answer.status, code(&value))
}

fn with_key(body: &str) -> Vec<(&'static str, &'static str)> {
    let json = (!body.is_empty()).then_some(("Content-Type", "application/json"));
    [WITH_KEY].into_iter().chain(json).collect()
}

/// The code of a problem, which has to have words too.
pub fn code(body: &Value) -> String {
    assert!(body["content"].as_str().is_some_and(|words| !words.is_empty()), "{body}");
    assert_eq!(body.as_object().map(|body| body.len()), Some(2), "{body}");
    body["code"].as_str().expect("a code").to_owned()
}

/// A client of the hub.
pub struct Person(pub RawClient);

impl Person {
    /// Connects, and takes the welcome.
    pub fn enter(server: &Server, target: &str) -> Self {
        Self::enter_with(server, &Upgrade::new(target)).0
    }

    /// The same, with the welcome.
    pub fn enter_with(server: &Server, upgrade: &Upgrade) -> (Self, Value) {
        let mut client = RawClient::connect(server);
        client.send(upgrade.bytes());
        client.expect_upgrade();
        let mut person = Self(client);
        let welcome = person.read();
        assert_eq!(welcome["type"], "welcome");
        (person, welcome)
    }

    pub fn send(&mut self, command: &str) {
        self.0.send(Frame::text(command).bytes());
    }

    pub fn read(&mut self) -> Value {
        serde_json::from_str(&self.0.read_text()).expect("JSON")
    }

    /// The next message of a type; what comes before it is passed over.
    pub fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.read();
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Its Close, whatever comes before it: code and reason.
    pub fn next_close(&mut self) -> (u16, String) {
        loop {
            let frame = self.0.read_frame();
            if frame.opcode == CLOSE {
                let code = frame.close_code().expect("a code");
                return (code, String::from_utf8_lossy(&frame.payload[2..]).into_owned());
            }
        }
    }
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token by the secret, good for a minute unless the claims say something else.
pub fn token(claims: Claims) -> String {
    let exp = claims.exp.or(Some(now_s() + 60));
    let signer = Signer::secret(SECRET).expect("a long secret");
    signer.sign(&Claims { exp, ..claims }).expect("good claims")
}

/// The claims of a user.
pub fn claims(sub: &str) -> Claims {
    Claims { sub: sub.into(), ..Claims::default() }
}

/// A file that goes when this does.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throng-api-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).expect("a writable folder");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
