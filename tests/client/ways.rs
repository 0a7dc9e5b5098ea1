//! The ways to a server: redirects, a proxy, several addresses.

use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Culprit, Incoming, ProxyError, Step};
use throng::proto::Message;

use crate::common::Frame;
use crate::peer::{Peer, Session};

fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A server that greets whoever opens a connection on `/end`, and redirects everybody else there.
fn redirecting(status: u16, location: &'static str) -> Peer {
    Peer::listen(move |listener| {
        loop {
            let mut session = Session::accept(listener);
            let request = session.read_request();
            if request.line == "GET /end HTTP/1.1" {
                session.send(request.answer() + "\r\n");
                session.send_frame(Frame::text("arrived"));
                session.read_to_end();
                return;
            }
            session.send(redirect(status, location));
        }
    })
}

fn greeting(client: &mut Client) -> String {
    let Ok(Incoming::Message(message)) = client.read() else { panic!("no greeting") };
    message.as_text().expect("text").to_owned()
}

#[test]
fn redirects_are_followed_only_when_asked_for() {
    let peer = Peer::answering(|_| redirect(302, "/end"));
    let error = Client::connect(&peer.url("/")).expect_err("none by default");
    assert!(matches!(error, ClientError::Refused(answer) if answer.status() == 302));
    let targets = [(301, "/end"), (302, "end"), (303, "./end#x"), (307, "../end"), (308, "/end")];
    for (status, location) in targets {
        let peer = redirecting(status, location);
        let mut client = Connect::to(&peer.url("/a")).redirects(1).open().expect("followed");
        assert_eq!(greeting(&mut client), "arrived", "{status} {location}");
        drop(client);
        peer.join();
    }
    for status in [300, 304, 305, 310] {
        let peer = Peer::answering(move |_| redirect(status, "/end"));
        let error = Connect::to(&peer.url("/")).redirects(9).open().expect_err("no redirect");
        assert!(matches!(error, ClientError::Refused(answer) if answer.status() == status));
    }
}

#[test]
fn redirects_are_bounded() {
    let peer = Peer::listen(|listener| {
        for _ in 0..4 {
            let mut session = Session::accept(listener);
            session.read_request();
            session.send(redirect(302, "/"));
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "one more than was allowed");
    });
    let error = Connect::to(&peer.url("/")).redirects(3).open().expect_err("a circle");
    assert!(matches!(error, ClientError::TooManyRedirects), "{error}");
    assert_eq!(error.culprit(), Culprit::Server);
    peer.join();
    for location in ["", "ftp://a/", "ws://u@a/", "/a b", "ws://a:0/", "\u{e9}"] {
        let peer = Peer::answering(move |_| match location {
            "" => b"HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n".to_vec(),
            location => redirect(302, location),
        });
        let error = Connect::to(&peer.url("/")).redirects(3).open().expect_err("to nowhere");
        assert!(matches!(error, ClientError::Redirect), "{location}: {error}");
    }
}

#[test]
fn credentials_stay_with_their_origin() {
    let elsewhere = Peer::start(|mut session| {
        let request = session.open();
        for name in ["Authorization", "Cookie"] {
            assert!(request.all(name).is_empty(), "{name} was given to another origin");
        }
        assert_eq!(request.only("X-Trace"), "7");
        session.read_to_end();
    });
    let location = elsewhere.url("/").replace("ws://", "http://");
    let peer = Peer::listen(move |listener| {
        for to in ["/again", &location] {
            let mut session = Session::accept(listener);
            let request = session.read_request();
            assert_eq!(request.only("authorization"), "Bearer 0123", "the same origin");
            session.send(redirect(307, to));
        }
    });
    let connect = Connect::to(&peer.url("/")).redirects(2).header("authorization", "Bearer 0123");
    let connect = connect.header("Cookie", "a=b").header("X-Trace", "7");
    assert!(!format!("{connect:?}").contains("0123"), "secrets do not show: {connect:?}");
    drop(connect.open().expect("followed"));
    peer.join();
    elsewhere.join();
}

