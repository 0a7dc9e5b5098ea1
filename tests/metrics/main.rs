//! What the real binary says of itself: `/metrics`, `/readyz` and the log.
//!
//! The text format is read by a strict reader of its own, so that a line that Prometheus would not
//! take fails here.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // it is neither killed nor asked here
#[path = "../broker/redis.rs"]
mod redis;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use common::{Frame, RawClient, Server, Upgrade, eventually, http};

/// Each sample by its name and labels as they stand.
type Samples = BTreeMap<String, f64>;

/// Reads the text format; panics with the line where it is not kept to.
fn read(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut samples = Samples::new();
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (Some(kind), Some(name), Some(rest)) = (words.next(), words.next(), words.next())
            else {
                panic!("no comment of three words: {line}")
            };
            assert!(is_name(name) && !rest.is_empty(), "{line}");
            match kind {
                "HELP" => assert!(!types.contains_key(name), "twice: {line}"),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&rest), "{line}");
                    assert!(types.insert(name, rest).is_none(), "twice: {line}");
                    family = name;
                }
                _ => panic!("neither HELP nor TYPE: {line}"),
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let name = key.split_once('{').map_or(key, |(name, labels)| {
            let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no brace: {line}"));
            labels.split(',').for_each(|label| assert!(is_label(label), "{line}"));
            name
        });
        let base = match types.get(family) {
            Some(&"histogram") => {
                let ends = ["_bucket", "_sum", "_count"];
                ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
            }
            Some(&"counter") => {
                assert!(name.ends_with("_total"), "a counter by another name: {line}");
                name
            }
            _ => name,
        };
        assert_eq!(base, family, "a sample outside its family: {line}");
        assert!(samples.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn is_label(label: &str) -> bool {
    let Some((name, value)) = label.split_once('=') else { return false };
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    is_name(name) && inner.is_some_and(|inner| !inner.contains(['"', '\\', '\n']))
}

fn scrape(server: &Server) -> Samples {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    let answer = client.expect_answer(200);
    let content_type = answer.only("content-type");
    assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.only("cache-control"), Some("no-store"));
    read(&String::from_utf8(answer.body).expect("metrics in UTF-8"))
}

/// Scrapes until all these samples are there.
fn await_samples(server: &Server, expected: &[(&str, f64)]) -> Samples {
    let mut samples = Samples::new();
    let mut last = Instant::now();
    eventually(&format!("{expected:?}"), 10.0, || {
        samples = scrape(server);
        if last.elapsed() > Duration::from_secs(2) {
            last = Instant::now();
            eprintln!("so far: {samples:#?}"); // shown where the test fails
        }
        expected.iter().all(|(key, value)| samples.get(*key) == Some(value))
    });
    samples
}

/// Sends a text to `/echo` and reads it back.
fn echo(server: &Server, payload: &str) -> RawClient {
    let mut client = RawClient::open(server, "/echo");
    client.send(Frame::text(payload).bytes());
    assert_eq!(client.read_text(), payload);
    client
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let server = Server::serve(&["--loops", "2", "--compress", "off"]);
    let open: Vec<_> = (0..3).map(|_| echo(&server, "hello")).collect();
    let mut closing = echo(&server, "hello");
    closing.send(Frame::close(1000, "").bytes());
    closing.expect_close(1000);
    drop(closing);
    echo(&server, "hello").reset();
    let mut refused = RawClient::connect(&server);
    refused.send(Upgrade::new("/nowhere").bytes());
    refused.expect_refusal(&[404]);
    let mut broken = echo(&server, "hello");
    broken.send([0xf1, 0x80, 0, 0, 0, 0]); // reserved bits
    broken.expect_close(1002);
    drop(broken);
    let samples = await_samples(
        &server,
        &[
            ("throng_opened_total", 6.0),
            ("throng_connections{state=\"open\"}", 3.0),
            ("throng_messages_total{direction=\"in\"}", 6.0),
            ("throng_messages_total{direction=\"out\"}", 6.0),
            ("throng_closes_total{cause=\"peer\"}", 1.0),
            ("throng_closes_total{cause=\"lost\"}", 1.0),
            ("throng_closes_total{cause=\"protocol\"}", 1.0),
            ("throng_handshakes_refused_total{reason=\"404\"}", 1.0),
            ("throng_backlog_bytes", 0.0),
            ("throng_drops_total{reason=\"closed\"}", 0.0),
        ],
    );
    let value = |key: &str| *samples.get(key).unwrap_or_else(|| panic!("no {key}: {samples:#?}"));
    // At least the frames: 11 bytes of each text in, 7 out.
    assert!(value("throng_bytes_total{direction=\"in\"}") >= 6.0 * 11.0);
    assert!(value("throng_bytes_total{direction=\"out\"}") >= 6.0 * 7.0);
    assert!(value("throng_loop_turns_total{loop=\"0\"}") > 0.0);
    assert!(value("throng_loop_turns_total{loop=\"1\"}") > 0.0);
    assert!(value("process_open_fds") >= 5.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("throng_loop_lag_seconds{loop=\"0\"}") < 10.0);
    drop(open);
    // The last ones to leave are told of too, although nobody is connected then.
    await_samples(&server, &[("throng_connections{state=\"open\"}", 0.0)]);
}

