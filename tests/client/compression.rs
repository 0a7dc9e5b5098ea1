//! Rows 109 and 110, and A10: what the client makes of an answer about permessage-deflate.

use std::time::Duration;

use throng::client::{ClientError, Connect, Incoming};
use throng::extension::{Config, Mode};
use throng::net::Message;

use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, Server, each_cut};
use crate::peer::{Peer, Request};

/// A client that offers compression, and a server that answers with this extension line.
fn answered(mode: Mode, line: &'static str) -> Result<bool, ClientError> {
    let answer = move |request: &Request| {
        format!("{}Sec-WebSocket-Extensions: {line}\r\n\r\n", request.answer()).into_bytes()
    };
    let peer = Peer::answering(answer);
    let client = Connect::to(&peer.url("/")).compression(Config::new(mode)).open();
    peer.detach();
    client.map(|client| client.is_compressed())
}

#[test]
fn row_109_a10_a_wrong_answer_fails() {
    each_cut(|| {
        for line in [
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate, permessage-deflate",
            "x-webkit-deflate-frame",
            "permessage-deflate; ;",
        ] {
            let result = answered(Mode::Dedicated, line);
            let refused = matches!(result, Err(ClientError::Extension(_) | ClientError::Answer(_)));
            assert!(refused, "{line}: {result:?}");
        }
        let unasked = answered(Mode::Off, "permessage-deflate");
        assert!(matches!(unasked, Err(ClientError::Answer(_))), "not offered: {unasked:?}");
    });
}

#[test]
fn row_110_what_the_client_is_asked_for_it_does() {
    each_cut(|| {
        let lines = [
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ];
        for line in lines {
            assert!(matches!(answered(Mode::Dedicated, line), Ok(true)), "{line}");
        }
        for mode in ["off", "shared", "dedicated"] {
            let server = Server::echo(&["--compress", mode, "--compress-window", "10"]);
            let url = format!("ws://{}/", server.address());
            let connect = Connect::to(&url).compression(Config::new(Mode::Dedicated));
            let mut client = connect.open().expect("it connects");
            assert_eq!(client.is_compressed(), mode != "off", "{mode}");
            for len in [0, 10, 1_000, 100_000, 1_000, 2_000_000] {
                let text = "round and round and round it goes ".repeat(len / 34);
                client.send(Message::text(&text)).expect("it is open");
                match client.read().expect("an echo") {
                    Incoming::Message(message) => {
                        assert_eq!(message.as_text(), Some(&*text), "{mode}")
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    });
}

/// A9 at the client: a frame marked compressed where nothing was agreed.
#[test]
fn a9_rsv1_without_an_agreement_fails() {
    let (mut client, peer) = crate::frames::open(|session| {
        session.send_frame(Frame::text("x").rsv(4).unmasked());
        session.expect_close(Some(1002));
    });
    assert!(matches!(client.read(), Err(ClientError::Protocol(_))));
    drop(client);
    peer.join();
}

/// A level of the command line is the one that the server deflates with.
#[test]
fn the_level_of_the_server_is_chosen() {
    let text: String =
        (0..60).map(|n| format!("{{\"number\":{},\"name\":\"n{n}\"}}", n * n % 97)).collect();
    let echoed_bytes = |level: &str| {
        let server = Server::echo(&["--compress-level", level]);
        let mut client = RawClient::connect(&server);
        let offer = Upgrade::new("/").header("Sec-WebSocket-Extensions", "permessage-deflate");
        client.send(offer.bytes());
        client.expect_upgrade();
        client.send(Frame::text(&text).bytes());
        client.read_frame_raw(Duration::from_secs(10)).payload.len()
    };
    let [one, six, nine] = ["1", "6", "9"].map(echoed_bytes);
    assert!(one < text.len(), "{one} of {}", text.len());
    assert!(six < one / 10 * 9 && nine <= six, "{one}, {six}, {nine}");
}