#[test]
fn through_a_proxy() {
    let peer = Peer::start(|mut session| {
        let request = session.read_request();
        assert_eq!(request.line, "CONNECT ws.example:9001 HTTP/1.1");
        assert_eq!(request.only("Host"), "ws.example:9001");
        assert_eq!(request.only("Proxy-Authorization"), "Basic YW5uOnMzY3JldA==");
        session.expect_silence(Duration::from_millis(30)); // nothing before the tunnel is open
        session.send("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n");
        let request = session.open();
        assert_eq!(request.line, "GET /chat HTTP/1.1");
        assert_eq!(request.only("Host"), "ws.example:9001");
        assert!(request.all("Proxy-Authorization").is_empty(), "the proxy's secret is its own");
        session.send_frame(Frame::text("hello"));
        session.read_to_end();
    });
    // Names are resolved by the proxy: this one does not exist.
    let proxy = format!("http://ann:s3cret@{}", peer.addr());
    let mut client =
        Connect::to("ws://ws.example:9001/chat").proxy(&proxy).open().expect("through");
    assert_eq!(greeting(&mut client), "hello");
    client.send(Message::text("x")).unwrap();
    drop(client);
    peer.join();
}

#[test]
fn a_proxy_that_refuses_or_speaks_out_of_turn() {
    type Check = fn(&ClientError) -> bool;
    let table: [(&str, Check); 6] = [
        ("HTTP/1.1 407 x\r\n\r\n", |it| matches!(it, ClientError::Proxy(ProxyError::Refused(407)))),
        ("HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", |it| {
            matches!(it, ClientError::Proxy(ProxyError::Refused(302)))
        }),
        ("HTTP/1.1 502 x\r\n\r\n", |it| matches!(it, ClientError::Proxy(ProxyError::Refused(502)))),
        ("HTTP/1.1 200 x\r\n\r\nHTTP/1.1 101 x\r\n", |it| {
            matches!(it, ClientError::Proxy(ProxyError::Surplus))
        }),
        ("nonsense\r\n\r\n", |it| matches!(it, ClientError::Proxy(ProxyError::Head(_)))),
        ("", |it| matches!(it, ClientError::Timeout(Step::Proxy))),
    ];
    for (answer, check) in table {
        let peer = Peer::start(move |mut session| {
            session.read_request();
            session.send(answer);
            session.expect_end();
        });
        let connect = Connect::to("ws://ws.example/").proxy(&format!("http://{}", peer.addr()));
        let connect = connect.redirects(5).timeout(Duration::from_millis(300));
        let error = connect.open().expect_err("no tunnel");
        assert!(check(&error), "{answer:?}: {error}");
        assert_eq!(error.culprit(), Culprit::Proxy);
    }
}

/// `localhost` may have an IPv6 address where nobody listens: the next one is tried.
#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    let peer = Peer::start(|mut session| {
        session.open();
        session.send_frame(Frame::text("found"));
        session.read_to_end();
    });
    let url = format!("ws://localhost:{}/", peer.addr().port());
    let mut client = Client::connect(&url).expect("one of them answers");
    assert_eq!(greeting(&mut client), "found");
    assert_eq!(client.peer_addr().expect("connected"), peer.addr());
    drop(client);
    peer.join();
}

#[test]
fn an_ipv6_literal() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        return; // a machine without IPv6
    };
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut session = Session::accept(&listener);
        assert_eq!(session.open().only("Host"), format!("[::1]:{port}"));
        session.read_to_end();
    });
    drop(Client::connect(&format!("ws://[::1]:{port}/")).expect("it opens"));
    thread.join().unwrap();
}

/// A wait for the turn at an address counts against the same deadline as all the rest.
#[test]
fn who_waits_for_its_turn_has_a_deadline_too() {
    let peer = Peer::start(|mut session| {
        let request = session.read_request();
        std::thread::sleep(Duration::from_millis(400));
        session.send(request.answer() + "\r\n");
        session.read_to_end();
    });
    let url = peer.url("/");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| Client::connect(&url).map(drop));
        std::thread::sleep(Duration::from_millis(100));
        let connect = Connect::to(&url).timeout(Duration::from_millis(100));
        let error = connect.open().expect_err("the first is still connecting");
        assert!(matches!(error, ClientError::Timeout(Step::Turn | Step::Connect)), "{error}");
        first.join().unwrap().expect("it was in time");
    });
}
