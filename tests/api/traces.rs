//! Traces (W3C Trace Context): in the welcome, in the log, in answers.

use serde_json::Value;

use crate::common::{Frame, RawClient, Server, Upgrade, eventually};
use crate::{KEY, Person, SECRET, Scratch, WITH_KEY, request};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The trace's id, the id of the part, and the flags.
fn parts(trace: &str) -> [String; 3] {
    let mut parts = trace.split('-').map(str::to_owned);
    assert_eq!(parts.next().as_deref(), Some("00"), "{trace}");
    let parts = [(); 3].map(|()| parts.next().expect("a part"));
    assert_eq!(parts.each_ref().map(String::len), [32, 16, 2], "{trace}");
    let digits = parts.concat();
    assert!(digits.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it)), "{trace}");
    assert!(parts[..2].iter().all(|part| part.bytes().any(|it| it != b'0')), "{trace}");
    parts
}

/// A server that says everything in its log, as JSON.
fn talkative() -> Server {
    talkative_with(&[])
}

fn talkative_with(flags: &[&str]) -> Server {
    let flags = [&["--api-key", KEY, "--log-format", "json"], flags].concat();
    Server::serve_with(&[("THRONG_LOG", "debug")], &flags)
}

/// The line with this message about this trace.
fn line_of(server: &Server, message: &str, trace: &str) -> Value {
    let mut found = None;
    eventually(&format!("{message} of {trace}"), 5.0, || {
        let log = server.errors();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        found = lines.into_iter().find(|line| line["message"] == message && line["trace"] == trace);
        found.is_some()
    });
    found.expect("just seen")
}

#[test]
fn a_trace_is_taken_over_and_stands_in_welcome_and_log() {
    let server = talkative();
    let upgrade = Upgrade::new("/ws").header("traceparent", SENT);
    let (mut person, welcome) = Person::enter_with(&server, &upgrade);
    let trace = welcome["traceparent"].as_str().expect("a trace").to_owned();
    let [trace_id, part, flags] = parts(&trace);
    assert_eq!((&*trace_id, &*flags), (TRACE_ID, "01"));
    assert_ne!(part, "00f067aa0ba902b7", "a part of its own");
    line_of(&server, "open", &trace);
    person.0.send(Frame::close(1000, "").bytes());
    assert_eq!(person.next_close().0, 1000);
    assert_eq!(line_of(&server, "closed", &trace)["cause"], "peer");
}

#[test]
fn a_trace_is_made_where_none_or_a_bad_one_is_sent() {
    let server = talkative();
    let mut seen = Vec::new();
    let plain = Upgrade::new("/ws");
    let bad = plain.clone().header("traceparent", SENT.to_uppercase());
    let twice = plain.clone().header("traceparent", SENT).header("traceparent", SENT);
    for upgrade in [&plain, &plain, &bad, &twice] {
        let (person, welcome) = Person::enter_with(&server, upgrade);
        let trace = welcome["traceparent"].as_str().expect("a trace").to_owned();
        let [trace_id, ..] = parts(&trace);
        assert!(trace_id != TRACE_ID && !seen.contains(&trace_id), "{trace_id}");
        seen.push(trace_id);
        line_of(&server, "open", &trace);
        drop(person);
        assert_eq!(line_of(&server, "closed", &trace)["cause"], "lost");
    }
}

#[test]
fn a_refusal_names_its_trace_to_the_client_and_in_the_log() {
    let server = talkative();
    for upgrade in [
        Upgrade::new("/nowhere").header("traceparent", SENT),
        Upgrade::new("/ws?room=%00").header("traceparent", SENT),
        Upgrade::new("/ws").header("traceparent", SENT).header("Origin", "https://evil.example"),
    ] {
        let mut client = RawClient::connect(&server);
        client.send(upgrade.bytes());
        let answer = client.expect_refusal(&[400, 403, 404]);
        let trace = answer.only("traceresponse").expect("a trace");
        assert_eq!(parts(trace)[0], TRACE_ID);
        assert_eq!(line_of(&server, "refused", trace)["status"], answer.status);
    }
}

#[test]
fn so_does_a_refusal_for_want_of_a_token() {
    let secret = Scratch::new(SECRET);
    let file = secret.0.to_str().expect("a name in UTF-8");
    let flags = ["--jwt-secret-file", file, "--require-token", "--first-message-token"];
    let server = talkative_with(&flags);
    let mut client = RawClient::connect(&server);
    client.send(Upgrade::new("/echo").header("traceparent", SENT).bytes());
    let answer = client.expect_refusal(&[401]);
    let trace = answer.only("traceresponse").expect("a trace");
    assert_eq!(parts(trace)[0], TRACE_ID);
    assert_eq!(line_of(&server, "refused", trace)["status"], 401);
}

#[test]
fn each_answer_of_the_api_has_a_part_of_its_own() {
    let server = talkative();
    let mut seen = Vec::new();
    for (target, headers, status) in [
        ("/api/health", &[("traceparent", SENT)][..], 200),
        ("/api/connections", &[WITH_KEY, ("traceparent", SENT)], 200),
        ("/api/rooms", &[("traceparent", SENT)], 401),
        ("/api/none", &[("traceparent", SENT)], 404),
    ] {
        let (answer, _) = request(&server, "GET", target, headers, "");
        assert_eq!(answer.status, status);
        let trace = answer.only("traceresponse").expect("a trace");
        let [trace_id, part, _] = parts(trace);
        assert_eq!(trace_id, TRACE_ID);
        assert!(!seen.contains(&part));
        seen.push(part);
        assert_eq!(line_of(&server, "answered by the API", trace)["status"], status);
    }
    let (answer, _) = request(&server, "GET", "/api/health", &[], "");
    assert_ne!(parts(answer.only("traceresponse").expect("a trace"))[0], TRACE_ID);
}
