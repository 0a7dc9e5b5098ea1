//! The library's clients: whom they believe, and how they take an end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use throng::client::{
    Client, ClientError, Connect, Culprit, Ending, Incoming, Policy, ReconnectingClient, State,
};
use throng::frame::CloseCode;
use throng::proto::Message;
use throng::tls::Connector;

use crate::authority::{Authority, Pair, text, words};
use crate::common::http::accept_for;
use crate::common::{Frame, Server};
use crate::peer::server_config;

fn trusting(authority: &Authority) -> Connector {
    Connector::trusting(authority.ca()).expect("good files")
}

fn url(server: &Server) -> String {
    format!("wss://{}/echo", server.address())
}

fn open(connector: &Connector, url: &str) -> Result<Client, ClientError> {
    Connect::to(url).tls(connector).timeout(Duration::from_secs(20)).open()
}

fn echo(client: &mut Client, payload: &[u8]) {
    client.send(Message::binary(payload)).expect("sent");
    let message = match client.read().expect("an answer") {
        Incoming::Message(message) => message,
        other => panic!("to {} bytes: {other:?}", payload.len()),
    };
    assert!(message.payload == payload, "{} bytes came back otherwise", payload.len());
}

#[test]
fn messages_of_all_sizes_over_wss() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["127.0.0.1"]).flags();
    let server = Server::echo(&words(&flags));
    let mut client = open(&trusting(&authority), &url(&server)).expect("opened");
    for len in [0, 1, 125, 16_384, 70_000, 3_000_000] {
        echo(&mut client, &vec![len as u8; len]);
    }
    let close = client.close(CloseCode::NORMAL, "bye").expect("closed");
    assert_eq!(close.code, Some(CloseCode::NORMAL));
}

/// Class A17: a client that does not look whom it speaks with.
#[test]
fn row_026_a17_a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["other.example", "127.0.0.2"]).flags();
    let server = Server::serve(&words(&flags));
    let error = open(&trusting(&authority), &url(&server)).expect_err("the wrong name");
    assert!(matches!(error, ClientError::Tls(_)), "{error}");
    assert_eq!(error.culprit(), Culprit::Server);
    assert_eq!(Ending::of(&error), Some(Ending::Broken));
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // By default whom the system trusts, who is not this one.
    let error = Client::connect(&url(&server)).expect_err("an unknown authority");
    assert!(matches!(error, ClientError::Tls(_) | ClientError::TlsSetup(_)), "{error}");
    let mut client = open(&Connector::insecure().expect("set up"), &url(&server)).expect("asked");
    echo(&mut client, b"whoever you are");
}

#[test]
fn row_026_a17_certificates_of_strangers_and_of_yesterday_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let names = ["127.0.0.1"];
    for (pair, fault) in [
        (stranger.pair("server", &names), "UnknownIssuer"),
        (authority.expired("server", &names), "expired"),
    ] {
        let server = Server::serve(&words(&pair.flags()));
        let error = open(&trusting(&authority), &url(&server)).expect_err("not to be believed");
        assert!(matches!(error, ClientError::Tls(_)), "{error}");
        assert!(error.to_string().contains(fault), "{error}");
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["127.0.0.1"]).flags();
    flags.extend(["--tls-client-ca".into(), text(&authority.ca())]);
    flags.push("--tls-require-client-cert".into());
    let server = Server::serve(&words(&flags));
    let ann = authority.pair("ann", &["ann"]);
    let connector = trusting(&authority).with_certificate(&ann.certificate, &ann.key);
    echo(&mut open(&connector.expect("a pair"), &url(&server)).expect("opened"), b"it is me");
    let error = open(&trusting(&authority), &url(&server)).expect_err("nobody");
    assert!(matches!(error, ClientError::Tls(_) | ClientError::Lost(_)), "{error}");
}

