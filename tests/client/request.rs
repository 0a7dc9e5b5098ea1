//! Rows 23 to 34: what the client asks for, and what it does not even try.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Culprit, UrlError};
use throng::handshake::RequestError;
use throng::proto::Message;

use crate::common::{Frame, each_cut};
use crate::peer::{Peer, Request, Session};

/// What the client asks for when it is set up like this.
fn request_of(connect: impl FnOnce(Connect) -> Connect, target: &str) -> Request {
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let peer = Peer::start(move |mut session| {
        *kept.lock().unwrap() = Some(session.open());
        session.read_to_end();
    });
    drop(connect(Connect::to(&peer.url(target))).open().expect("it opens"));
    peer.join();
    let request = seen.lock().unwrap().take();
    request.expect("a request came")
}

/// The error of a URL, and the proof that nobody was even connected to.
fn refused_before_connecting(
    url: impl Fn(u16) -> String,
    connect: impl FnOnce(Connect) -> Connect,
) -> ClientError {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("an option");
    let port = listener.local_addr().expect("an address").port();
    let error = connect(Connect::to(&url(port))).open().expect_err("it cannot be opened");
    let waiting = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(waiting, Err(std::io::ErrorKind::WouldBlock), "{error}: somebody connected");
    error
}

#[test]
fn row_023_only_ws_and_wss_without_a_fragment() {
    for scheme in ["http", "https", "tcp", "w s", ""] {
        let url = |port| format!("{scheme}://127.0.0.1:{port}/");
        let error = refused_before_connecting(url, |it| it);
        assert!(matches!(error, ClientError::Url(UrlError::Scheme)), "{error}");
    }
    for fragment in ["#", "#top", "?a=b#c"] {
        let url = |port| format!("ws://127.0.0.1:{port}/{fragment}");
        let error = refused_before_connecting(url, |it| it);
        assert!(matches!(error, ClientError::Url(UrlError::Fragment)), "{error}");
        assert_eq!(error.culprit(), Culprit::Caller);
    }
    assert_eq!(request_of(|it| it, "").line, "GET / HTTP/1.1");
}

#[test]
fn row_024_invalid_parts_fail_before_any_connect() {
    let bad = ["ws://u@127.0.0.1:PORT/", "ws://127.0.0.1:PORT/a b", "ws://127.0.0.1:PORT/%zz"];
    let bad = bad.into_iter().chain(["ws://127.0.0.1:PORT\\", "ws://127.0.0.1:PORT/\r\nX: 1"]);
    for url in bad.chain(["ws://127.0.0.1:PORT0000/", "ws://127.0.0.1:-PORT/", "ws://:PORT/"]) {
        let of = |port: u16| url.replace("PORT", &port.to_string());
        let error = refused_before_connecting(of, |it| it);
        assert!(matches!(error, ClientError::Url(_)), "{url}: {error}");
    }
    let url = |port| format!("ws://127.0.0.1:{port}/");
    for name in ["Host", "connection", "Sec-WebSocket-Key", "Content-Length"] {
        let error = refused_before_connecting(url, |it| it.header(name, "x"));
        let ClientError::Request(RequestError::HeaderForbidden(said)) = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(said, name);
    }
    let error = refused_before_connecting(url, |it| it.header("X", "a\r\nY: b"));
    assert!(matches!(error, ClientError::Request(RequestError::Header(_))), "{error}");
    let error = refused_before_connecting(url, |it| it.proxy("socks5://127.0.0.1"));
    assert!(matches!(error, ClientError::Proxy(_)), "{error}");
}

