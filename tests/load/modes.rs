//! Each kind of load against a server that does everything right.

use serde_json::Value;

use crate::common::Server;
use crate::run::{figure, load, load_json, url_of};

const CHAT: &str = r#"{"type":"text","content":"{}"}"#;

fn pid(server: &Server) -> String {
    server.pid().to_string()
}

fn assert_no_errors(value: &Value) {
    for error in ["refused", "lost", "mismatched", "timeouts"] {
        assert_eq!(figure(value, &format!("errors/{error}")), 0.0, "{error} in {value}");
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn echo_tells_all_that_the_contract_promises() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/path");
    let options = ["-c", "5", "-s", "100", "-d", "4", "-t", "1.2", "-w", "0.1"];
    let (status, value) =
        load_json(&[&["echo", &url, "--pid", &pid(&server)], &options[..]].concat());
    assert_eq!(status, 0, "{value}");
    assert_no_errors(&value);
    for (path, expected) in
        [("connections", 5.0), ("size", 100.0), ("depth", 4.0), ("procs", 1.0), ("handshakes", 5.0)]
    {
        assert_eq!(figure(&value, path), expected, "{path}");
    }
    assert_eq!((&value["mode"], &value["url"]), (&"echo".into(), &url.into()));
    assert!(value["rate"].is_null() && value["client"]["late_p99_us"].is_null());
    let messages = figure(&value, "messages");
    assert!(messages > 100.0 && (1.15..1.25).contains(&figure(&value, "duration_s")));
    let per_s = figure(&value, "messages_per_s");
    assert!((per_s - messages / figure(&value, "duration_s")).abs() < 1.0);
    assert!((figure(&value, "bytes_per_s") - per_s * 100.0).abs() < 100.0);
    let names = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let times = names.map(|name| figure(&value, &format!("latency_us/{name}")));
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
    assert!(figure(&value, "latency_us/mean") > 0.0);
    for path in ["cpu_us_per_message", "cpu_percent", "rss_bytes"] {
        assert!(figure(&value, &format!("server/{path}")) > 0.0, "{path}");
    }
    assert!(figure(&value, "client/cpu_percent") > 1.0);
    let seconds = value["seconds"].as_array().expect("seconds");
    let counted: f64 = seconds.iter().map(|second| figure(second, "messages")).sum();
    assert_eq!((seconds.len(), counted), (2, messages));
    assert_eq!(keys(&seconds[0]), ["max_us", "messages", "p50_us", "p99_us", "t"]);
    for key in ["deliveries", "deliveries_per_s", "handshakes_per_s"] {
        figure(&value, key);
    }
    assert!(value["warnings"].is_array());
}

#[test]
fn a_rate_is_kept() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let options = ["-c", "7", "--rate", "500", "-t", "1", "-w", "0.2"];
    let (status, value) = load_json(&[&["echo", &url], &options[..]].concat());
    assert_eq!(status, 0, "{value}");
    assert_eq!(figure(&value, "rate"), 500.0);
    assert!((450.0..550.0).contains(&figure(&value, "messages_per_s")), "{value}");
    assert!(figure(&value, "client/late_p99_us") >= 0.0);
}

#[test]
fn echoes_of_every_kind_come_back_right() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let some: [&[&str]; 7] = [
        &["-s", "0"],
        &["-s", "5", "--text"],
        &["-s", "9", "-d", "3"],
        &["-s", "300000", "-d", "2"],
        &["-s", "2000", "--compress", "shared"],
        &["-s", "2000", "--compress", "dedicated", "--text", "-d", "3"],
        &["--from", "127.0.0.2-3", "--from", "127.0.0.9", "--open-rate", "100"],
    ];
    for options in some {
        let common = ["echo", &url, "-c", "4", "-t", "0.3", "-w", "0"];
        let (status, value) = load_json(&[&common, options].concat());
        assert_eq!(status, 0, "{options:?}: {value}");
        assert!(figure(&value, "messages") >= 4.0, "{options:?}: {value}");
    }
}

