//! Which certificate is shown, which is asked for, and files that change under way.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::ClientConfig;
use throng::tls::{Acceptor, Files, TlsError, subject_name};

use crate::authority::{Authority, Pair, text, words};
use crate::common::{Server, eventually};
use crate::handshakes::metric;
use crate::peer::{BOTH, begin, config, connect, echo, load, open};

/// The common name of the certificate that a server shows to who asks for `name`.
fn shown(config: &Arc<ClientConfig>, server: &Server, name: &str) -> String {
    let stream = connect(config, server.address(), name);
    let chain = stream.conn.peer_certificates().expect("a certificate");
    subject_name(&chain[0]).expect("a common name").to_owned()
}

#[test]
fn the_certificate_is_the_one_of_the_name_asked_for() {
    let authority = Authority::new();
    let mut flags = authority.pair("first", &["first.test", "127.0.0.1"]).flags();
    flags.extend(authority.pair("second", &["second.test", "other.test"]).flags());
    flags.extend(authority.pair("wild", &["*.wild.test"]).flags());
    let server = Server::echo(&words(&flags));
    for version in BOTH {
        let config = Arc::new(config(&authority, &[version], None));
        for (name, expected) in [
            ("first.test", "first.test"),
            ("second.test", "second.test"),
            ("SECOND.test", "second.test"),
            ("other.test", "second.test"),
            ("a.wild.test", "*.wild.test"),
            ("127.0.0.1", "first.test"), // an address is no name to ask for: the first
        ] {
            assert_eq!(shown(&config, &server, name), expected, "{name}");
        }
        // Who asks for a name that nobody has gets the first, and refuses it.
        let mut stream = begin(&config, server.address(), "b.a.wild.test");
        let error = stream.write_all(b"x").expect_err("the wrong name").to_string();
        assert!(error.contains("not valid for name"), "{error}");
    }
}

/// The name that the hub has for a client.
fn hub_name(authority: &Authority, own: Option<&Pair>, server: &Server) -> String {
    let config = Arc::new(config(authority, &BOTH, own));
    let mut socket = open(connect(&config, server.address(), "localhost"), "/ws?name=eve");
    let welcome = socket.read().expect("a welcome").into_text().expect("text");
    let welcome: serde_json::Value = serde_json::from_str(&welcome).expect("JSON");
    welcome["sender"].as_str().or(welcome["name"].as_str()).expect("a name").to_owned()
}

#[test]
fn a_client_certificate_names_its_owner_in_the_hub() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--tls-client-ca".into(), text(&clients.ca())]);
    let server = Server::serve(&words(&flags));
    let ann = clients.pair("ann", &["ann"]);
    assert_eq!(hub_name(&authority, Some(&ann), &server), "ann");
    assert_eq!(hub_name(&authority, None, &server), "eve", "none is needed");
    // One of another authority is none: TLS 1.3 tells that with the first read.
    for (own, fault) in [
        (authority.pair("mallory", &["ann"]), "UnknownCA"),
        (clients.expired("old", &["ann"]), "CertificateExpired"),
    ] {
        for version in BOTH {
            let config = Arc::new(config(&authority, &[version], Some(&own)));
            let mut stream = begin(&config, server.address(), "localhost");
            let ended = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
            let ended = ended.and_then(|()| stream.read(&mut [0; 1]));
            let error = ended.expect_err("it is refused").to_string();
            assert!(error.contains(fault) || error.contains("DecryptError"), "{error}");
        }
    }
}

#[test]
fn a_client_certificate_can_be_asked_of_everybody() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--tls-client-ca".into(), text(&authority.ca())]);
    flags.push("--tls-require-client-cert".into());
    let server = Server::serve(&words(&flags));
    let bob = authority.pair("bob", &["bob"]);
    assert_eq!(hub_name(&authority, Some(&bob), &server), "bob");
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut stream = begin(&config, server.address(), "localhost");
    let ended = stream.write_all(b"x").and_then(|()| stream.read(&mut [0; 1]));
    let error = ended.expect_err("it is refused").to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[test]