/// Eight threads open connections to one address; the server sees one handshake at a time.
#[test]
fn row_025_one_connection_at_a_time_is_being_opened() {
    each_cut(|| {
        const CLIENTS: usize = 8;
        let early = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&early);
        let peer = Peer::listen(move |listener| {
            let mut open = Vec::new();
            for _ in 0..CLIENTS {
                let mut session = Session::accept(listener);
                let request = session.read_request();
                // While this one is connecting nobody else may even reach the listener.
                std::thread::sleep(Duration::from_millis(20));
                listener.set_nonblocking(true).unwrap();
                seen.fetch_add(usize::from(listener.accept().is_ok()), Ordering::SeqCst);
                listener.set_nonblocking(false).unwrap();
                session.send(request.answer() + "\r\n");
                open.push(session);
            }
            for mut session in open {
                session.read_to_end();
            }
        });
        let url = peer.url("/");
        // Known by another name, it is the same address (RFC 6455, 4.1).
        let by_name = url.replace("127.0.0.1", "localhost");
        let clients: Vec<Client> = std::thread::scope(|scope| {
            let connect = |at: usize| {
                let url = if at.is_multiple_of(2) { &url } else { &by_name };
                move || Client::connect(url).expect("its turn comes")
            };
            let threads: Vec<_> = (0..CLIENTS).map(|at| scope.spawn(connect(at))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(clients.len(), CLIENTS);
        drop(clients);
        peer.join();
        assert_eq!(early.load(Ordering::SeqCst), 0, "two were connecting at once");
    });
}

#[test]
fn row_028_a_valid_get_with_the_matching_target() {
    each_cut(|| {
        for target in ["/", "/chat", "/a/../b?c=d&e=%20", "//x", "/?"] {
            assert_eq!(request_of(|it| it, target).line, format!("GET {target} HTTP/1.1"));
        }
        assert_eq!(request_of(|it| it, "?room=a").line, "GET /?room=a HTTP/1.1");
        let request = request_of(|it| it.header("Origin", "http://a").header("X-Y", "z"), "/");
        assert_eq!((request.only("Origin"), request.only("X-Y")), ("http://a", "z"));
        assert!(request.all("Content-Length").is_empty(), "no body: {request:?}");
    });
}

#[test]
fn row_029_host_carries_the_port() {
    each_cut(|| {
        let seen = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&seen);
        let peer = Peer::start(move |mut session| {
            *kept.lock().unwrap() = session.open().only("Host").to_owned();
            session.read_to_end();
        });
        let port = peer.addr().port();
        drop(Client::connect(&format!("ws://LocalHost:{port}/")).expect("it opens"));
        peer.join();
        assert_eq!(*seen.lock().unwrap(), format!("localhost:{port}"));
        // Without one where it is the default: only a proxy can be asked for port 80 here.
        let peer = Peer::start(|mut session| {
            assert_eq!(session.read_request().line, "CONNECT example.com:80 HTTP/1.1");
            session.send("HTTP/1.1 200 OK\r\n\r\n");
            let request = session.open();
            assert_eq!(request.only("Host"), "example.com");
            session.read_to_end();
        });
        let proxy = format!("http://{}", peer.addr());
        drop(Connect::to("ws://example.com:80/").proxy(&proxy).open().expect("it opens"));
    });
}

#[test]
fn row_030_upgrade_and_connection() {
    each_cut(|| {
        let request = request_of(|it| it, "/");
        assert!(request.only("Upgrade").eq_ignore_ascii_case("websocket"));
        assert!(request.only("Connection").eq_ignore_ascii_case("upgrade"));
    });
}

#[test]
fn row_031_a_fresh_key_for_each_connection() {
    each_cut(|| {
        let keys: HashSet<String> = (0..20)
            .map(|_| {
                let request = request_of(|it| it, "/");
                let key = request.only("Sec-WebSocket-Key").to_owned();
                // 16 bytes in base64: 22 characters and two of padding.
                assert!(key.len() == 24 && key.ends_with("=="), "{key}");
                key
            })
            .collect();
        assert_eq!(keys.len(), 20, "{keys:?}");
        // Also where one handshake leads to the next.
        let peer = Peer::listen(|listener| {
            let mut keys = HashSet::new();
            for _ in 0..3 {
                let mut session = Session::accept(listener);
                keys.insert(session.read_request().only("Sec-WebSocket-Key").to_owned());
                session.send("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
            }
            assert_eq!(keys.len(), 3, "{keys:?}");
        });
        let error = Connect::to(&peer.url("/")).redirects(2).open().expect_err("no end");
        assert!(matches!(error, ClientError::TooManyRedirects), "{error}");
    });
}

#[test]
fn row_032_version_13_once() {
    each_cut(|| {
        assert_eq!(request_of(|it| it, "/").only("Sec-WebSocket-Version"), "13");
    });
}

#[test]
fn row_033_subprotocols_are_unique_tokens() {
    each_cut(|| {
        assert!(request_of(|it| it, "/").all("Sec-WebSocket-Protocol").is_empty());
        let request = request_of(|it| it.subprotocol("chat").subprotocol("v2.chat"), "/");
        assert_eq!(request.only("Sec-WebSocket-Protocol"), "chat, v2.chat");
        let url = |port| format!("ws://127.0.0.1:{port}/");
        for name in ["", "a b", "a,b", "a\r\nX: 1", "a/b", "\u{e9}"] {
            let error = refused_before_connecting(url, |it| it.subprotocol(name));
            assert!(matches!(error, ClientError::Request(RequestError::Subprotocol(_))), "{error}");
        }
        let error = refused_before_connecting(url, |it| it.subprotocol("a").subprotocol("a"));
        let repeated = matches!(error, ClientError::Request(RequestError::SubprotocolRepeated(_)));
        assert!(repeated, "{error}");
    });
}

#[test]
fn row_034_nothing_is_sent_before_the_answer_is_verified() {
    each_cut(|| {
        let peer = Peer::start(|mut session| {
            let request = session.read_request();
            session.expect_silence(Duration::from_millis(50));
            let answer = request.answer() + "\r\n";
            let (begin, end) = answer.split_at(answer.len() - 1);
            session.send(begin);
            session.expect_silence(Duration::from_millis(50));
            session.send(end);
            assert_eq!(session.read_frame().0.payload, b"now");
            session.send_frame(Frame::text("glad"));
            session.read_to_end();
        });
        let mut client = Client::connect(&peer.url("/")).expect("it opens");
        client.send(Message::text("now")).expect("it is open");
        assert!(client.read().is_ok());
        drop(client);
        peer.join();
        // And nothing at all behind a wrong answer.
        let peer = Peer::start(|mut session| {
            let answer = session.read_request().answer().replace("Accept: ", "Accept: x");
            session.send(answer + "\r\n");
            session.expect_end();
        });
        assert!(Client::connect(&peer.url("/")).is_err());
    });
}
