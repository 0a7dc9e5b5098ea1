//! Tables of answers and what a client makes of them.

use super::*;
use crate::http::{HeadLimits, HeaderSlots};
use proptest::prelude::*;

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn request() -> ClientRequest {
    ClientRequest::new("a", "/", *b"the sample nonce").unwrap()
}

fn offering() -> ClientRequest {
    let request = request().subprotocol("chat").and_then(|it| it.subprotocol("v2")).unwrap();
    request.extensions("permessage-deflate; client_max_window_bits, x-other").unwrap()
}

/// The subprotocol and the extensions of the answer.
fn verdict(
    request: &ClientRequest,
    head: &str,
) -> Result<(Option<String>, Vec<String>), AnswerError> {
    let mut slots = HeaderSlots::new();
    let limits = HeadLimits::default();
    let response = ResponseHead::parse(head.as_bytes(), &mut slots, &limits).expect(head);
    let accepted = request.verify(&response)?;
    let extensions = accepted.extensions().map(|it| it.name().to_owned());
    Ok((accepted.subprotocol().map(str::to_owned), extensions.collect()))
}

/// The verdict on the good answer with `from` replaced.
fn with(from: &str, to: &str) -> Result<(), AnswerError> {
    let head = GOOD.replacen(from, to, 1);
    assert_ne!(head, GOOD, "{from}");
    verdict(&request(), &head).map(|_| ())
}

/// The verdict on the good answer and more lines, to a request that offers.
fn also(lines: &str) -> Result<(Option<String>, Vec<String>), AnswerError> {
    let end = GOOD.len() - 2;
    verdict(&offering(), &format!("{}{lines}\r\n\r\n", &GOOD[..end]))
}

#[test]
fn rfc6455_4_1_the_plain_answer() {
    assert_eq!(verdict(&request(), GOOD), Ok((None, Vec::new())));
    assert_eq!(verdict(&offering(), GOOD), Ok((None, Vec::new())));
}

#[test]
fn rfc6455_4_1_status_and_version() {
    for status in [100, 103, 200, 302, 401, 426, 500] {
        assert_eq!(with("101", &status.to_string()), Err(AnswerError::Status(status)));
    }
    assert_eq!(with("HTTP/1.1", "HTTP/1.0"), Err(AnswerError::HttpVersion));
}

#[test]
fn rfc6455_4_1_upgrade_connection_accept() {
    let upgrade = "Upgrade: websocket\r\n";
    assert_eq!(with("websocket", " WebSocket\t"), Ok(()));
    for value in ["", "websockets", "h2c", "websocket/13", "h2c, websocket", "websocket,"] {
        assert_eq!(with("websocket", value), Err(AnswerError::Upgrade), "{value}");
    }
    assert_eq!(with(upgrade, ""), Err(AnswerError::Upgrade));
    assert_eq!(with(upgrade, &upgrade.repeat(2)), Err(AnswerError::Upgrade));

    let connection = "Connection: Upgrade\r\n";
    for value in ["upgrade", "keep-alive, UPGRADE", "a,,upgrade"] {
        assert_eq!(with(connection, &format!("connection: {value}\r\n")), Ok(()), "{value}");
    }
    assert_eq!(with(connection, "Connection: a\r\nConnection: Upgrade\r\n"), Ok(()));
    for line in ["", "Connection: \r\n", "Connection: keep-alive\r\n", "Connection: Upgrades\r\n"] {
        assert_eq!(with(connection, line), Err(AnswerError::Connection), "{line}");
    }

    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert_eq!(
        with("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "ACCEPT:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\t "),
        Ok(())
    );
    assert_eq!(with(accept, ""), Err(AnswerError::AcceptMissing));
    assert_eq!(with(accept, &accept.repeat(2)), Err(AnswerError::AcceptRepeated));
    for (from, to) in [("s3pP", "S3pP"), ("xOo=", "xOo"), ("s3", "\"s3"), ("xOo=", "xOo= x")] {
        assert_eq!(with(from, to), Err(AnswerError::Accept), "{to}");
    }
}

#[test]
fn rfc6455_4_1_extensions_and_subprotocols() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate";
    assert_eq!(also(deflate), Ok((None, names(&["permessage-deflate"]))));
    let both = format!("{deflate}; a=1\r\nSec-WebSocket-Extensions: x-other");
    assert_eq!(also(&both), Ok((None, names(&["permessage-deflate", "x-other"]))));
    let table = [
        ("Sec-WebSocket-Extensions: ", AnswerError::Extensions),
        ("Sec-WebSocket-Extensions: ,", AnswerError::Extensions),
        ("Sec-WebSocket-Extensions: x-other; a=\"b c\"", AnswerError::Extensions),
        ("Sec-WebSocket-Extensions: x-else", AnswerError::ExtensionNotOffered),
        ("Sec-WebSocket-Extensions: Permessage-Deflate", AnswerError::ExtensionNotOffered),
        ("Sec-WebSocket-Extensions: x-other, x-other; b", AnswerError::ExtensionRepeated),
        ("Sec-WebSocket-Protocol: ", AnswerError::Subprotocol),
        ("Sec-WebSocket-Protocol: chat, v2", AnswerError::Subprotocol),
        ("Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Protocol: v2", AnswerError::Subprotocol),
        ("Sec-WebSocket-Protocol: v3", AnswerError::SubprotocolNotOffered),
        ("Sec-WebSocket-Protocol: CHAT", AnswerError::SubprotocolNotOffered),
        ("Content-Length: 5", AnswerError::Body),
        ("Transfer-Encoding: chunked", AnswerError::Body),
    ];
    for (lines, error) in table {
        assert_eq!(also(lines), Err(error), "{lines}");
    }
    assert_eq!(also("sec-websocket-protocol: v2\t"), Ok((Some("v2".to_owned()), Vec::new())));
    assert_eq!(also("Content-Length: 0"), Ok((None, Vec::new())));
    assert_eq!(
        with("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        Err(AnswerError::ExtensionNotOffered)
    );
    assert_eq!(
        with("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
        Err(AnswerError::SubprotocolNotOffered)
    );
}

proptest! {
    /// The two halves agree: what our server writes, our client takes.
    #[test]
    fn our_own_answers_are_taken(nonce: [u8; 16], chosen in 0..3_usize) {
        let request = ClientRequest::new("a", "/", nonce).unwrap();
        let request = request.subprotocol("chat").and_then(|it| it.subprotocol("v2")).unwrap();
        let mut acceptance = crate::handshake::Acceptance::new();
        let name = [None, Some("chat"), Some("v2")][chosen];
        if let Some(name) = name {
            acceptance = acceptance.subprotocol(name);
        }
        let mut out = Vec::new();
        crate::handshake::write_response(&mut out, request.key(), &acceptance);
        let taken = verdict(&request, std::str::from_utf8(&out).unwrap());
        prop_assert_eq!(taken, Ok((name.map(str::to_owned), Vec::new())));
    }
}
