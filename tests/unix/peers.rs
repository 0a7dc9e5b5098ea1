//! Who comes by a Unix socket has no address of its own: limits, the API, proxies, and programs.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::http::{Upgrade, get};
use crate::common::server::program;
use crate::common::{Expect, Frame, RawClient, Server};
use crate::{dial, open, place};

/// The status that an upgrade gets; keep the client, or the connection ends.
fn ask(path: &str, upgrade: &Upgrade) -> (u16, RawClient) {
    let mut client = dial(path);
    client.send(upgrade.bytes());
    (client.read_answer(false).status, client)
}

fn from(address: &str) -> Upgrade {
    Upgrade::new("/ws").header("X-Forwarded-For", address)
}

/// Those whom no trusted proxy names are one client together, as those behind one address are; what
/// they say of their address counts for nothing.
#[test]
fn who_is_not_named_is_one_client_with_the_others() {
    let (_folder, path, listen) = place();
    let flags = ["--listen", &listen, "--max-connections-per-ip", "2"];
    let server = Server::serve(&flags);
    let inside = [ask(&path, &from("192.0.2.7")), ask(&path, &from("192.0.2.8"))];
    assert!(inside.iter().all(|(status, _)| *status == 101));
    assert_eq!(ask(&path, &from("192.0.2.9")).0, 429);
    // Those by TCP are others.
    let _by_tcp = RawClient::open(&server, "/ws");
}

#[test]
fn a_trusted_proxy_names_who_it_is() {
    let (_folder, path, listen) = place();
    let flags = ["--listen", &listen, "--max-connections-per-ip", "1", "--trust-proxy", "unix"];
    let server = Server::serve(&flags);
    let first = ask(&path, &from("192.0.2.7"));
    let second = ask(&path, &from("192.0.2.7"));
    let other = ask(&path, &from("192.0.2.8"));
    let nameless = ask(&path, &Upgrade::new("/ws"));
    assert_eq!([first.0, second.0, other.0], [101, 429, 101]);
    assert_eq!(nameless.0, 101);
    // Who comes by TCP is not believed for that.
    let mut client = RawClient::connect(&server);
    client.send(from("192.0.2.9").bytes());
    client.expect_upgrade();
    let mut liar = RawClient::connect(&server);
    liar.send(from("192.0.2.10").bytes());
    assert_eq!(liar.read_answer(false).status, 429);
}

/// By a proxy that says https, a page of https is the server's own.
#[test]
fn the_scheme_counts_from_a_trusted_proxy() {
    for (trust, expected) in [("unix", 101), ("10.0.0.0/8", 403)] {
        let (_folder, path, listen) = place();
        let _server = Server::serve(&["--listen", &listen, "--trust-proxy", trust]);
        let page = Upgrade::new("/ws").header("Origin", "https://localhost");
        let page = page.header("X-Forwarded-Proto", "https");
        assert_eq!(ask(&path, &page).0, expected, "{trust}");
    }
}

#[test]
fn the_proxy_protocol_names_who_it_is() {
    let (_folder, path, listen) = place();
    let flags = ["--listen", &listen, "--proxy-protocol", "--max-connections-per-ip", "1"];
    let _server = Server::serve(&flags);
    let ask = |header: &str| {
        let mut client = dial(&path);
        client.send([header.as_bytes(), &Upgrade::new("/ws").bytes()].concat());
        (client.read_answer(false).status, client)
    };
    let line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    let (first, second) = (ask(line), ask(line));
    assert_eq!([first.0, second.0], [101, 429]);
    let unknown = [ask("PROXY UNKNOWN\r\n"), ask("PROXY UNKNOWN\r\n")];
    assert_eq!([unknown[0].0, unknown[1].0], [101, 429]);
}

#[test]
fn the_api_has_no_address_for_them() {
    let (_folder, path, listen) = place();
    let key = "0123456789abcdef";
    let _server = Server::serve(&["--listen", &listen, "--api-key", key]);
    let mut ann = open(&path, "/ws?room=r&name=ann");
    while !ann.read_text().contains("welcome") {}
    let mut client = dial(&path);
    let head = "GET /api/rooms/r HTTP/1.1\r\nHost: localhost\r\n";
    client.send(format!("{head}Authorization: Bearer {key}\r\n\r\n"));
    let answer = client.read_answer(false);
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let members = body["connections"].as_array().expect("connections");
    assert_eq!(members.len(), 1, "{body}");
    assert!(members[0]["address"].is_null(), "{body}");
    // A wrong key is refused there as elsewhere.
    let mut client = dial(&path);
    client.send(format!("{head}Authorization: Bearer wrong\r\n\r\n"));
    assert_eq!(client.read_answer(false).status, 401);
}

#[test]
fn tls_is_spoken_there_too() {
    let (folder, path, listen) = place();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.file(name));
    std::fs::write(&cert, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let _server = Server::echo(&["--listen", &listen, "--tls-cert", &cert, "--tls-key", &key]);
    let flags = ["connect", "--unix", &path, "--ca", &cert, "wss://localhost/"];
    assert_eq!(connect(&flags, "by TLS\n"), "by TLS\n");
    let mut astray = dial(&path);
    astray.send(get("/"));
    assert_eq!(astray.read_answer(false).status, 400);
}

/// What `throng` prints when it is given these lines.
fn connect(flags: &[&str], lines: &str) -> String {
    use std::io::Write;

    let mut command = Command::new(program());
    command.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn throng_connect_opens_it() {
    let (_folder, path, listen) = place();
    let _server = Server::echo(&["--listen", &listen]);
    assert_eq!(
        connect(&["connect", "--unix", &path, "ws://any.name/x"], "one\ntwo\n"),
        "one\ntwo\n"
    );
    let mut command = Command::new(program());
    command.args(["connect", "--unix", "/nowhere/socket", "ws://any.name"]);
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unix:/nowhere/socket"), "{said}");
}

#[test]
fn curl_speaks_to_it() {
    let (_folder, path, listen) = place();
    let _server = Server::serve(&["--listen", &listen]);
    let mut curl = Command::new("curl");
    let output = curl.args(["-si", "--unix-socket", &path, "http://localhost/healthz"]).output();
    let output = output.expect("tests/run installs curl");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

/// A client that hands descriptors along with its bytes has them closed, and is served.
#[test]
fn descriptors_that_come_along_are_not_kept() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    let (_folder, path, listen) = place();
    let server = Server::echo(&["--listen", &listen]);
    let mut client = open(&path, "/");
    let before = server.fds_at_rest();
    for _ in 0..50 {
        let file = std::fs::File::open("/dev/null").expect("a file");
        let descriptors = [file.as_fd(); 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = Frame::text("with files").bytes();
        let slices = [std::io::IoSlice::new(&bytes)];
        sendmsg(&client.stream, &slices, &mut along, SendFlags::empty()).expect("it is sent");
        client.expect(&Expect::text("with files"));
    }
    assert_eq!(server.fds_at_rest(), before);
}
