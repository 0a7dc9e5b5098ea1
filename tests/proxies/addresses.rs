//! Limits of an address hold for the client's own, not for the proxy's, and not for one that the
//! client has made up.

use serde_json::Value;

use crate::common::http::{Answer, Upgrade};
use crate::common::{Frame, RawClient, Server, eventually};
use crate::proxy::{ALL, BY_FIELDS, BY_PROTOCOL};
use crate::site::{Site, dial};

/// The limit that a refusal names.
fn limit(answer: &Answer) -> String {
    assert_eq!(answer.status, 429, "{answer:?}");
    let seconds = answer.only("retry-after").map(str::parse::<u32>);
    assert!(matches!(seconds, Some(Ok(1..))), "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["limit"].as_str().expect("the name of a limit").to_owned()
}

/// A handshake that says in every way there is that it comes from 198.51.100.`n`.
fn spoofed(n: usize) -> Upgrade {
    let made_up = format!("198.51.100.{n}");
    Upgrade::new("/ws")
        .header("X-Forwarded-For", &made_up)
        .header("Forwarded", format!("for={made_up};proto=https"))
        .header("X-Real-IP", &made_up)
        .header("X-Client-IP", &made_up)
        .header("Client-IP", &made_up)
        .header("True-Client-IP", &made_up)
}

#[test]
fn connections_are_counted_for_the_clients_own_address() {
    for kind in ALL {
        let site = Site::start(kind, &["--max-connections-per-ip", "2"]);
        let _first = site.open(2, "/ws");
        let second = site.open(2, "/ws");
        let (refused, _) = site.ask(2, &Upgrade::new("/ws"));
        assert_eq!(limit(&refused), "connections_per_address", "{kind:?}");
        let _others = [3, 4].map(|host| [site.open(host, "/ws"), site.open(host, "/ws")]);
        let (refused, _) = site.ask(4, &Upgrade::new("/ws"));
        assert_eq!(limit(&refused), "connections_per_address", "{kind:?}");
        drop(second);
        let mut back = None;
        eventually("who has gone gives its place back", 5.0, || {
            let (answer, client) = site.ask(2, &Upgrade::new("/ws"));
            back = Some(client);
            answer.status == 101
        });
        eventually("the refusals are counted", 5.0, || {
            let metrics = site.metrics();
            let mut lines = metrics.lines();
            lines.any(|line| {
                let name = "throng_handshakes_refused_total{reason=\"429\"} ";
                line.strip_prefix(name).is_some_and(|count| count.parse::<u32>().unwrap_or(0) >= 2)
            })
        });
    }
}

#[test]
fn what_a_client_says_of_its_address_does_not_count() {
    for kind in ALL {
        let site = Site::start(kind, &["--max-connections-per-ip", "2"]);
        let mut inside = Vec::new();
        for n in 0..2 {
            let (answer, client) = site.ask(2, &spoofed(n));
            assert_eq!(answer.status, 101, "{kind:?}: {answer:?}");
            inside.push(client);
        }
        for n in 2..5 {
            let (refused, _) = site.ask(2, &spoofed(n));
            assert_eq!(limit(&refused), "connections_per_address", "{kind:?}");
        }
        // It takes no place of those whom it names either.
        let (answer, _client) = site.ask(3, &spoofed(2));
        assert_eq!(answer.status, 101, "{kind:?}: {answer:?}");
    }
}

/// A PROXY header of the client's own comes behind the proxy's: it is no request.
#[test]
fn a_proxy_header_of_the_client_is_refused() {
    for kind in ALL {
        let site = Site::start(kind, &["--max-connections-per-ip", "1"]);
        let _inside = site.open(2, "/ws");
        let line = b"PROXY TCP4 198.51.100.9 127.0.0.1 4711 80\r\n".to_vec();
        let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        binary.extend([198, 51, 100, 9, 127, 0, 0, 1, 0x12, 0x67, 0, 80]);
        for header in [line, binary] {
            let mut client = site.dial(2);
            client.send([header, Upgrade::new("/ws").bytes()].concat());
            let said = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{kind:?}: {said}");
        }
    }
}

#[test]
fn handshakes_are_counted_for_the_clients_own_address() {
    for kind in ALL {
        let site = Site::start(kind, &["--handshake-rate", "2"]);
        // Four at once and two a second: of thirty some are too many, unless they take 13 s.
        let statuses: Vec<_> = (0..30).map(|n| site.ask(2, &spoofed(n)).0).collect();
        let refused: Vec<_> = statuses.iter().filter(|answer| answer.status == 429).collect();
        assert!(!refused.is_empty() && statuses[0].status == 101, "{kind:?}");
        assert_eq!(limit(refused[0]), "handshakes_per_address", "{kind:?}");
        assert_eq!(site.ask(3, &Upgrade::new("/ws")).0.status, 101, "{kind:?}");
    }
}

#[test]
fn by_the_proxy_protocol_the_log_names_the_client() {
    for kind in BY_PROTOCOL {
        let site = Site::start(kind, &[]);
        assert_eq!(site.ask(5, &Upgrade::new("/nowhere")).0.status, 404);
        eventually("the refusal is logged", 5.0, || site.server.errors().contains("refused"));
        let log = site.server.errors();
        let line = log.lines().find(|line| line.contains("refused")).expect("just seen");
        assert!(line.contains("127.0.0.5:"), "{kind:?}: {line}");
    }
}

const KEY: &str = "a-key-of-24-bytes-or-so";

/// Openings, ends, refusals, the API and the dashboard name the client, and not the proxy.
#[test]
fn by_fields_the_log_and_the_lists_name_the_client() {
    for kind in BY_FIELDS {
        let flags = ["--log", "throng=debug", "--log-format", "json", "--api-key", KEY];
        let site = Site::start(kind, &flags);
        let mut inside = site.open(5, "/ws?room=a&name=ann");
        assert!(inside.read_text().contains("welcome"));
        assert_eq!(site.ask(6, &Upgrade::new("/nowhere")).0.status, 404);
        let mut asking = site.dial(7);
        let key = format!("Authorization: Bearer {KEY}");
        asking.send(format!("GET /api/connections HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n"));
        let answer: Value = serde_json::from_slice(&asking.read_answer(false).body).expect("JSON");
        assert_eq!(answer["connections"][0]["address"], "127.0.0.5", "{kind:?}: {answer}");
        // The dashboard: who is looked at, and who looks.
        let mut viewer = site.dial(8);
        viewer
            .send(Upgrade::new("/admin").header("Authorization", format!("Bearer {KEY}")).bytes());
        viewer.expect_upgrade();
        let id = answer["connections"][0]["id"].as_str().expect("an id");
        for command in ["connection", "disconnect"] {
            let command = format!(r#"{{"type":"{command}","id":1,"connection":"{id}"}}"#);
            viewer.send(Frame::text(command).bytes());
        }
        let shown = loop {
            let told: Value = serde_json::from_str(&viewer.read_text()).expect("JSON");
            if told["type"] == "answer" {
                break told;
            }
        };
        assert_eq!(shown["connections"][0]["address"], "127.0.0.5", "{kind:?}: {shown}");
        drop(inside);
        for (message, client) in [
            ("open", "127.0.0.5"),
            ("refused", "127.0.0.6"),
            ("disconnected from the dashboard", "127.0.0.8"),
            ("closed", "127.0.0.5"),
        ] {
            eventually(&format!("{kind:?}: {message} by {client}"), 5.0, || {
                let log = site.server.errors();
                let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let mut lines = lines.filter(|line| line["message"] == message);
                lines.any(|line| line["client"] == client)
            });
        }
    }
}

/// Directly, and not from the proxy's address: a client, whatever it writes.
#[test]
fn who_is_no_proxy_speaks_for_itself() {
    let flags = ["--trust-proxy", "127.0.0.1", "--max-connections-per-ip", "2"];
    let server = Server::serve(&flags);
    let ask = |host: u8, n: usize| {
        let mut client = RawClient::on(dial(host, server.address()));
        client.send(spoofed(n).without("Forwarded").bytes());
        (client.read_answer(false), client)
    };
    let inside: Vec<_> = (0..2).map(|n| ask(7, n)).collect();
    assert!(inside.iter().all(|(answer, _)| answer.status == 101));
    for n in 2..5 {
        assert_eq!(limit(&ask(7, n).0), "connections_per_address");
    }
    // The same words count where they come from the proxy: they are for ten addresses.
    let proxied: Vec<_> = (0..10).map(|n| ask(1, n)).collect();
    assert!(proxied.iter().all(|(answer, _)| answer.status == 101));
}

/// Without the word that the proxy is one, all clients have its address: the flag is needed.
#[test]
fn a_proxy_that_is_not_trusted_is_one_client() {
    for kind in BY_FIELDS {
        let site = Site::trusting(kind, "75s", &["--max-connections-per-ip", "2"]);
        let _inside = [site.open(2, "/ws"), site.open(3, "/ws")];
        let (refused, _) = site.ask(4, &Upgrade::new("/ws"));
        assert_eq!(limit(&refused), "connections_per_address", "{kind:?}");
    }
}

/// Who comes past the proxy to a listener that expects one is not let in.
#[test]
fn past_the_proxy_there_is_no_way_in() {
    for kind in BY_PROTOCOL {
        let site = Site::start(kind, &[]);
        let mut client = RawClient::on(dial(9, site.server.address()));
        client.send(Upgrade::new("/ws").bytes());
        assert!(client.next_frame(std::time::Duration::from_secs(5)).is_none());
        assert_eq!(client.unread(), b"", "{kind:?}");
        site.open(2, "/ws");
    }
}
