//! Requests as text, the broken ones included, and answers taken apart.

/// The key of the example in RFC 6455, 1.3, and the one right answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The value of Sec-WebSocket-Accept for `key` (RFC 6455, 4.2.2), from crates, not from throng.
pub fn accept_for(key: &str) -> String {
    use base64::Engine;
    use sha1::Digest;
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let mut text = [0; 28];
    let written = base64::engine::general_purpose::STANDARD.encode_slice(digest, &mut text);
    assert_eq!(written.expect("room for 28 characters"), 28);
    String::from_utf8(text.to_vec()).expect("base64 is ASCII")
}

/// An upgrade request that can be bent in every way.
#[derive(Clone)]
pub struct Upgrade {
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl Upgrade {
    /// A correct request.
    pub fn new(target: &str) -> Upgrade {
        Upgrade {
            method: "GET".into(),
            target: target.into(),
            version: "HTTP/1.1".into(),
            headers: Vec::new(),
        }
        .header("Host", "localhost")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", KEY)
        .header("Sec-WebSocket-Version", "13")
    }

    pub fn method(mut self, method: &str) -> Upgrade {
        self.method = method.into();
        self
    }

    pub fn version(mut self, version: &str) -> Upgrade {
        self.version = version.into();
        self
    }

    /// One more header line.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Upgrade {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Upgrade {
        let before = self.headers.len();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        assert_ne!(before, self.headers.len(), "there is no {name} to take away");
        self
    }

    pub fn replace(self, name: &str, value: impl AsRef<[u8]>) -> Upgrade {
        self.without(name).header(name, value)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// A plain request with a Host.
pub fn request(method: &str, target: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

pub fn get(target: &str) -> Vec<u8> {
    request("GET", target)
}

/// An answer: status line, headers, body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// From a head without its empty line. Panics where a client would give up on the answer.
    pub fn parse(head: &[u8]) -> Answer {
        let head = std::str::from_utf8(head).expect("an answer's head in UTF-8");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a status line");
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let status = status.parse().unwrap_or_else(|_| panic!("not a status line: {line:?}"));
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a colon in a header line");
                assert!(!name.contains([' ', '\t']), "a blank in the name: {line:?}");
                (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
            })
            .collect();
        Answer { status, headers, body: Vec::new() }
    }

    /// All values of `name` (in lower case).
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(other, _)| other == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of `name`; panics where there are several.
    pub fn only(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times: {self:?}", all.len());
        all.first().copied()
    }

    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self.all(name);
        let mut tokens = values.iter().flat_map(|value| value.split(','));
        tokens.any(|other| other.trim().eq_ignore_ascii_case(token))
    }

    /// The bytes of the body that must follow the head.
    pub fn body_length(&self) -> usize {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return 0;
        }
        let length = self.only("content-length").expect("a Content-Length in the answer");
        length.parse().expect("a number in Content-Length")
    }
}