#[test]
fn processes_share_a_load() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let options = ["-c", "5", "--procs", "2", "-t", "1", "-w", "0.1", "--rate", "400"];
    let (status, value) = load_json(&[&["echo", &url], &options[..]].concat());
    assert_eq!(status, 0, "{value}");
    assert_eq!((figure(&value, "procs"), figure(&value, "handshakes")), (2.0, 5.0));
    assert!((360.0..440.0).contains(&figure(&value, "messages_per_s")), "{value}");
    assert_eq!(value["seconds"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_one_sends_reaches_all() {
    let server = Server::serve(&[]);
    for (room, more) in [("a", &["--senders", "2", "-d", "3"][..]), ("b", &["--procs", "2"])] {
        let url = url_of(&server, &format!("/ws?room={room}"));
        let common = ["fanout", &url, "-c", "6", "-t", "1", "-w", "0.2", "--wrap", CHAT];
        let (status, value) = load_json(&[&common, more].concat());
        assert_eq!(status, 0, "{value}");
        assert_no_errors(&value);
        let deliveries = figure(&value, "deliveries");
        assert!(deliveries > 100.0, "{value}");
        assert_eq!(figure(&value, "messages"), 0.0);
        assert!(figure(&value, "latency_us/p50") > 0.0);
    }
}

#[test]
fn connections_come_and_go() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let pid = pid(&server);
    let common = ["storm", &url, "-c", "8", "-t", "0.5", "-w", "0", "--pid", &pid];
    let (status, value) = load_json(&common);
    assert_eq!(status, 0, "{value}");
    assert!(figure(&value, "handshakes") > 50.0 && figure(&value, "latency_us/p99") > 0.0);
    assert!(figure(&value, "server/cpu_us_per_message") > 0.0);
    let (status, value) = load_json(&[&common[..], &["--rate", "100"]].concat());
    assert_eq!(status, 0, "{value}");
    assert!((40.0..60.0).contains(&figure(&value, "handshakes")), "{value}");
}

#[test]
fn idle_connections_answer_pings() {
    let server = Server::echo(&[]);
    let (url, pid) = (url_of(&server, "/"), pid(&server));
    let options = ["-c", "300", "--hold", "1", "--ping-every", "0.5", "--pid", &pid];
    let (status, value) = load_json(&[&["idle", &url], &options[..]].concat());
    assert_eq!(status, 0, "{value}");
    assert_eq!(figure(&value, "handshakes"), 300.0);
    let (sent, answered) = (figure(&value, "pings/sent"), figure(&value, "pings/answered"));
    assert!(sent >= 300.0 && sent == answered, "{value}");
    assert!(figure(&value, "latency_us/max") > 0.0);
    assert!(figure(&value, "server/bytes_per_connection") < 10_000.0, "{value}");
}

#[test]
fn a_ramp_shows_its_steps() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let common = ["ramp", &url, "-c", "2", "-t", "0.3", "-w", "0", "--steps", "3"];
    let (status, value) = load_json(&common);
    assert_eq!(status, 0, "{value}");
    let steps = value["steps"].as_array().expect("steps");
    let connections: Vec<_> = steps.iter().map(|step| figure(step, "connections")).collect();
    assert_eq!((connections, figure(&value, "held")), (vec![2.0, 4.0, 8.0], 8.0));
    assert!(value["broke"].is_null() && value["why"].is_null());
    let breaking = ["--raise", "rate", "--rate", "50", "--p99-max", "0.001"];
    let done = load(&[&common[..], &breaking].concat());
    assert_eq!(done.status, 1, "{}", done.errors);
    assert!(done.out.contains("breaks at the first step, 50 messages a second"), "{}", done.out);
}

#[test]
fn a_person_gets_a_table() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let done = load(&["echo", &url, "-c", "2", "-t", "0.3", "-w", "0"]);
    assert_eq!(done.status, 0, "{}", done.errors);
    for words in ["echo of 64 B, 2 connections", "done within", "99.99 %", "errors            none"]
    {
        assert!(done.out.contains(words), "{words:?} in\n{}", done.out);
    }
    assert!(!done.errors.contains('\x1b'), "no bar where there is no terminal");
}