fn files_that_change_are_taken_and_broken_ones_are_not() {
    let authority = Authority::new();
    let one = authority.pair("one", &["localhost", "one.test"]);
    let other = authority.pair("other", &["other.test", "localhost"]);
    let acceptor = Acceptor::new(Files::new(&one.certificate, &one.key)).expect("good files");
    assert!(!acceptor.reread().expect("good files"), "nothing has changed");
    let good = [&one.certificate, &one.key].map(|path| fs::read(path).expect("a file"));

    fs::copy(&other.certificate, &one.certificate).expect("copied");
    assert!(matches!(acceptor.reread(), Err(TlsError::Mismatch { .. })), "half replaced");
    assert!(acceptor.counts().is_stale);
    fs::copy(&other.key, &one.key).expect("copied");
    assert!(acceptor.reread().expect("whole again"));
    assert!(!acceptor.counts().is_stale);

    fs::write(&one.certificate, "no PEM").expect("written");
    let fault = acceptor.reread().expect_err("broken").to_string();
    assert!(fault.contains("one.pem holds no PEM certificates"), "{fault}");
    fs::write(&one.certificate, &good[0][..good[0].len() / 2]).expect("written");
    assert!(matches!(acceptor.reread(), Err(TlsError::Certificates { .. })));
    fs::remove_file(&one.key).expect("removed");
    fs::write(&one.certificate, &good[0]).expect("written");
    assert!(matches!(acceptor.reread(), Err(TlsError::Read { .. })), "it has vanished");
    fs::write(&one.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        .expect("written");
    assert!(matches!(acceptor.reread(), Err(TlsError::Key { .. })));
    fs::write(&one.key, &good[1]).expect("written");
    assert!(acceptor.reread().expect("repaired"));
    assert_eq!(acceptor.counts().rereads, 2);
}

#[test]
fn a_server_changes_its_certificate_and_drops_nobody() {
    let authority = Authority::new();
    let pair = authority.pair("server", &["localhost", "before.test"]);
    let next = authority.pair("next", &["after.test", "localhost"]);
    let server = Server::serve(&words(&pair.flags()));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut before = open(connect(&config, server.address(), "localhost"), "/echo");
    echo(&mut before, "before");

    fs::write(&pair.certificate, "broken").expect("written");
    eventually("it is said", 10.0, || server.errors().contains("the old stay"));
    let broken = "throng_tls_files_broken";
    assert_eq!(metric(&authority, &server, broken), 1.0);
    assert_eq!(shown(&config, &server, "localhost"), "localhost");

    fs::copy(&next.key, &pair.key).expect("copied");
    fs::copy(&next.certificate, &pair.certificate).expect("copied");
    eventually("the new one is shown", 10.0, || {
        shown(&config, &server, "localhost") == "after.test"
    });
    assert_eq!(metric(&authority, &server, broken), 0.0);
    assert_eq!(metric(&authority, &server, "throng_tls_rereads_total"), 1.0);
    echo(&mut before, "after");
    let said = server.errors().matches("the old stay").count();
    assert_eq!(said, 1, "a fault that lasts is said once");
}

#[test]
fn what_is_wrong_at_the_start_is_said_in_a_line() {
    let authority = Authority::new();
    let (one, other) = (authority.pair("one", &["a.test"]), authority.pair("two", &["b.test"]));
    let missing = text(&authority.path("missing.pem"));
    let [certificate, key, other_key] =
        [&one.certificate, &one.key, &other.key].map(|path| text(path));
    for (flags, words) in [
        (vec!["--tls-cert", &missing, "--tls-key", &key], "cannot read "),
        (vec!["--tls-cert", &certificate, "--tls-key", &missing], "cannot read "),
        (vec!["--tls-cert", &key, "--tls-key", &key], "holds no PEM certificates"),
        (vec!["--tls-cert", &certificate, "--tls-key", &certificate], "holds no private key"),
        (vec!["--tls-cert", &certificate, "--tls-key", &other_key], "is not the key of"),
        (vec!["--tls-cert", &certificate], "--tls-key"),
        (vec!["--tls-or-plain"], "--tls-cert"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_throng"));
        let output = command.args(["serve", "--listen", "127.0.0.1:0"]).args(&flags).output();
        let output = output.expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(words), "{flags:?}: {errors}");
        assert!(output.stdout.is_empty(), "{flags:?}: it does not say that it listens");
    }
}

#[test]
fn names_in_certificates() {
    let authority = Authority::new();
    let (chain, _) = load(&authority.pair("ann", &["ann.test", "other.test"]));
    let der = &*chain[0];
    assert_eq!(subject_name(der), Some("ann.test"));
    for len in 0..der.len().min(400) {
        let _ = subject_name(&der[..len]); // never a panic, wherever it is cut
    }
    let mut bytes = der.to_vec();
    for at in 0..bytes.len().min(400) {
        for byte in [0x00, 0x7f, 0x80, 0x83, 0x84, 0xff] {
            let kept = std::mem::replace(&mut bytes[at], byte);
            let _ = subject_name(&bytes);
            bytes[at] = kept;
        }
    }
}
