//! Who a request is from: tables of what proxies and liars write.

use super::*;
use crate::http::{HeadLimits, HeaderSlots};

/// The trusted networks of these tests.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "2001:db8:1::/48", "203.0.113.5"];

fn proxies(believed: Believed) -> TrustedProxies {
    TrustedProxies::new(TRUSTED.map(|text| text.parse().unwrap())).believing(believed)
}

fn client(believed: Believed, peer: &str, lines: &[&str]) -> Client {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut slots = HeaderSlots::new();
    let request = Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap();
    proxies(believed).client(Some(peer.parse().unwrap()), &request)
}

fn ip(client: Client) -> String {
    client.ip.map(|ip| ip.to_string()).unwrap_or_default()
}

fn check(believed: Believed, peer: &str, lines: &[&str], expected: &str) {
    let client = client(believed, peer, lines);
    assert_eq!(ip(client), expected, "{believed:?} {peer} {lines:?}");
}

/// Rule 20 of the web rules: X-Forwarded-* of trusted proxies only.
#[test]
fn who_is_not_trusted_speaks_for_himself() {
    for peer in ["192.0.2.1", "11.0.0.1", "2001:db8:2::1", "203.0.113.6", "::1", "127.0.0.1"] {
        for believed in [Believed::Either, Believed::XForwardedFor, Believed::Forwarded] {
            let lines = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"];
            let lines = [&lines[..], &["Forwarded: for=1.2.3.4;proto=https"]].concat();
            let client = client(believed, peer, &lines);
            assert_eq!(client, Client { ip: Some(peer.parse().unwrap()), is_secure: None });
        }
    }
    let nobody = TrustedProxies::default();
    assert!(!nobody.trusts("10.0.0.1".parse().unwrap()));
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    let table: [(&str, &[&str], &str); 27] = [
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
        ("203.0.113.5", &["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", &["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", &["6.6.6.6,192.0.2.7,10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", &["6.6.6.6", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", &["6.6.6.6, 192.0.2.7", "10.0.0.2, 10.0.0.3"], "192.0.2.7"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"), // all are trusted: the first of them
        ("10.0.0.1", &["10.6.6.6, 192.0.2.7"], "192.0.2.7"), // a lie about a trusted hop
        ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", &["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
        ("2001:db8:1::1", &["2001:db8:9::7"], "2001:db8:9::7"),
        ("10.0.0.1", &["2001:db8:9::7, 2001:db8:1::2"], "2001:db8:9::7"),
        ("10.0.0.1", &["192.0.2.7:56324"], "192.0.2.7"),
        ("10.0.0.1", &["[2001:db8:9::7]:56324"], "2001:db8:9::7"),
        ("10.0.0.1", &["[2001:db8:9::7]"], "2001:db8:9::7"),
        ("10.0.0.1", &[" , 192.0.2.7 , "], "192.0.2.7"), // RFC 9110: empty elements are none
        // What is malformed ends the walk at the last good hop.
        ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.7, evil, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["192.0.2.7, 10.0.0.2; 10.0.0.3"], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.07"], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.7:"], "10.0.0.1"),
        ("10.0.0.1", &["192.0.2.7:123456"], "10.0.0.1"),
        ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", &["\"192.0.2.7\""], "10.0.0.1"),
    ];
    for (peer, values, expected) in table {
        let lines: Vec<_> = values.iter().map(|v| format!("X-Forwarded-For: {v}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        check(Believed::XForwardedFor, peer, &lines, expected);
        check(Believed::Either, peer, &lines, expected);
        check(Believed::Forwarded, peer, &lines, &peer.replace("::ffff:", ""));
    }
}

#[test]
fn rfc7239_4_forwarded_is_walked_from_the_right() {
    let table: [(&[&str], &str); 32] = [
        (&["for=192.0.2.7"], "192.0.2.7"),
        (&["For=192.0.2.7"], "192.0.2.7"),
        (&["for=\"192.0.2.7\""], "192.0.2.7"),
        (&["for=\"192.0.2.7:4711\""], "192.0.2.7"),
        (&["for=\"[2001:db8:9::7]:4711\""], "2001:db8:9::7"),
        (&["FOR=\"[2001:db8:9::7]\""], "2001:db8:9::7"),
        (&["for=\"192.0.2.7:_secret\""], "192.0.2.7"),
        (&["for=\"\\1\\9\\2.0.2.7\""], "192.0.2.7"),
        (&["for=192.0.2.7;proto=http;by=203.0.113.43"], "192.0.2.7"),
        (&["proto=http ; for=192.0.2.7; host=\"a;b,c\""], "192.0.2.7"),
        (&["for=6.6.6.6, for=192.0.2.7"], "192.0.2.7"),
        (&["for=6.6.6.6, for=192.0.2.7, for=10.0.0.2"], "192.0.2.7"),
        (&["for=6.6.6.6", "for=192.0.2.7", "for=10.0.0.2"], "192.0.2.7"),
        (&["for=192.0.2.7, for=\"[::ffff:10.0.0.2]\""], "192.0.2.7"),
        (&["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3"),
        // What is hidden or malformed ends the walk at the last good hop.
        (&["for=unknown"], "10.0.0.1"),
        (&["for=_hidden"], "10.0.0.1"),
        (&["for=192.0.2.7, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (&["for=192.0.2.7, by=10.0.0.1"], "10.0.0.1"),
        (&["for=192.0.2.7, for=10.0.0.2;for=10.0.0.3"], "10.0.0.1"),
        (&["for=192.0.2.7:4711"], "10.0.0.1"), // a port needs quotes
        (&["for=2001:db8:9::7"], "10.0.0.1"),
        (&["for=\"2001:db8:9::7\""], "10.0.0.1"), // IPv6 needs brackets
        (&["for=[2001:db8:9::7]"], "10.0.0.1"),
        (&["for=\"192.0.2.7:\""], "10.0.0.1"),
        (&["for"], "10.0.0.1"),
        (&["for="], "10.0.0.1"),
        (&["for = 192.0.2.7"], "10.0.0.1"),
        (&["192.0.2.7"], "10.0.0.1"),
        // A quote that a client has left open swallows nothing that a proxy adds.
        (&["for=6.6.6.6;x=\", for=192.0.2.7"], "10.0.0.1"),
        (&["for=6.6.6.6;x=\", for=\"[2001:db8:9::7]:1\""], "10.0.0.1"),
        (&["for=6.6.6.6;x=\"\\", "for=192.0.2.7, for=10.0.0.2"], "192.0.2.7"),
    ];
    for (values, expected) in table {
        let lines: Vec<_> = values.iter().map(|v| format!("Forwarded: {v}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        check(Believed::Forwarded, "10.0.0.1", &lines, expected);
        check(Believed::Either, "10.0.0.1", &lines, expected);
        check(Believed::XForwardedFor, "10.0.0.1", &lines, "10.0.0.1");
    }
}

/// A proxy that writes one of the fields passes the other on as the client wrote it.
#[test]
fn where_both_fields_are_there_they_must_agree() {
    let x = "X-Forwarded-For: 6.6.6.6, 192.0.2.7";
    check(Believed::Either, "10.0.0.1", &[x, "Forwarded: for=192.0.2.7"], "192.0.2.7");
    let lie = "Forwarded: for=6.6.6.6;proto=https";
    check(Believed::Either, "10.0.0.1", &[x, lie], "10.0.0.1");
    check(Believed::XForwardedFor, "10.0.0.1", &[x, lie], "192.0.2.7");
    check(Believed::Forwarded, "10.0.0.1", &[x, lie], "6.6.6.6"); // so it was asked for
    let half_a_lie = "Forwarded: for=192.0.2.7;proto=https";
    let lines = [x, "X-Forwarded-Proto: http", half_a_lie];
    let client = client(Believed::Either, "10.0.0.1", &lines);
    assert_eq!((ip(client).as_str(), client.is_secure), ("192.0.2.7", None));
}

#[test]
fn a_trusted_proxy_says_whether_tls_was_spoken() {
    let table: [(&[&str], Option<bool>); 12] = [
        (&["X-Forwarded-Proto: https"], Some(true)),
        (&["X-Forwarded-Proto: HTTPS"], Some(true)),
        (&["X-Forwarded-Proto: wss"], Some(true)),
        (&["X-Forwarded-Proto: http"], Some(false)),
        (&["X-Forwarded-Proto: https, http"], Some(false)),
        (&["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], Some(false)),
        (&["X-Forwarded-Proto: gopher"], None),
        (&["X-Forwarded-For: 192.0.2.7"], None),
        (&["X-Forwarded-For: unknown", "X-Forwarded-Proto: https"], Some(true)),
        (&["Forwarded: for=192.0.2.7;proto=https"], Some(true)),
        (&["Forwarded: for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"], Some(true)),
        (&["Forwarded: for=6.6.6.6;proto=https, for=192.0.2.7;proto=http"], Some(false)),
    ];
    for (lines, expected) in table {
        assert_eq!(client(Believed::Either, "10.0.0.1", lines).is_secure, expected, "{lines:?}");
        assert_eq!(client(Believed::Either, "192.0.2.1", lines).is_secure, None, "{lines:?}");
    }
}

/// Who comes by a Unix socket has no address: a proxy there is trusted by that, or not at all.
#[test]
fn by_a_unix_socket_a_trusted_proxy_names_the_client() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2\r\n\r\n";
    let nameless = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n";
    let client = |trusted: &[&str], head: &[u8]| {
        let mut slots = HeaderSlots::new();
        let request = Request::parse(head, &mut slots, &HeadLimits::default()).unwrap();
        let networks = trusted.iter().map(|text| text.parse().unwrap());
        TrustedProxies::new(networks).client(None, &request)
    };
    let named = |ip: &str| Client { ip: Some(ip.parse().unwrap()), is_secure: Some(true) };
    assert_eq!(client(&["unix"], head), named("10.0.0.2"));
    assert_eq!(client(&["unix", "10.0.0.0/8"], head), named("192.0.2.7"));
    assert_eq!(client(&["unix"], nameless), Client { ip: None, is_secure: Some(true) });
    for untrusted in [&["10.0.0.0/8"][..], &["0.0.0.0/0", "::/0"], &[]] {
        assert_eq!(client(untrusted, head), Client { ip: None, is_secure: None });
    }
    let unix = TrustedProxies::new(["unix".parse().unwrap()]);
    assert!(unix.trusts_unix() && !unix.trusts("127.0.0.1".parse().unwrap()));
}

#[test]
fn networks_are_read_and_what_is_none_is_refused() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("10.1.2.3/8", "10.255.0.1", "11.0.0.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.0"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("::1", "::1", "::2"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("::/0", "2001:db8::1", "127.0.0.1"),
    ];
    for (network, inside, outside) in table {
        let proxies = TrustedProxies::new([network.parse().unwrap()]);
        let trusts = |text: &str| proxies.trusts(text.parse().unwrap());
        assert!(trusts(inside) && !trusts(outside), "{network}");
        if let Ok(IpAddr::V4(ip)) = inside.parse() {
            assert!(proxies.trusts(ip.to_ipv6_mapped().into()), "{network}");
        }
    }
    for bad in
        ["", "Unix", "10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/-1", "10.0.0.0/8 ", "*"]
    {
        let error = bad.parse::<TrustedNetwork>().unwrap_err();
        assert!(error.to_string().starts_with(&format!("{bad:?}")), "{error}");
    }
}
