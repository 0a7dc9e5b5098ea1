//! What passes a proxy: upgrades, messages of every size, chat, the end. And what does not.

use std::thread;
use std::time::Duration;

use crate::common::http::{Upgrade, get};
use crate::common::{Expect, Frame};
use crate::proxy::{ALL, BY_FIELDS, Kind};
use crate::site::Site;

#[test]
fn messages_pass_each_proxy_as_they_are() {
    for kind in ALL {
        let site = Site::start(kind, &["--max-message", "2097152"]);
        let mut client = site.open(2, "/echo");
        let large: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        client.send(Frame::text("hello").bytes());
        client.expect(&Expect::text("hello"));
        client.send(Frame::binary(&large).bytes());
        assert_eq!(client.read_message().payload, large);
        client.expect_open();
        client.send(Frame::close(1000, "").bytes());
        client.expect_close(1000);
        // What is glued to the request passes too.
        let mut hasty = site.dial(2);
        hasty.send([Upgrade::new("/echo").bytes(), Frame::text("at once").bytes()].concat());
        hasty.expect_upgrade();
        hasty.expect(&Expect::text("at once"));
    }
}

#[test]
fn people_chat_through_each_proxy() {
    for kind in ALL {
        let site = Site::start(kind, &[]);
        let mut people = ["ann", "bob"].map(|name| {
            let mut client = site.open(2, &format!("/ws?room=r&name={name}"));
            assert!(client.read_text().contains("welcome"));
            client
        });
        for word in ["hi bob", "hi ann"] {
            let [from, to] = &mut people;
            let text = format!(r#"{{"type":"text","content":"{word}","echo":false}}"#);
            from.send(Frame::text(text).bytes());
            while !to.read_text().contains(word) {}
            people.reverse();
        }
    }
}

#[test]
fn compression_is_agreed_through_each_proxy() {
    for kind in ALL {
        let site = Site::start(kind, &[]);
        let offer = Upgrade::new("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate");
        let (answer, _client) = site.ask(2, &offer);
        let agreed = answer.only("sec-websocket-extensions").unwrap_or_default();
        assert!(agreed.starts_with("permessage-deflate"), "{kind:?}: {answer:?}");
    }
}

#[test]
fn who_stops_says_so_through_each_proxy() {
    for kind in ALL {
        let mut site = Site::start(kind, &[]);
        let mut client = site.open(2, "/echo");
        site.server.signal("TERM");
        let close = client.read_frame();
        assert_eq!(close.close_code(), Some(1001), "{kind:?}: {close}");
        client.send(Frame::close(1001, "").bytes());
        assert!(site.server.wait_exit(10.0).success());
    }
}

#[test]
fn the_page_passes_and_the_metrics_do_not() {
    for kind in BY_FIELDS {
        let site = Site::start(kind, &[]);
        let mut client = site.dial(2);
        client.send(get("/"));
        let answer = client.read_answer(false);
        assert_eq!(answer.status, 200, "{kind:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("<html"), "{kind:?}");
        let absolute = format!("http://{}/metrics", site.proxy.http);
        for target in
            ["/metrics", "/metrics?", "/%6detrics", "//metrics", "/a/../metrics", &absolute]
        {
            let mut client = site.dial(2);
            client.send(get(target));
            let answer = client.read_answer(false);
            assert!([400, 404].contains(&answer.status), "{kind:?} {target}: {answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("throng_"), "{target}");
        }
        assert!(site.metrics().contains("throng_opened_total"));
    }
}

/// HAProxy asks every two seconds whether the server is ready, and gives up on it when it has
/// failed three times.
#[test]
fn haproxys_health_checks_are_answered() {
    thread::scope(|scope| {
        for kind in [Kind::Haproxy, Kind::HaproxyV1, Kind::HaproxyV2] {
            scope.spawn(move || {
                let site = Site::start(kind, &[]);
                thread::sleep(Duration::from_secs(9));
                site.open(2, "/echo").expect_open();
            });
        }
    });
}
