//! Request heads that are mostly right, out of short inputs.
//!
//! Owns the little language: a start, then a byte for each word or character. Random bytes seldom
//! make two valid headers; this makes twenty. Never cares whether the result is legal.

use crate::Plan;

const STARTS: [&str; 4] = [
    "",
    "GET /ws?room=a HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST /x HTTP/1.1\r\nHost: a:80\r\n",
];

/// Whole lines, beginnings of lines, and what may follow these.
const WORDS: [&str; 64] = [
    "GET / HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "GET /a#b HTTP/1.1\r\n",
    "GET ws://b.example HTTP/1.1\r\n",
    "GET http://u@b/?q HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "GET / HTTP/2.0\r\n",
    "GET  / HTTP/1.1\r\n",
    "Host: a\r\n",
    "Host: a,b\r\n",
    "Host: [::1]:80\r\n",
    "Host:\r\n",
    "Host : a\r\n",
    "Upgrade: websocket\r\n",
    "upgrade: h2c, WebSocket\r\n",
    "Upgrade: websocket/13\r\n",
    "Connection: Upgrade\r\n",
    "connection: keep-alive, UPGRADE\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Version: 13, 8\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n",
    "Sec-WebSocket-Key: ",
    "Sec-WebSocket-Protocol: chat, superchat\r\n",
    "Sec-WebSocket-Protocol: ",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    "Sec-WebSocket-Extensions: ",
    "Origin: http://a.example\r\n",
    "Origin: ",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: ",
    "X-A: b\r\n",
    " folded\r\n",
    "A:\tb \t\r\n",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "\t",
    " ",
    ",",
    ";",
    "=",
    "\"",
    "\\",
    ":",
    "chat",
    "superchat",
    "x",
    "chunked",
    "%2D",
    "é",
    "\u{7F}",
    "\0",
    "\u{B}",
];

/// The head that the rest of `plan` stands for.
pub fn head(mut plan: Plan<'_>) -> Vec<u8> {
    let start = plan.byte();
    let mut head = STARTS[usize::from(start % 4)].as_bytes().to_vec();
    for &code in plan.rest() {
        match code {
            0..=127 => head.extend_from_slice(WORDS[usize::from(code % 64)].as_bytes()),
            128..=254 => head.push(code - 128),
            255 => head.push(255),
        }
    }
    if start & 4 == 0 {
        head.extend_from_slice(b"\r\n");
    }
    head
}