#[test]
fn a_broadcast_counts_each_receiver_and_its_time() {
    let server = Server::serve(&["--compress", "off"]);
    let mut members: Vec<_> = (0..4)
        .map(|number| {
            let mut member = RawClient::open(&server, &format!("/ws?room=r&name=m{number}"));
            member.read_text(); // the welcome: it is in the room
            member
        })
        .collect();
    let before = await_samples(&server, &[("throng_connections{state=\"open\"}", 4.0)]);
    members[0].send(Frame::text(r#"{"type":"text","room":"r","content":"hi"}"#).bytes());
    for member in &mut members {
        while !member.read_text().contains("\"hi\"") {}
    }
    let out = "throng_messages_total{direction=\"out\"}";
    let count = "throng_fanout_seconds_count";
    let expected = [(out, before[out] + 4.0), (count, before[count] + 1.0)];
    let samples = await_samples(&server, &expected);
    assert_eq!(samples["throng_fanout_seconds_bucket{le=\"+Inf\"}"], samples[count]);
    let bounds = samples.iter().filter_map(|(key, value)| {
        let bound = key.strip_prefix("throng_fanout_seconds_bucket{le=\"")?;
        Some((bound.strip_suffix("\"}")?.parse::<f64>().expect("a bound"), *value))
    });
    let mut bounds: Vec<_> = bounds.collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(bounds.is_sorted_by_key(|(_, count)| *count), "not cumulative: {bounds:?}");
    assert!(samples["throng_fanout_seconds_sum"] > 0.0);
}

#[test]
fn the_round_trip_of_a_ping_is_measured() {
    let server = Server::serve(&["--ping-interval", "0.2"]);
    let mut client = RawClient::open(&server, "/echo");
    for _ in 0..3 {
        let ping = client.read_frame();
        assert_eq!(ping.opcode, 0x9);
        client.send(Frame::pong("nobody has asked").bytes()); // life, and no measurement
        std::thread::sleep(Duration::from_millis(20));
        client.send(Frame::pong(&ping.payload).bytes());
    }
    let samples = await_samples(&server, &[("throng_rtt_seconds_count", 3.0)]);
    assert_eq!(samples["throng_rtt_seconds_bucket{le=\"0.01\"}"], 0.0);
    assert!((0.06..5.0).contains(&samples["throng_rtt_seconds_sum"]), "{samples:#?}");
}

#[test]
fn a_peer_that_reads_too_slowly_is_counted() {
    let server = Server::serve(&["--backlog-bytes", "65536", "--compress", "off"]);
    let mut talker = RawClient::open(&server, "/ws?room=r&name=talker");
    let slow = RawClient::open_narrow(&server, "/ws?room=r&name=slow");
    let content = "x".repeat(16 << 10);
    let text = format!(r#"{{"type":"text","room":"r","content":"{content}","echo":false}}"#);
    for _ in 0..1000 {
        talker.send(Frame::text(&text).bytes());
    }
    let backlogged = "throng_closes_total{cause=\"backlogged\"}";
    let samples = await_samples(&server, &[(backlogged, 1.0)]);
    assert!(samples["throng_drops_total{reason=\"closed\"}"] >= 1.0, "{samples:#?}");
    drop(slow);
    let gone = [("throng_connections{state=\"closing\"}", 0.0), ("throng_backlog_bytes", 0.0)];
    await_samples(&server, &gone);
}

#[test]
fn readyz_and_metrics_take_no_other_method() {
    let mut server = Server::serve(&[]);
    for path in ["/readyz", "/metrics"] {
        let mut client = RawClient::connect(&server);
        client.send(http::request("POST", path));
        assert_eq!(client.expect_answer(405).only("allow"), Some("GET, HEAD"));
    }
    let mut client = RawClient::connect(&server);
    client.send(http::get("/readyz"));
    assert_eq!(client.expect_answer(200).body, b"ready\n");
    let mut late = RawClient::connect(&server);
    late.send(b"GET /readyz HTTP/1.1\r\n");
    let mut seen = RawClient::connect(&server); // its answer says that `late` was accepted
    seen.send(http::get("/readyz"));
    seen.expect_answer(200);
    server.signal("TERM");
    late.expect_answer(503);
    assert!(server.wait_exit(10.0).success());
}

#[test]
fn refusals_are_logged_as_json_and_a_crowd_of_them_is_summed_up() {
    let server = Server::serve(&["--log-format", "json"]);
    let _open = RawClient::open(&server, "/echo"); // the loop goes on ticking
    for _ in 0..40 {
        let mut client = RawClient::connect(&server);
        client.send(Upgrade::new("/nowhere").bytes());
        client.expect_refusal(&[404]);
    }
    let lines = || -> Vec<serde_json::Value> {
        let log = server.errors();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let mut said = 0;
    let mut left_out = 0;
    eventually("all refusals are said or counted", 10.0, || {
        let is_refusal = |line: &&serde_json::Value| line["message"] == "refused";
        said = lines().iter().filter(is_refusal).count() as u64;
        left_out = lines().iter().filter_map(|line| line["left_out"].as_u64()).sum();
        said + left_out == 40
    });
    assert!(left_out > 0, "{said} lines were said");
    let line = lines().into_iter().find(|line| line["message"] == "refused").expect("one");
    assert_eq!((&line["status"], &line["level"]), (&404.into(), &"INFO".into()), "{line}");
}

/// The dashboard and the alert rules ask for nothing that is not there.
#[test]
fn what_the_documents_ask_for_is_shown() {
    let store = std::env::temp_dir().join(format!("throng-metrics-{}.db", std::process::id()));
    let path = store.to_str().expect("UTF-8");
    let flags = ["--handshake-rate-total", "1000", "--durable", "kept", "--history-db", path];
    let nobody = ["--sink", "http://127.0.0.1:9/", "--sessions"];
    let server = Server::serve(&[&flags[..], &nobody].concat());
    let mut refused = RawClient::connect(&server);
    refused.send(Upgrade::new("/nowhere").bytes());
    refused.expect_refusal(&[404]);
    let mut wrong = RawClient::open(&server, "/ws");
    wrong.send(Frame::text("no").bytes());
    let mut api = RawClient::connect(&server);
    api.send(http::get("/api/health"));
    api.expect_answer(200);
    let refusals = ("throng_handshakes_refused_total{reason=\"404\"}", 1.0);
    let mut samples =
        await_samples(&server, &[refusals, ("throng_errors_total{code=\"bad_json\"}", 1.0)]);
    // Where there is a broker it keeps what the store does elsewhere.
    let redis = redis::Redis::start();
    let node = Server::serve(&["--redis", &redis.url()]);
    samples.append(&mut await_samples(&node, &[("throng_broker_connected", 1.0)]));
    let is_shown = |name: &str| {
        let starts = |key: &String| key.split('{').next() == Some(name);
        samples.keys().any(starts) || samples.contains_key(&format!("{name}_count"))
    };
    for path in ["docs/alerts.yml", "docs/grafana/dashboard.json", "docs/metrics.md"] {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect(&path);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_one = |word: &&str| {
            ["throng_", "process_"]
                .iter()
                .any(|start| word.len() > start.len() && word.starts_with(start))
        };
        let names: Vec<_> = words.filter(is_one).collect();
        assert!(names.len() > 4, "{path} asks for nothing");
        let unknown: Vec<_> = names.into_iter().filter(|name| !is_shown(name)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
    drop(server);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{end}"));
    }
}
