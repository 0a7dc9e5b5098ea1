//! What a token says of its bearer: limits and priority.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use throng::hub::auth::{Claims, Limits, Priority, Signer};

use crate::common::{Frame, RawClient, Server, eventually};
use crate::{answer, ask, metric};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A file of this test's own, gone with it.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("overload-{name}-{}", std::process::id()));
        fs::write(&path, SECRET).expect("a file");
        Self(path)
    }

    fn serve(&self, flags: &[&str]) -> Server {
        let file = self.0.to_str().expect("a path in UTF-8");
        Server::serve(&[&["--jwt-secret-file", file], flags].concat())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // it may be gone
    }
}

fn open(server: &Server, limits: Limits, priority: Priority) -> RawClient {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let exp = Some(now.as_secs() + 600);
    let claims = Claims { sub: "ann".into(), exp, limits, priority, ..Claims::default() };
    let signer = Signer::secret(SECRET.as_bytes()).expect("a long secret");
    let token = signer.sign(&claims).expect("good claims");
    let mut client = RawClient::open(server, &format!("/ws?room=a&token={token}"));
    assert!(client.read_text().contains("welcome"));
    client
}

#[test]
fn a_token_has_its_own_rates_and_rooms() {
    let secret = Secret::new("rates");
    let server = secret.serve(&["--message-rate", "1000", "--max-rooms", "2"]);
    let narrow = Limits { messages: Some(2), rooms: Some(1), ..Limits::default() };
    let mut ann = open(&server, narrow, Priority::Normal);
    let join = ask(&mut ann, r#"{"type":"join","id":1,"room":"b"}"#);
    assert_eq!(join["code"], "too_many_rooms");
    for _ in 0..10 {
        ann.send(Frame::text(r#"{"type":"heartbeat"}"#).bytes());
    }
    let answers: Vec<_> = (0..10).map(|_| answer(&mut ann)["code"].clone()).collect();
    // Twice two at once, of which the join was one.
    assert_eq!(answers.iter().filter(|code| *code == "rate_limited").count(), 7, "{answers:?}");

    let wide = Limits { rooms: Some(3), bytes: Some(1_000), ..Limits::default() };
    let mut bob = open(&server, wide, Priority::Normal);
    for room in ["b", "c"] {
        let command = format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#);
        assert_eq!(ask(&mut bob, &command)["type"], "ok", "{room}");
    }
    let text =
        format!(r#"{{"type":"text","content":"{}","echo":false,"id":7}}"#, "x".repeat(1_700));
    assert_eq!(ask(&mut bob, &text)["type"], "ok");
    assert_eq!(ask(&mut bob, &text)["code"], "rate_limited");

    let mut carol = open(&server, Limits::default(), Priority::Normal);
    for n in 0..200 {
        assert_eq!(ask(&mut carol, r#"{"type":"heartbeat"}"#)["type"], "heartbeat", "{n}");
    }
}

#[test]
fn a_bearer_of_low_priority_is_shed_first() {
    let secret = Secret::new("priority");
    let flags = ["--degrade", "--partial-bytes", "100000", "--handshake-timeout", "60"];
    let server = secret.serve(&flags);
    let mut low = open(&server, Limits::default(), Priority::Low);
    let mut high = open(&server, Limits::default(), Priority::High);
    let mut load = Vec::new();
    for _ in 0..8 {
        let mut client = RawClient::connect(&server);
        client.send([b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 10_300]].concat());
        load.push(client);
    }
    eventually("busy", 10.0, || metric(&server, "throng_degrade_level") == 1.0);
    let text = r#"{"type":"text","id":1,"content":"hi","echo":false}"#;
    assert_eq!(ask(&mut low, text)["code"], "overloaded");
    let direct = r#"{"type":"direct","id":1,"user":"nobody","content":"hi"}"#;
    assert_eq!(ask(&mut low, direct)["code"], "overloaded");
    assert_eq!(ask(&mut high, text)["type"], "ok");
}
