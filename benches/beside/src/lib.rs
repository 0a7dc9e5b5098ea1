//! What the benches beside the peers' crates share: one wire of memory for every kind of reader,
//! and the same messages for all.
//!
//! Owns inputs. Never measures.

mod wire;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use throng::proto::{Message, MessageKind, Outbound};

pub use wire::Wire;

/// The sample key of RFC 6455 section 5.7.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A browser's opening handshake.
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
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// JSON as chats send it, `len` bytes of ASCII, no two messages alike.
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

/// A client's masked frames: `count` messages of `payload`.
pub fn masked(kind: MessageKind, payload: &[u8], count: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..count {
        let sent = Outbound::new().send(Message { kind, payload }, Some(KEY), &mut wire);
        sent.expect("an open connection");
    }
    wire
}

/// What an asynchronous reader gives over a [`Wire`], which never keeps anyone waiting.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory was not ready"),
    }
}
