//! One thing to count, and the bytes that many cases share.
//!
//! Owns names and inputs. Never counts.

use throng::proto::{Message, MessageKind, Outbound};

/// The sample key of RFC 6455 section 5.7.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// What a browser sends, as a program on localhost sees it.
pub const REQUEST: &[u8] = b"GET /ws?room=lobby HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";

/// One thing to count. It runs twice, for as much work both times, and checks what it did.
pub struct Case {
    pub name: &'static str,
    pub run: Box<dyn FnMut()>,
}

impl Case {
    pub fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// JSON as chats send it, `len` bytes of it, no two messages alike.
pub fn json(len: usize) -> String {
    let mut text = String::with_capacity(len + 100);
    let mut number: u64 = 1;
    while text.len() < len {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (sender, at) = (number >> 54, number >> 40);
        text += &format!("{{\"type\":\"text\",\"sender\":\"user{sender}\",\"timestamp\":{at}}},");
    }
    text.truncate(len);
    text
}

/// Masked frames of a client: `count` messages of `payload`.
pub fn masked(kind: MessageKind, payload: &[u8], count: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..count {
        let sent = Outbound::new().send(Message { kind, payload }, Some(KEY), &mut wire);
        sent.expect("an open connection");
    }
    wire
}
