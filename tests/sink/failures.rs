//! A service that fails: what was not taken comes again, in its order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::Folder;
use crate::common::{RawClient, eventually};
use crate::receiver::{OK, Receiver, Reply, metric, person, serve_telling, store_of};
use crate::record::readiness;

/// Of each room the messages in the order in which they came, each once.
pub fn contents(events: &[Value]) -> HashMap<String, Vec<u64>> {
    let mut rooms: HashMap<String, Vec<u64>> = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "message") {
        let room = event["room"].as_str().expect("a room").to_owned();
        rooms.entry(room).or_default().push(event["content"].as_u64().expect("a number"));
    }
    rooms
}

#[test]
fn whatever_it_answers_everything_comes_in_the_end() {
    let elsewhere = Receiver::willing();
    let target = format!("Location: {}\r\n", elsewhere.url());
    let target: &'static str = Box::leak(target.into_boxed_str());
    let replies = [
        Reply::Status(500, ""),
        Reply::Status(503, "Retry-After: 1\r\n"),
        Reply::Hangup,
        Reply::Status(429, ""),
        Reply::Stall,
        Reply::Status(302, target),
        Reply::Status(308, target),
        Reply::Status(404, ""),
        Reply::Status(401, ""),
        Reply::Status(410, ""),
        Reply::Status(408, ""),
    ];
    let count = replies.len();
    // Each third request is taken.
    let rule = move |number: usize, _: &str| match number % 3 {
        2 => OK,
        _ => replies.get(number - number / 3).cloned().unwrap_or(OK),
    };
    let (folder, receiver) = (Folder::new("sink"), Receiver::new(rule));
    let flags = ["--sink-timeout", "0.7", "--sink-batch", "7", "--sink-events", "message"];
    let server = serve_telling(&store_of(&folder), &receiver.url(), &flags);
    let mut ann = person(&server, "ann");
    for room in ["d.1", "d.2", "m.1"] {
        ann.join(room, None);
    }
    for n in 0..120 {
        ann.publish(["d.1", "d.2", "m.1"][n % 3], &n.to_string());
    }
    let events = receiver.wait_for(120, 60.0);
    for (room, first) in [("d.1", 0), ("d.2", 1), ("m.1", 2)] {
        let expected: Vec<u64> = (0..40).map(|n| first + 3 * n).collect();
        assert_eq!(contents(&events)[room], expected, "{room}");
    }
    assert!(elsewhere.posts().is_empty(), "a redirect was followed");
    assert!(metric(&server, "throng_sink_failures_total") >= count as u64);
    assert_eq!(metric(&server, r#"throng_sink_events_total{result="unwanted"}"#), 0);
    // The same events have the same id, and a request that is tried again too.
    let mut ids = HashMap::new();
    for post in receiver.posts() {
        let id = post.headers["webhook-id"].clone();
        let before = ids.entry(id).or_insert_with(|| post.body.clone());
        assert_eq!(*before, post.body);
    }
}

/// What is not wanted is found among the rest, and let go.
#[test]
fn an_event_that_is_not_wanted_holds_up_nobody() {
    let rule = |_: usize, body: &str| match body.contains("666") {
        true => Reply::Status(422, ""),
        false => OK,
    };
    let (folder, receiver) = (Folder::new("sink"), Receiver::new(rule));
    let flags = ["--sink-tries", "3", "--sink-events", "message"];
    let server = serve_telling(&store_of(&folder), &receiver.url(), &flags);
    let mut ann = person(&server, "ann");
    ann.join("d.1", None);
    let said: Vec<u64> = (0..40).map(|n| if n == 17 { 666 } else { n }).collect();
    for n in &said {
        ann.send(&format!(r#"{{"type":"text","room":"d.1","content":{n},"echo":false}}"#));
    }
    let events = receiver.wait_for(39, 20.0);
    let expected: Vec<u64> = said.into_iter().filter(|n| *n != 666).collect();
    assert_eq!(contents(&events)["d.1"], expected);
    let alone = receiver
        .posts()
        .iter()
        .filter(|post| post.events().len() == 1 && post.body.contains("666"))
        .count();
    assert_eq!(alone, 3);
    assert_eq!(metric(&server, r#"throng_sink_events_total{result="unwanted"}"#), 1);
}

#[test]
fn a_service_that_is_away_harms_nobody_and_gets_all_when_it_comes() {
    let folder = Folder::new("sink");
    let away = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = away.local_addr().expect("it has one");
    drop(away);
    let url = format!("http://{address}/events");
    let mut server = serve_telling(&store_of(&folder), &url, &["--sink-events", "message"]);
    let mut ann = person(&server, "ann");
    ann.join("d.1", None);
    let begin = Instant::now();
    for n in 1..=50 {
        assert_eq!(ann.publish("d.1", &n.to_string()), n);
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
    eventually("it is tried", 5.0, || metric(&server, "throng_sink_failures_total") > 0);
    assert_eq!(metric(&server, "throng_sink_waiting_events"), 50);
    assert_eq!(readiness(RawClient::connect(&server)).0, 200);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(metric(&server, "throng_sink_oldest_seconds") >= 1);
    // The server is killed, and comes back, before the service does.
    server.signal("KILL");
    server.wait_exit(5.0);
    let server = serve_telling(&store_of(&folder), &url, &["--sink-events", "message"]);
    let mut ann = person(&server, "ann");
    ann.join("d.1", None);
    assert_eq!(ann.publish("d.1", "51"), 51);
    let receiver = Receiver::on(address, |_, _| OK);
    let events = receiver.wait_for(51, 20.0);
    assert_eq!(contents(&events)["d.1"], (1..=51).collect::<Vec<_>>());
    let offsets: Vec<_> = events.iter().map(|event| event["offset"].clone()).collect();
    assert_eq!(json!(offsets), json!((1..=51).collect::<Vec<_>>()));
    eventually("nothing waits", 5.0, || metric(&server, "throng_sink_oldest_seconds") == 0);
}
