//! The Protobuf twin: members of both kinds in one hub, and the schema that is published.

use prost_reflect::{DescriptorPool, DynamicMessage, Kind, Value as Field};
use serde_json::{Value, json};
use throng::frame::CloseCode;
use throng::hub::protobuf::{Command, CommandType, Delivery, DeliveryType, Message, Since, Stand};
use throng::hub::{Config, To};

use crate::Place;
use crate::common::http::Upgrade;
use crate::common::random::Random;
use crate::common::{Frame, RawClient, frame};

const SCHEMA: &str = "docs/throng.v1.proto";

/// A client that speaks Protobuf.
pub struct Twin(pub RawClient);

impl Twin {
    /// Connects, and takes the welcome.
    fn enter(place: &Place, target: &str) -> Self {
        let mut twin = Self::upgrade(place, Upgrade::new(target), "throng.v1.proto");
        assert_eq!(twin.read().kind(), DeliveryType::Welcome);
        twin
    }

    /// Connects.
    pub fn upgrade(place: &Place, upgrade: Upgrade, offered: &str) -> Self {
        let mut client = place.client();
        client.send(upgrade.header("Sec-WebSocket-Protocol", offered).bytes());
        let answer = client.expect_upgrade();
        assert_eq!(answer.only("sec-websocket-protocol"), Some("throng.v1.proto"));
        Self(client)
    }

    pub fn send(&mut self, command: &Command) {
        self.0.send(Frame::binary(command.encode_to_vec()).bytes());
    }

    pub fn read(&mut self) -> Delivery {
        let message = self.0.read_message();
        assert_eq!(message.opcode, frame::BINARY, "{message}");
        Delivery::decode(&*message.payload).expect("Protobuf")
    }

    fn ask(&mut self, command: &Command) -> Delivery {
        self.send(command);
        self.read()
    }

    fn has_nothing(&mut self) {
        let answer = self.ask(&Command::of(CommandType::Heartbeat));
        assert_eq!(answer.kind(), DeliveryType::Heartbeat, "{answer:?}");
    }
}

fn text(room: &str, content: &Value) -> Command {
    Command {
        room: Some(room.into()),
        content_json: Some(content.to_string()),
        ..Command::of(CommandType::Text)
    }
}

