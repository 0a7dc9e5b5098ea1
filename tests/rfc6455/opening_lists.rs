//! Rows 11, 12 and 17 to 19: subprotocols and extensions, the two lists of the handshake.

use crate::common::http::Upgrade;
use crate::common::{RawClient, Server, each_chunking, each_cut};
use crate::opening::{accepted, refused, upgrade};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

fn offering(extensions: &str) -> Vec<u8> {
    upgrade().header(EXTENSIONS, extensions).bytes()
}

#[test]
fn row_011_subprotocol_only_from_the_offer() {
    each_cut(|| {
        let servers = [Server::echo(&[]), Server::serve(&[])];
        for server in &servers {
            let request = Upgrade::new("/echo");
            let answer = accepted(server, "no offer", &request.bytes());
            assert_eq!(answer.all("sec-websocket-protocol"), [""; 0], "nothing was offered");
            for offer in ["chat", "chat, superchat", "x.y-z, chat"] {
                let request = request.clone().header(PROTOCOL, offer).bytes();
                let answer = accepted(server, offer, &request);
                if let Some(chosen) = answer.only("sec-websocket-protocol") {
                    let mut offered = offer.split(", ");
                    assert!(offered.any(|one| one == chosen), "{offer}: chose {chosen:?}");
                }
            }
            for bad in ["a b", "chat, chat", "a/b", "\"chat\"", "ch\u{e4}t", "(chat)"] {
                let request = request.clone().header(PROTOCOL, bad).bytes();
                refused(server, bad, &request, &[400]);
            }
            let lines = request.clone().header(PROTOCOL, "chat").header(PROTOCOL, "chat");
            refused(server, "twice over two lines", &lines.bytes(), &[400]);
        }
    });
}

#[test]
fn row_012_extensions_only_if_offered() {
    each_cut(|| {
        let server = Server::echo(&[]);
        let answer = accepted(&server, "no offer", &upgrade().bytes());
        assert_eq!(answer.all("sec-websocket-extensions"), [""; 0]);
        for offer in
            ["x-made-up", "x-one; a=1, x-two", "permessage-bzip2", "x-webkit-deflate-frame"]
        {
            let answer = accepted(&server, offer, &offering(offer));
            assert_eq!(answer.all("sec-websocket-extensions"), [""; 0], "{offer}");
        }
    });
}

#[test]
fn row_017_several_extension_lines_are_one_list() {
    each_cut(|| {
        let server = Server::echo(&[]);
        let lines = |lines: &[&str]| {
            lines.iter().fold(upgrade(), |request, line| request.header(EXTENSIONS, line)).bytes()
        };
        accepted(&server, "three lines", &lines(&["x-one", "x-two; a=1", "x-three"]));
        accepted(&server, "joined", &lines(&["x-one, x-two; a=1, x-three"]));
        // A fault on any of the lines is a fault of the list.
        for bad in [["x-one; =", "x-two"], ["x-one", "x-two; ="], ["x-one", "x two"]] {
            refused(&server, &bad.join(" | "), &lines(&bad), &[400]);
            refused(&server, &bad.join(", "), &lines(&[&bad.join(", ")]), &[400]);
        }
        // A string that is open at the end of a line is not closed by the next one's quote.
        refused(&server, "quote over lines", &lines(&["x-one; a=\"b", "c\""]), &[400]);
    });
}

#[test]
fn row_018_malformed_extensions_fail_the_handshake() {
    let server = Server::echo(&[]);
    let bad = [
        "x-one;",
        ";",
        "; a",
        "x one",
        "x-one; =1",
        "x-one; a=",
        "x-one; a=1=2",
        "x-one; a b",
        "x-one;; a",
        "x-one; a=\"b",
        "x-one; a=b\"",
        "x-one; a=\"b\" c",
        "\"x-one\"",
        "x-one, ; a",
        "x/one",
        "x-one; a=(b)",
        "permessage-deflate; client_max_window_bits=",
    ];
    for offer in bad {
        refused(&server, offer, &offering(offer), &[400]);
    }
    for offer in ["x-one;a;b=c", "x-one ; a = 1", "x-one\t;\ta=1 , x-two"] {
        // Blanks around `;` and `,` are allowed by the list rule; around `=` they are not said to
        // be, and may go either way: it must not hang or break the server.
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(offer);
            client.send_chunked(&offering(offer), chunking);
            let status = client.read_answer(false).status;
            let either = offer.contains(" = ") && status == 400;
            assert!(status == 101 || either, "{offer}: {status}");
        });
    }
}

#[test]
fn row_019_quoted_values_are_tokens_after_unquoting() {
    each_cut(|| {
        let server = Server::echo(&[]);
        for good in ["x-one; a=\"b\"", "x-one; a=\"10\"; c", "x-one; a=\"\\b\""] {
            accepted(&server, good, &offering(good));
        }
        for bad in ["\"\"", "\"b c\"", "\"b,c\"", "\"b;c\"", "\"\\\"\"", "\"b=c\"", "\"\u{e9}\""] {
            let offer = format!("x-one; a={bad}");
            refused(&server, &offer, &offering(&offer), &[400]);
        }
    });
}
