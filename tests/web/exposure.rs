//! Web rule 19: what nobody else may know is not taken where it came in the clear over a network.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use crate::common::{Answer, Frame, RawClient, Server, Upgrade};
use crate::tokens::{SECRET, Scratch, token_by, ways};

const API_KEY: &str = "key-of-these-tests-0123456789";

/// Sends a request that came from `ip`, as the PROXY header says.
fn ask_from(server: &Server, ip: &str, bytes: &[u8]) -> (Answer, RawClient) {
    let family = if ip.contains(':') { ("TCP6", "::1") } else { ("TCP4", "127.0.0.1") };
    let mut client = RawClient::connect(server);
    client.send(format!("PROXY {} {ip} {} 4000 80\r\n", family.0, family.1));
    client.send(bytes);
    (client.read_answer(false), client)
}

fn is_insecure(answer: &Answer) -> bool {
    answer.status == 403 && String::from_utf8_lossy(&answer.body).contains(r#""insecure""#)
}

fn with_key(method: &str, target: &str) -> Vec<u8> {
    let key = format!("Authorization: Bearer {API_KEY}");
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n").into_bytes()
}

#[test]
fn rule_19_no_secret_is_taken_that_came_in_the_clear_from_elsewhere() {
    let file = Scratch::new(SECRET);
    let flags = ["--jwt-secret-file", file.path(), "--api-key", API_KEY, "--proxy-protocol"];
    let server = Server::serve(&flags);
    let allowing = Server::serve(&[&flags[..], &["--allow-insecure-credentials"]].concat());
    let mut secrets: Vec<_> = ["/", "/ws", "/echo"]
        .iter()
        .flat_map(|path| ways(path, &token_by(SECRET, 60)))
        .map(|upgrade| (upgrade.bytes(), 101))
        .collect();
    // What is wrong with it is not even looked at.
    secrets.extend(ways("/ws", "no-token").iter().map(|upgrade| (upgrade.bytes(), 401)));
    secrets.push((Upgrade::new("/ws?ticket=a.b").bytes(), 401));
    secrets.push((with_key("GET", "/api/rooms"), 200));
    secrets.push((with_key("GET", "/admin/access"), 204));
    let viewer = Upgrade::new("/admin").header("Authorization", format!("Bearer {API_KEY}"));
    secrets.push((viewer.bytes(), 101));
    for (bytes, status) in &secrets {
        let words = String::from_utf8_lossy(bytes);
        for ip in ["192.0.2.7", "10.0.0.1", "2001:db8::7"] {
            let (answer, _) = ask_from(&server, ip, bytes);
            assert!(is_insecure(&answer), "{ip}: {answer:?} {words}");
            assert_eq!(ask_from(&allowing, ip, bytes).0.status, *status, "{words}");
        }
        for ip in ["127.0.0.1", "127.3.2.1", "::1"] {
            assert_eq!(ask_from(&server, ip, bytes).0.status, *status, "{ip}: {words}");
        }
    }
    // Who shows nothing is a guest, from wherever.
    for path in ["/", "/ws?room=r&name=x", "/echo"] {
        let (answer, _) = ask_from(&server, "192.0.2.7", &Upgrade::new(path).bytes());
        assert_eq!(answer.status, 101, "{path}");
    }
}

/// A token that is still to come would come the same way: nobody is let in to send it.
#[test]
fn rule_19_no_first_message_is_waited_for_in_the_clear() {
    let file = Scratch::new(SECRET);
    let flags = ["--jwt-secret-file", file.path(), "--require-token", "--first-message-token"];
    let server = Server::serve(&[&flags[..], &["--proxy-protocol"]].concat());
    let upgrade = Upgrade::new("/ws?room=r").bytes();
    assert!(is_insecure(&ask_from(&server, "192.0.2.7", &upgrade).0));
    let (answer, mut client) = ask_from(&server, "127.0.0.1", &upgrade);
    assert_eq!(answer.status, 101);
    let auth = format!(r#"{{"type":"auth","token":"{}"}}"#, token_by(SECRET, 60));
    client.send(Frame::text(auth).bytes());
    assert!(client.read_text().contains("welcome"));
}

/// A proxy that ends TLS says so; its word counts where it is trusted, and nobody else's does.
#[test]
fn rule_19_a_trusted_proxy_says_how_its_client_came() {
    let file = Scratch::new(SECRET);
    let flags =
        ["--jwt-secret-file", file.path(), "--proxy-protocol", "--trust-proxy", "10.0.0.0/8"];
    let server = Server::serve(&flags);
    let knock = |from: &str, lines: &[(&str, &str)]| {
        let token = token_by(SECRET, 60);
        let upgrade = Upgrade::new("/ws").header("Authorization", format!("Bearer {token}"));
        let add = |upgrade: Upgrade, (name, value): &(&str, &str)| upgrade.header(name, value);
        let upgrade = lines.iter().fold(upgrade, add);
        ask_from(&server, from, &upgrade.bytes()).0
    };
    const FOR: (&str, &str) = ("X-Forwarded-For", "192.0.2.7");
    const HTTPS: (&str, &str) = ("X-Forwarded-Proto", "https");
    for (from, lines, is_taken) in [
        ("10.0.0.1", &[FOR, HTTPS][..], true),
        ("10.0.0.1", &[("Forwarded", "for=192.0.2.7;proto=https")], true),
        ("10.0.0.1", &[HTTPS], true),
        ("10.0.0.1", &[FOR, ("X-Forwarded-Proto", "http")], false),
        ("10.0.0.1", &[("Forwarded", "for=192.0.2.7;proto=http")], false),
        ("10.0.0.1", &[FOR], false),
        ("10.0.0.1", &[], false),
        ("192.0.2.7", &[FOR, HTTPS], false),
        ("192.0.2.7", &[("Forwarded", "for=127.0.0.1;proto=https")], false),
    ] {
        let answer = knock(from, lines);
        assert_eq!(answer.status, if is_taken { 101 } else { 403 }, "{from} {lines:?}");
        assert_eq!(is_insecure(&answer), !is_taken, "{from} {lines:?}");
    }
}

/// An address of this machine that is not its loopback, if it has one: no packet is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_loopback())
}

/// Without any proxy: by the address of the connection itself.
#[test]
fn rule_19_a_connection_by_an_outer_address_is_from_elsewhere() {
    let Some(ip) = outer_address() else {
        println!("this machine has no address but its loopback: nothing was tested");
        return;
    };
    let file = Scratch::new(SECRET);
    let free = TcpListener::bind((ip, 0)).expect("a free port");
    let there = free.local_addr().expect("an address");
    drop(free);
    let _server =
        Server::serve(&["--jwt-secret-file", file.path(), "--listen", &there.to_string()]);
    let token = token_by(SECRET, 60);
    for (bytes, expected) in [
        (Upgrade::new(&format!("/ws?token={token}")).bytes(), 403),
        (Upgrade::new("/ws").bytes(), 101),
    ] {
        let mut client = RawClient::on(TcpStream::connect(there).expect("it listens there"));
        client.send(bytes);
        let answer = client.read_answer(false);
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(is_insecure(&answer), expected == 403);
    }
}
