//! Pages behind a proxy that ends TLS: their origin is `https`, and the server knows.

use crate::common::http::Upgrade;
use crate::common::{Expect, Frame};
use crate::proxy::{BY_FIELDS, BY_PROTOCOL};
use crate::site::Site;

/// A handshake of a page: of this scheme, from the server's own host.
fn page(scheme: &str, host: &str) -> Upgrade {
    Upgrade::new("/echo").replace("Host", host).header("Origin", format!("{scheme}://{host}"))
}

/// The status of a page's handshake: by TLS or without.
fn status(site: &Site, is_tls: bool, upgrade: &Upgrade) -> u16 {
    if is_tls {
        let mut guest = site.dial_tls(2);
        guest.send(upgrade.bytes());
        guest.read_answer(false).status
    } else {
        site.ask(2, upgrade).0.status
    }
}

#[test]
fn a_page_by_tls_is_https_to_the_server() {
    for kind in BY_FIELDS {
        let site = Site::start(kind, &[]);
        for (is_tls, port) in [(false, site.proxy.http.port()), (true, site.proxy.https.port())] {
            let host = format!("localhost:{port}");
            let (own, other) = if is_tls { ("https", "http") } else { ("http", "https") };
            let case = format!("{kind:?}, by TLS: {is_tls}");
            assert_eq!(status(&site, is_tls, &page(own, &host)), 101, "{case}");
            assert_eq!(status(&site, is_tls, &page(other, &host)), 403, "{case}");
            // The proxy says how the page came, whatever the page says.
            let lie = page(other, &host)
                .header("X-Forwarded-Proto", other)
                .header("Forwarded", format!("proto={other}"));
            assert_eq!(status(&site, is_tls, &lie), 403, "{case}");
        }
        // On the usual ports a Host has no port, and neither has an Origin.
        assert_eq!(status(&site, true, &page("https", "localhost")), 101, "{kind:?}");
        assert_eq!(status(&site, false, &page("https", "localhost")), 403, "{kind:?}");
    }
}

#[test]
fn messages_pass_by_tls_and_are_counted_for_the_client() {
    for kind in BY_FIELDS {
        let flags = ["--max-connections-per-ip", "1", "--max-message", "2097152"];
        let site = Site::start(kind, &flags);
        let mut guest = site.dial_tls(2);
        guest.send(Upgrade::new("/echo").bytes());
        guest.expect_upgrade();
        guest.send(Frame::binary(vec![7; 300_000]).bytes());
        guest.expect(&Expect::binary(vec![7; 300_000]));
        let mut second = site.dial_tls(2);
        second.send(Upgrade::new("/echo").bytes());
        assert_eq!(second.read_answer(false).status, 429, "{kind:?}");
        let mut other = site.dial_tls(3);
        other.send(Upgrade::new("/echo").bytes());
        other.expect_upgrade();
        other.expect_open();
    }
}

/// Without the word that the proxy is one, the server takes the page for a stranger's.
#[test]
fn a_scheme_from_a_proxy_that_is_not_trusted_does_not_count() {
    for kind in BY_FIELDS {
        let site = Site::trusting(kind, "75s", &[]);
        assert_eq!(status(&site, true, &page("https", "localhost")), 403, "{kind:?}");
    }
}

/// The PROXY protocol says nothing of TLS that throng would read: the origins are named.
#[test]
fn behind_the_proxy_protocol_origins_by_tls_are_named() {
    for kind in BY_PROTOCOL {
        let site = Site::start(kind, &["--allow-origin", "https://app.example.com"]);
        for (origin, expected) in [("app.example.com", 101), ("other.example.com", 403)] {
            assert_eq!(status(&site, false, &page("https", origin)), expected, "{kind:?}");
        }
    }
}