/// A delivery as JSON says it, so that what members of both kinds get can be compared.
fn as_json(delivery: &Delivery) -> Value {
    let value = |text: &String| serde_json::from_str::<Value>(text).expect("a JSON value");
    let kind = format!("{:?}", delivery.kind()).to_lowercase();
    let content = delivery.content.clone().map(Value::from);
    let members = (!delivery.members.is_empty()).then(|| json!(delivery.members));
    let has_messages = delivery.recovered.is_some() || delivery.more.is_some();
    let fields = [
        ("type", Some(kind.into())),
        ("id", delivery.id.map(Value::from)),
        ("room", delivery.room.clone().map(Value::from)),
        ("content", content.or(delivery.content_json.as_ref().map(value))),
        ("sender", delivery.sender.clone().map(Value::from)),
        ("timestamp", delivery.timestamp.map(Value::from)),
        ("event", delivery.event.clone().map(Value::from)),
        ("members", members),
        ("count", delivery.count.map(Value::from)),
        ("code", delivery.code.clone().map(Value::from)),
        ("retry_after_ms", delivery.retry_after_ms.map(Value::from)),
        ("seq", delivery.seq.map(Value::from)),
        ("lost", delivery.lost.map(Value::from)),
        ("expires_at", delivery.expires_at.map(Value::from)),
        ("traceparent", delivery.traceparent.clone().map(Value::from)),
        ("epoch", delivery.epoch.clone().map(Value::from)),
        ("offset", delivery.offset.map(Value::from)),
        ("recovered", delivery.recovered.map(Value::from)),
        ("more", delivery.more.map(Value::from)),
        ("duplicate", delivery.duplicate.map(Value::from)),
        ("messages", has_messages.then(|| delivery.messages.iter().map(as_json).collect())),
    ];
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

#[test]
fn members_of_either_kind_see_the_same() {
    for loops in [1, 2] {
        let place = Place::new(loops);
        let mut ann = place.person("/ws?room=r&name=ann");
        let mut bob = Twin::enter(&place, "/ws?room=r&name=bob");
        place.wait_for("r", 2);
        assert_eq!(ann.next_of("system")["sender"], "bob");
        let mut carl = Twin::enter(&place, "/ws?room=r&name=carl");
        place.wait_for("r", 3);
        assert_eq!(ann.next_of("system")["sender"], "carl");
        // With two loops ann may be told of too: her news was on its way when he came.
        while as_json(&bob.read())["sender"] != "carl" {}
        for content in [json!("hi"), json!({"a": [1, "é", null]}), json!(-1.5e3), json!(null)] {
            let command = json!({"type": "text", "room": "r", "content": content});
            ann.send(&command.to_string());
            let heard = ann.read();
            assert_eq!((&heard["content"], &heard["sender"]), (&content, &json!("ann")));
            assert_eq!([as_json(&bob.read()), as_json(&carl.read())], [heard.clone(), heard]);
            bob.send(&text("r", &content));
            let heard = as_json(&bob.read());
            assert_eq!((&heard["content"], &heard["sender"]), (&content, &json!("bob")));
            assert_eq!([ann.read(), as_json(&carl.read())], [heard.clone(), heard]);
        }
        drop(bob);
        let gone = ann.next_of("system");
        assert_eq!((&gone["event"], &gone["sender"]), (&json!("leave"), &json!("bob")));
        let heard = as_json(&carl.read());
        assert_eq!((&heard["event"], &heard["content"]), (&gone["event"], &gone["content"]));
    }
}

#[test]
fn a_message_to_a_user_and_to_all_reaches_both_kinds() {
    let place = Place::new(2);
    let mut one = place.person("/ws?name=ann");
    let mut two = Twin::enter(&place, "/ws?name=ann");
    let mut bob = Twin::enter(&place, "/ws?name=bob");
    let content_json = Some("[7]".into());
    let user = Some("ann".into());
    let direct = Command { user, content_json, id: Some(9), ..Command::of(CommandType::Direct) };
    assert_eq!(as_json(&bob.ask(&direct)), json!({"type": "ok", "id": 9}));
    let heard = one.read();
    assert_eq!((&heard["type"], &heard["content"]), (&json!("direct"), &json!([7])));
    assert_eq!(as_json(&two.read()), heard);
    place.control.publish(vec![To::All], "desk", r#""closing""#).expect("room for it");
    let heard = one.read();
    assert_eq!((&heard["content"], &heard["sender"]), (&json!("closing"), &json!("desk")));
    assert_eq!(as_json(&two.read())["content"], heard["content"]);
    assert_eq!(as_json(&bob.read())["content"], heard["content"]);
}

/// Each command means the same in both forms: the answers agree to the field.
#[test]
fn commands_are_answered_alike() {
    let place = Place::new(1);
    let room = |name: &str| Some(name.to_owned());
    let of = Command::of;
    let long = "x".repeat(129);
    let rows = [
        (
            json!({"type": "join", "id": 1, "room": "a"}),
            Command { room: room("a"), ..of(CommandType::Join) },
        ),
        (
            json!({"type": "presence", "id": 1, "room": "a"}),
            Command { room: room("a"), ..of(CommandType::Presence) },
        ),
        (
            json!({"type": "leave", "id": 1, "room": "a"}),
            Command { room: room("a"), ..of(CommandType::Leave) },
        ),
        (
            json!({"type": "leave", "id": 1, "room": "a"}),
            Command { room: room("a"), ..of(CommandType::Leave) },
        ),
        (json!({"type": "join", "id": 1}), of(CommandType::Join)),
        (
            json!({"type": "join", "id": 1, "room": ""}),
            Command { room: room(""), ..of(CommandType::Join) },
        ),
        (
            json!({"type": "join", "id": 1, "room": long}),
            Command { room: room(&long), ..of(CommandType::Join) },
        ),
        (
            json!({"type": "join", "id": 1, "room": "a\n"}),
            Command { room: room("a\n"), ..of(CommandType::Join) },
        ),
        (json!({"type": "text", "id": 1}), of(CommandType::Text)),
        (json!({"type": "text", "id": 1, "room": "b", "content": 1}), text("b", &json!(1))),
        (json!({"type": "refresh", "id": 1}), of(CommandType::Refresh)),
        (
            json!({"type": "refresh", "id": 1, "token": "x"}),
            Command { token: room("x"), ..of(CommandType::Refresh) },
        ),
        (json!({"type": "", "id": 1}), of(CommandType::Unspecified)),
        (json!({"type": "fly", "id": 1}), Command { kind: 99, ..Command::default() }),
        (
            json!({"type": "auth", "id": 1, "token": "x"}),
            Command { token: room("x"), ..of(CommandType::Auth) },
        ),
    ];
    are_alike(&place, rows.into());
    let beat = json!({"type": "heartbeat", "seq": 3, "timestamp": 12});
    let twin = Command { seq: Some(3), timestamp: Some(12), ..of(CommandType::Heartbeat) };
    let mut other = Twin::enter(&place, "/ws");
    assert_eq!(as_json(&other.ask(&twin)), place.person("/ws").ask(&beat.to_string()));
    let next = Command { seq: Some(6), ..twin };
    assert_eq!(as_json(&other.ask(&next))["lost"], 2);
}

fn are_alike(place: &Place, rows: Vec<(Value, Command)>) {
    for (command, twin) in rows {
        let mut ann = place.person("/ws?name=ann");
        let mut other = Twin::enter(place, "/ws?name=ann");
        let answer = ann.ask(&command.to_string());
        drop(ann);
        place.wait_for("a", 0);
        let answer_of_twin = as_json(&other.ask(&Command { id: Some(1), ..twin }));
        assert_eq!(answer_of_twin, answer, "{command}");
    }
}

#[test]
fn history_is_given_alike() {
    let place = Place::new(1);
    let room = |name: &str| Some(name.to_owned());
    let of = Command::of;
    let rows = vec![
        (
            json!({"type": "history", "id": 1, "room": "said", "limit": 2, "after": 1}),
            Command {
                room: room("said"),
                limit: Some(2),
                after: Some(1),
                ..of(CommandType::History)
            },
        ),
        (
            json!({"type": "history", "id": 1, "room": "nowhere"}),
            Command { room: room("nowhere"), ..of(CommandType::History) },
        ),
        (
            json!({"type": "history", "id": 1, "room": "said", "before": 1, "after": 1}),
            Command {
                room: room("said"),
                before: Some(1),
                after: Some(1),
                ..of(CommandType::History)
            },
        ),
        (
            json!({"type": "join", "id": 1, "room": "a", "since": {"epoch": "e", "offset": 1}}),
            Command {
                room: room("a"),
                since: Some(Since { epoch: "e".into(), offset: 1 }),
                ..of(CommandType::Join)
            },
        ),
    ];
    let mut desk = place.person("/ws?room=said");
    for n in 0..4 {
        desk.ask(&format!(r#"{{"type":"text","content":{n}}}"#));
    }
    are_alike(&place, rows);
}

#[test]
fn bad_content_and_bad_bytes_have_their_codes() {
    let place = Place::new(1);
    let mut twin = Twin::enter(&place, "/ws?room=r");
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for bad in ["hello", "", "1}", r#"1,"room":"x""#, r#""\ud800""#, "1e999999", &deep] {
        let content_json = Some(bad.to_owned());
        let answer =
            twin.ask(&Command { content_json, id: Some(4), ..Command::of(CommandType::Text) });
        assert_eq!(answer.code.as_deref(), Some("bad_json"), "{bad:.40}");
    }
    for bad in [&b"\xff\xff"[..], b"{\"type\":\"text\"}", b"\x1a\x02\xff\xff"] {
        twin.0.send(Frame::binary(bad).bytes());
        assert_eq!(twin.read().code.as_deref(), Some("bad_command"), "{bad:?}");
    }
    // Nothing at all is a command of no type.
    twin.0.send(Frame::binary(b"").bytes());
    assert_eq!(twin.read().code.as_deref(), Some("unknown_type"));
    twin.has_nothing();
}

#[test]
fn too_many_faults_end_a_twin_too() {
    let place = Place::with(1, Config { faults_per_minute_max: 2, ..Config::default() });
    let mut twin = Twin::enter(&place, "/ws");
    for _ in 0..3 {
        twin.send(&Command::default());
    }
    for _ in 0..3 {
        assert_eq!(twin.read().code.as_deref(), Some("unknown_type"));
    }
    twin.0.expect_close(1008);
}

#[test]
fn the_other_kind_of_frame_ends_the_connection() {
    let place = Place::new(1);
    let unsupported = CloseCode::UNSUPPORTED_DATA.get();
    let mut twin = Twin::enter(&place, "/ws");
    twin.0.send(Frame::text(r#"{"type":"heartbeat"}"#).bytes());
    twin.0.expect_close(unsupported);
    let mut person = place.person("/ws");
    person.0.send(Frame::binary(Command::of(CommandType::Heartbeat).encode_to_vec()).bytes());
    person.0.expect_close(unsupported);
}

#[test]
fn the_first_form_that_the_client_names_is_spoken() {
    let place = Place::new(1);
    for (offered, chosen) in [
        ("throng.v1.json", Some("throng.v1.json")),
        ("throng.v1.proto", Some("throng.v1.proto")),
        ("throng.v1.json, throng.v1.proto", Some("throng.v1.json")),
        ("throng.v2.proto, throng.v1.proto, throng.v1.json", Some("throng.v1.proto")),
        ("chat", None),
    ] {
        let mut client = place.client();
        client.send(Upgrade::new("/ws").header("Sec-WebSocket-Protocol", offered).bytes());
        assert_eq!(client.expect_upgrade().only("sec-websocket-protocol"), chosen);
        let is_binary = client.read_message().opcode == frame::BINARY;
        assert_eq!(is_binary, chosen == Some("throng.v1.proto"), "{offered}");
    }
}

/// A13 for the twin: no bytes of a client end the process, and nobody else is harmed by them.
#[test]
fn a13_no_bytes_of_a_twin_harm_the_loop() {
    let place = Place::with(1, Config { faults_per_minute_max: u16::MAX, ..Config::default() });
    let mut good = place.person("/ws?room=quiet&name=good");
    let mut bad = Twin::enter(&place, "/ws?room=r&name=bad");
    let mut random = Random::new(13);
    let seeds: Vec<Vec<u8>> = [
        text("r", &json!({"a": [1, "x"]})),
        Command { room: Some("r2".into()), ..Command::of(CommandType::Join) },
        Command { seq: Some(u64::MAX), id: Some(1), ..Command::of(CommandType::Heartbeat) },
        Command {
            user: Some("bad".into()),
            content_json: Some("1".into()),
            ..Command::of(CommandType::Direct)
        },
        Command { token: Some("a.b.c".into()), ..Command::of(CommandType::Refresh) },
    ]
    .iter()
    .map(Message::encode_to_vec)
    .collect();
    for _ in 0..3000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            match random.below(3) {
                0 => bytes.insert(at, random.next() as u8),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            }
        }
        bad.0.send(Frame::binary(bytes).bytes());
    }
    let last = Command { timestamp: Some(99), ..Command::of(CommandType::Heartbeat) };
    bad.send(&last);
    while bad.read().timestamp != Some(99) {}
    good.has_nothing();
}

// ---- the schema ----

fn schema() -> DescriptorPool {
    let folder = env!("CARGO_MANIFEST_DIR");
    let files = protox::compile([format!("{folder}/{SCHEMA}")], [format!("{folder}/docs")]);
    DescriptorPool::from_file_descriptor_set(files.expect("it compiles")).expect("it is sound")
}

/// Values that differ from each other and from the defaults, one for each field of the schema.
fn filled(message: &prost_reflect::MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut whole = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if depth > 0 && field.is_list() {
            continue; // a delivery in a delivery has none in it
        }
        let number = field.number();
        let value = match field.kind() {
            Kind::String if field.name() == "content_json" => Field::String("[5]".into()),
            Kind::String => Field::String(format!("text {number}")),
            Kind::Uint64 => Field::U64(u64::from(number) << 40),
            Kind::Bool => Field::Bool(true),
            Kind::Message(of) => Field::Message(filled(&of, depth + 1)),
            Kind::Enum(of) => Field::EnumNumber(of.values().count() as i32 - 1),
            other => panic!("a kind that the hub has no twin of: {other:?}"),
        };
        let value = if field.is_list() { Field::List(vec![value.clone(), value]) } else { value };
        whole.set_field(&field, value);
    }
    whole
}

/// What is published is what is spoken: each field has the same number, kind and presence, and
/// there is none besides.
#[test]
fn the_published_schema_is_that_of_the_hub() {
    let pool = schema();
    let check = |name: &str, twin: &dyn Fn(&[u8]) -> Vec<u8>| {
        let descriptor = pool.get_message_by_name(name).expect(name);
        let by_schema = filled(&descriptor, 0);
        let bytes = by_schema.encode_to_vec();
        // Through the hub's own struct and back: a field that it does not have would be gone.
        assert_eq!(twin(&bytes), bytes, "{name}");
        for field in descriptor.fields() {
            let mut only = DynamicMessage::new(descriptor.clone());
            only.set_field(&field, by_schema.get_field(&field).into_owned());
            let bytes = only.encode_to_vec();
            assert_eq!(twin(&bytes), bytes, "{name}.{}", field.name());
            // The default is told from what is not there, but for the type and lists.
            let is_told = field.name() != "type" && !field.is_list();
            assert_eq!(field.supports_presence(), is_told, "{name}.{}", field.name());
        }
    };
    check("throng.v1.Command", &|bytes| Command::decode(bytes).expect("ours").encode_to_vec());
    check("throng.v1.Delivery", &|bytes| Delivery::decode(bytes).expect("ours").encode_to_vec());
}

/// And nothing that the hub has is missing in the schema.
#[test]
fn the_published_schema_has_all_that_the_hub_has() {
    let pool = schema();
    let command = pool.get_message_by_name("throng.v1.Command").expect("a command");
    let whole = Command {
        kind: CommandType::History.into(),
        id: Some(0),
        room: Some(String::new()),
        user: Some(String::new()),
        content_json: Some(String::new()),
        sender: Some(String::new()),
        seq: Some(0),
        timestamp: Some(0),
        echo: Some(false),
        token: Some(String::new()),
        key: Some(String::new()),
        since: Some(Since::default()),
        limit: Some(0),
        before: Some(0),
        after: Some(0),
        message_id: Some(String::new()),
        session: Some(String::new()),
        rooms: vec![Stand::default()],
    };
    let read = DynamicMessage::decode(command, &*whole.encode_to_vec()).expect("by the schema");
    assert_eq!(read.unknown_fields().count(), 0);
    let delivery = pool.get_message_by_name("throng.v1.Delivery").expect("a delivery");
    let whole = Delivery {
        kind: DeliveryType::Heartbeat.into(),
        id: Some(0),
        room: Some(String::new()),
        content_json: Some(String::new()),
        content: Some(String::new()),
        sender: Some(String::new()),
        timestamp: Some(0),
        event: Some(String::new()),
        members: vec![String::new()],
        count: Some(0),
        code: Some(String::new()),
        retry_after_ms: Some(0),
        seq: Some(0),
        lost: Some(0),
        expires_at: Some(0),
        traceparent: Some(String::new()),
        epoch: Some(String::new()),
        offset: Some(0),
        recovered: Some(false),
        more: Some(false),
        messages: vec![Delivery::default()],
        duplicate: Some(false),
        after_ms: Some(0),
        session: Some(String::new()),
        rooms: vec![Stand::default()],
    };
    let read = DynamicMessage::decode(delivery, &*whole.encode_to_vec()).expect("by the schema");
    assert_eq!(read.unknown_fields().count(), 0);
}

#[test]
fn the_types_have_the_published_names() {
    let pool = schema();
    let names = |of: &str, name: &dyn Fn(i32) -> Option<String>| {
        let published = pool.get_enum_by_name(of).expect(of);
        for value in published.values().filter(|value| value.number() != 0) {
            assert_eq!(name(value.number()), Some(value.name().to_owned()), "{of}");
        }
        assert_eq!(name(published.values().count() as i32), None, "{of}: one is not published");
    };
    names("throng.v1.Command.Type", &|number| {
        let kind = CommandType::try_from(number).ok()?;
        assert_eq!(format!("{kind:?}").to_lowercase(), kind.name());
        Some(kind.name().to_uppercase())
    });
    names("throng.v1.Delivery.Type", &|number| {
        Some(format!("{:?}", DeliveryType::try_from(number).ok()?).to_uppercase())
    });
}

#[test]
fn the_schema_is_served() {
    let place = Place::new(1);
    let mut client = place.client();
    client.send(crate::common::http::get("/throng.v1.proto"));
    let answer = client.read_answer(false);
    let folder = env!("CARGO_MANIFEST_DIR");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, std::fs::read(format!("{folder}/{SCHEMA}")).expect("the file"));
}