#[test]
fn a_plain_server_is_no_tls_server() {
    let server = Server::serve(&[]);
    let connector = Connector::insecure().expect("set up");
    let error = open(&connector, &url(&server)).expect_err("no TLS");
    assert!(matches!(error, ClientError::Tls(_)), "{error}");
}

/// A server that speaks TLS, opens a WebSocket, and then does as the script says.
fn scripted(
    pair: &Pair,
    script: impl Fn(&mut StreamOwned<ServerConnection, std::net::TcpStream>) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let config = server_config(pair);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = Vec::new();
            let mut block = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(count @ 1..) = stream.read(&mut block) else { break };
                request.extend_from_slice(&block[..count]);
            }
            let request = String::from_utf8(request).expect("a request");
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let Some(key) = key else { continue };
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                accept_for(key)
            );
            stream.write_all(answer.as_bytes()).expect("sent");
            script(&mut stream);
        }
    });
    format!("wss://{addr}/")
}

#[test]
fn row_027_sni_is_sent() {
    let authority = Authority::new();
    let (told, heard) = std::sync::mpsc::channel();
    let url = scripted(&authority.pair("server", &["localhost"]), move |stream| {
        let _ = told.send(stream.conn.server_name().map(str::to_owned)); // the test may be over
    });
    let url = url.replace("127.0.0.1", "localhost");
    open(&trusting(&authority), &url).expect("opened");
    assert_eq!(heard.recv().expect("a handshake").as_deref(), Some("localhost"));
}

#[test]
fn a_cut_connection_is_lost_and_never_a_close() {
    let authority = Authority::new();
    let pair = authority.pair("server", &["127.0.0.1"]);
    // TCP ends without a word of TLS, and TLS ends without a Close.
    for says_end in [false, true] {
        let url = scripted(&pair, move |stream| {
            stream.write_all(&Frame::text("one").unmasked().bytes()).expect("sent");
            if says_end {
                stream.conn.send_close_notify();
                stream.flush().expect("sent");
            }
        });
        let mut client = open(&trusting(&authority), &url).expect("opened");
        assert!(matches!(client.read(), Ok(Incoming::Message(it)) if it.payload == b"one"));
        let error = client.read().expect_err("the end");
        assert!(matches!(error, ClientError::Lost(_)), "{error}");
        assert_eq!(error.close_code(), Some(1006));
    }
}

#[test]
fn a_record_that_was_changed_on_its_way_is_an_end() {
    let authority = Authority::new();
    let url = scripted(&authority.pair("server", &["127.0.0.1"]), |stream| {
        stream.conn.writer().write_all(&Frame::text("one").unmasked().bytes()).expect("room");
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record).expect("in memory");
        *record.last_mut().expect("a byte") ^= 1;
        stream.sock.write_all(&record).expect("sent");
        let _ = stream.sock.read(&mut [0; 64]); // an alert
    });
    let mut client = open(&trusting(&authority), &url).expect("opened");
    let error = client.read().expect_err("nobody knows what it said");
    assert!(matches!(error, ClientError::Lost(Some(_))), "{error}");
}

#[test]
fn a_client_comes_back_over_tls() {
    let authority = Authority::new();
    let url = scripted(&authority.pair("server", &["127.0.0.1"]), |stream| {
        stream.write_all(&Frame::text("here").unmasked().bytes()).expect("sent");
    });
    let policy = Policy { base: Duration::from_millis(10), ..Policy::default() };
    let connect = Connect::to(&url).tls(&trusting(&authority));
    let mut client = ReconnectingClient::new(connect).policy(policy);
    client.connect().expect("connected");
    for _ in 0..4 {
        assert!(matches!(client.read(), Ok(Incoming::Message(it)) if it.payload == b"here"));
    }
    assert_eq!(client.state(), State::Connected);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("an address"));
    let connector = Connector::insecure().expect("set up");
    let connect = Connect::to(&url).tls(&connector).timeout(Duration::from_millis(300));
    let error = connect.open().expect_err("nobody answers");
    assert!(matches!(error, ClientError::Timeout(_)), "{error}");
}
