//! A service that speaks TLS: it is told, where somebody vouches for it under its name.

use crate::authority::{Authority, text};
use crate::common::process::free_address;
use crate::common::{Folder, Server, eventually};
use crate::receiver::{Receiver, metric, person, serve_trusting, store_of};
use crate::redis::Redis;
use crate::stream::entries;

/// Says three things in a durable room.
fn say_three(server: &Server) {
    let mut ann = person(server, "ann");
    ann.join("d.1", None);
    for n in 1..=3 {
        assert_eq!(ann.publish("d.1", &n.to_string()), n);
    }
}

/// A server that does not trust the other side tells it nothing, and keeps what there is to tell.
fn tells_nothing(ca: Option<&str>, url: &str) {
    let folder = Folder::new("sink");
    let server = serve_trusting(ca, &store_of(&folder), url);
    say_three(&server);
    eventually("it fails", 20.0, || metric(&server, "throng_sink_failures_total") > 1);
    assert_eq!(metric(&server, r#"throng_sink_events_total{result="delivered"}"#), 0);
    assert!(metric(&server, "throng_sink_waiting_events") >= 4);
}

#[test]
fn a_webhook_over_https_is_told_where_it_is_trusted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ca, other_ca) = (text(&authority.ca()), text(&stranger.ca()));
    let receiver = Receiver::secured(&authority.pair("hook", &["localhost"]));
    let folder = Folder::new("sink");
    let server = serve_trusting(Some(&ca), &store_of(&folder), &receiver.url());
    say_three(&server);
    let events = receiver.wait_for(4, 20.0);
    let said: Vec<_> = events.iter().filter_map(|event| event["content"].as_u64()).collect();
    assert_eq!(said, [1, 2, 3]);
    let renamed = Receiver::secured(&authority.pair("renamed", &["elsewhere.example"]));
    for (ca, receiver) in [(None, &receiver), (Some(&*other_ca), &receiver), (Some(&*ca), &renamed)]
    {
        let before = receiver.posts().len();
        tells_nothing(ca, &receiver.url());
        assert_eq!(receiver.posts().len(), before);
    }
}

#[test]
fn a_stream_over_rediss_is_told_where_it_is_trusted() {
    let authority = Authority::new();
    let ca = text(&authority.ca());
    for (name, trusts) in [("localhost", true), ("localhost", false), ("elsewhere.example", true)] {
        let pair = authority.pair(&format!("redis-{name}"), &[name]);
        let (certificate, key) = (text(&pair.certificate), text(&pair.key));
        let port = free_address().port().to_string();
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let rest = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no", "--tls-port", &port];
        let redis = Redis::start_with(&[&files[..], &rest].concat());
        let url = format!("rediss://localhost:{port}/events");
        let its_ca = trusts.then_some(&*ca);
        if trusts && name == "localhost" {
            let folder = Folder::new("sink");
            let server = serve_trusting(its_ca, &store_of(&folder), &url);
            say_three(&server);
            eventually("they are there", 20.0, || entries(&redis, 0).len() >= 4);
        } else {
            tells_nothing(its_ca, &url);
            assert_eq!(entries(&redis, 0).len(), 0);
        }
    }
}
