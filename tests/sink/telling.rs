//! What a service is told, and how.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::common::Folder;
use crate::common::{RawClient, Server, eventually};
use crate::receiver::{Receiver, metric, person, serve_telling, store_of};

const SECRET: &[u8] = b"a secret that only two of us know";

#[test]
fn joins_messages_and_leaves_come_in_their_order_and_signed() {
    let (folder, receiver) = (Folder::new("sink"), Receiver::willing());
    let secret = folder.path().join("secret");
    std::fs::write(&secret, [SECRET, b"\n"].concat()).expect("it is written");
    let secret = secret.to_str().expect("a path in UTF-8");
    let flags = ["--sink-secret-file", secret];
    let server = serve_telling(&store_of(&folder), &receiver.url(), &flags);
    let mut ann = person(&server, "ann");
    for room in ["d.1", "m.1"] {
        let epoch = ann.join(room, None)["epoch"].clone();
        assert_eq!(ann.publish(room, r#"{"a": [1]}"#), 1);
        ann.ask(&format!(r#"{{"type":"leave","id":1,"room":"{room}"}}"#));
        let events = receiver.wait_for(if room == "d.1" { 3 } else { 6 }, 10.0);
        let events = &events[events.len() - 3..];
        let kinds: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
        assert_eq!(json!(kinds), json!(["join", "message", "leave"]));
        for event in events {
            assert_eq!((&event["room"], &event["sender"]), (&json!(room), &json!("ann")));
            assert!(event["timestamp"].as_u64() > Some(1_700_000_000_000));
            let id = event["id"].as_str().expect("an id");
            assert!(id.ends_with(&format!("-{}", event["seq"])), "{id}");
        }
        let message = &events[1];
        assert_eq!((&message["epoch"], &message["offset"]), (&epoch, &json!(1)));
        assert_eq!(message["content"], json!({"a": [1]}));
        assert!(events[0].get("offset").is_none() && events[0].get("content").is_none());
    }
    for post in receiver.posts() {
        let (id, time) = (&post.headers["webhook-id"], &post.headers["webhook-timestamp"]);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any key will do");
        mac.update(format!("{id}.{time}.{}", post.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(post.headers["webhook-signature"], expected);
        assert_eq!(post.headers["content-type"], "application/json");
    }
    let seqs: Vec<_> = receiver.taken().iter().map(|event| event["seq"].as_u64()).collect();
    assert!(seqs.is_sorted_by(|one, other| one < other), "{seqs:?}");
    eventually("nothing waits", 5.0, || metric(&server, "throng_sink_waiting_events") == 0);
    assert_eq!(metric(&server, r#"throng_sink_events_total{result="delivered"}"#), 6);
}

#[test]
fn only_what_was_chosen_comes() {
    let (folder, receiver) = (Folder::new("sink"), Receiver::willing());
    let (file, url) = (store_of(&folder), receiver.url());
    let file = file.to_str().expect("a path in UTF-8");
    let flags = ["--sink-room", "d.*", "--sink-room", "x", "--sink-events", "leave,message"];
    // Rooms without a history are told of too, and no room has to be durable.
    let more = ["--history-db", file, "--sink", &url, "--loops", "2", "--history-messages", "0"];
    let server = Server::serve(&[&flags[..], &more].concat());
    let (mut ann, mut bob) = (person(&server, "ann"), person(&server, "bob"));
    for room in ["x", "y", "d.2"] {
        for who in [&mut ann, &mut bob] {
            who.join(room, None);
            let text = format!(r#"{{"type":"text","id":2,"room":"{room}","content":1}}"#);
            assert_eq!(who.ask(&text)["type"], "ok");
        }
    }
    drop(ann);
    let events = receiver.wait_for(6, 10.0);
    let mut told: Vec<String> = events
        .iter()
        .map(|event| format!("{} {} {}", event["type"], event["room"], event["sender"]))
        .map(|words| words.replace('"', ""))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "leave d.2 ann",
            "leave x ann",
            "message d.2 ann",
            "message d.2 bob",
            "message x ann",
            "message x bob"
        ]
    );
}

#[test]
fn what_comes_by_the_api_is_told_too() {
    let (folder, receiver) = (Folder::new("sink"), Receiver::willing());
    let key = "0123456789abcdef";
    let flags = ["--api-key", key, "--sink-events", "message"];
    let server = serve_telling(&store_of(&folder), &receiver.url(), &flags);
    for room in ["d.1", "m.1"] {
        let body = format!(r#"{{"room":"{room}","content":7,"sender":"shop"}}"#);
        let mut client = RawClient::connect(&server);
        client.send(format!(
            "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(client.read_answer(false).status, 200);
    }
    let events = receiver.wait_for(2, 10.0);
    for event in &events {
        let place = (&event["sender"], &event["content"], &event["offset"]);
        assert_eq!(place, (&json!("shop"), &json!(7), &json!(1)));
    }
}
