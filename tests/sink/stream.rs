//! A stream of a real Redis, which is killed in the middle.

use std::time::Duration;

use serde_json::Value;

use crate::common::Folder;
use crate::common::eventually;
use crate::failures::contents;
use crate::receiver::{metric, once, person, serve_telling, store_of};
use crate::redis::Redis;

/// All entries of the stream: their fields.
pub fn entries(redis: &Redis, database: u8) -> Vec<Vec<(String, String)>> {
    let client = redis::Client::open(format!("{}/{database}", redis.url())).expect("a URL");
    let mut connection = client.get_connection().expect("it answers");
    let mut range = redis::cmd("XRANGE");
    range.arg("events").arg("-").arg("+");
    let entries: Vec<(String, Vec<(String, String)>)> =
        range.query(&mut connection).unwrap_or_default();
    entries.into_iter().map(|(_, fields)| fields).collect()
}

fn events(redis: &Redis) -> Vec<Value> {
    let event = |fields: Vec<(String, String)>| {
        let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["id", "type", "room", "event"]);
        let event: Value = serde_json::from_str(&fields[3].1).expect("JSON");
        for (at, name) in ["id", "type", "room"].iter().enumerate() {
            assert_eq!(event[*name], fields[at].1);
        }
        event
    };
    once(entries(redis, 3).into_iter().map(event).collect())
}

#[test]
fn events_are_entries_of_a_stream_and_outlive_a_redis_that_is_killed() {
    let (folder, mut redis) = (Folder::new("sink"), Redis::start());
    let url = format!("{}/events?db=3", redis.url());
    let flags = ["--sink-batch", "5", "--sink-timeout", "1"];
    let server = serve_telling(&store_of(&folder), &url, &flags);
    let mut ann = person(&server, "ann");
    ann.join("d.1", None);
    ann.join("m.1", None);
    for n in 0..20 {
        ann.publish(["d.1", "m.1"][n % 2], &n.to_string());
    }
    eventually("they are there", 10.0, || events(&redis).len() == 22);
    redis.kill();
    for n in 20..60 {
        ann.publish(["d.1", "m.1"][n % 2], &n.to_string());
    }
    eventually("it fails", 10.0, || metric(&server, "throng_sink_failures_total") > 0);
    redis.start_again();
    eventually("they are there", 20.0, || events(&redis).len() == 62);
    let came = contents(&events(&redis));
    for (room, first) in [("d.1", 0), ("m.1", 1)] {
        assert_eq!(came[room], (0..30).map(|n| first + 2 * n).collect::<Vec<_>>(), "{room}");
    }
}

/// With `--redis` each node tells of what was published at it, so that each is told of once.
#[test]
fn nodes_tell_of_their_own_messages() {
    let redis = Redis::start();
    let url = format!("{}/events", redis.url());
    let folders = [Folder::new("sink"), Folder::new("sink")];
    let broker = redis.url();
    let flags = ["--redis", &broker, "--sink-events", "message"];
    let servers = [0, 1].map(|at| serve_telling(&store_of(&folders[at]), &url, &flags));
    let mut people = [0, 1].map(|at: usize| person(&servers[at], &format!("p{at}")));
    for who in &mut people {
        who.join("d.1", None);
        who.join("m.1", None);
    }
    for n in 0..20 {
        people[n % 2].publish(["d.1", "m.1"][n / 2 % 2], &n.to_string());
    }
    let event = |fields: Vec<(String, String)>| serde_json::from_str(&fields[3].1).expect("JSON");
    let all = || -> Vec<Value> { entries(&redis, 0).into_iter().map(event).collect() };
    eventually("they are there", 10.0, || all().len() >= 20);
    std::thread::sleep(Duration::from_millis(300));
    let mut said: Vec<u64> = all().iter().map(|event| event["content"].as_u64().unwrap()).collect();
    said.sort_unstable();
    assert_eq!(said, (0..20).collect::<Vec<_>>());
    assert!(all().iter().all(|event| event["offset"].is_u64()));
}
