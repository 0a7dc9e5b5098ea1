//! Who may ask.

use throng::hub::auth::Claims;

use crate::common::{RawClient, Server, eventually};
use crate::{
    KEY, Person, WITH_KEY, claims, code, now_s, request, server, server_with_tokens, token,
};

const ROUTES: [(&str, &str); 12] = [
    ("POST", "/api/publish"),
    ("POST", "/api/broadcast"),
    ("POST", "/api/users/ann/publish"),
    ("GET", "/api/rooms"),
    ("GET", "/api/rooms/r"),
    ("DELETE", "/api/rooms/r/members/ann"),
    ("GET", "/api/connections"),
    ("DELETE", "/api/connections/0.0.0"),
    ("DELETE", "/api/users/ann"),
    ("GET", "/api/revocations"),
    ("POST", "/api/revocations"),
    ("DELETE", "/api/revocations?sub=ann"),
];

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Status and code of a request with this in its Authorization header.
fn shown(server: &Server, method: &str, target: &str, shown: &str) -> (u16, String) {
    let bearer = format!("Bearer {shown}");
    let (answer, body) = request(server, method, target, &[("Authorization", &bearer)], "");
    (answer.status, if answer.status == 200 { String::new() } else { code(&body) })
}

#[test]
fn without_a_key_nothing_but_health_and_the_document() {
    let server = server(&[]);
    for (method, target) in ROUTES {
        for (headers, expected) in [
            (&[][..], "missing_key"),
            (&[("Authorization", "Basic a2V5LW9mLXRoZXNlLXRlc3RzLTAxMjM0NTY3ODk=")], "missing_key"),
            (&[("Cookie", "token=key-of-these-tests-0123456789")], "missing_key"),
            (&[("Authorization", "Bearer key-of-these-tests-012345678")], "bad_key"),
            (&[("Authorization", "Bearer KEY-of-these-tests-0123456789")], "bad_key"),
            (&[("Authorization", "Bearer")], "malformed_token"),
            (&[WITH_KEY, WITH_KEY], "repeated_token"),
        ] {
            let (answer, body) = request(&server, method, target, headers, "");
            assert_eq!((answer.status, &*code(&body)), (401, expected), "{method} {target}");
            assert_eq!(answer.only("www-authenticate"), Some("Bearer realm=\"throng\""));
        }
    }
    let in_query = format!("/api/rooms?token={KEY}");
    assert_eq!(request(&server, "GET", &in_query, &[], "").0.status, 401);
    let lower = [("Authorization", "bearer key-of-these-tests-0123456789")];
    assert_eq!(request(&server, "GET", "/api/rooms", &lower, "").0.status, 200);
    let (answer, body) = request(&server, "GET", "/api/health", &[], "");
    assert_eq!((answer.status, &body["status"]), (200, &"ok".into()));
    assert_eq!(request(&server, "GET", "/api/openapi.json", &[], "").0.status, 200);
}

#[test]
fn a_server_without_keys_has_no_way_in() {
    let server = Server::serve(&[]);
    for (method, target) in ROUTES {
        assert_eq!(shown(&server, method, target, KEY), (401, "bad_key".into()));
    }
    assert_eq!(request(&server, "GET", "/api/health", &[], "").0.status, 200);
}

#[test]
fn each_of_several_keys_opens_and_a_short_one_is_refused_at_the_start() {
    let server = server(&["--api-key", "another-key-0123456789"]);
    for key in [KEY, "another-key-0123456789"] {
        assert_eq!(shown(&server, "GET", "/api/rooms", key).0, 200);
    }
    for (key, words) in [("short-key", "9 bytes"), ("sixteen bytes ok!", "visible ASCII")] {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_throng"))
            .args(["serve", "--listen", "127.0.0.1:0", "--api-key", key])
            .output();
        let output = program.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
        assert!(!said.contains(key), "the key is in {said}");
    }
}

#[test]
fn a_token_opens_only_with_the_right_to_the_api() {
    let server = server_with_tokens(&[]);
    let with_right = |api| token(Claims { api, ..claims("ann") });
    assert_eq!(shown(&server, "GET", "/api/rooms", KEY).0, 200, "keys open beside tokens");
    assert_eq!(shown(&server, "GET", "/api/rooms", &with_right(true)).0, 200);
    let refused = shown(&server, "GET", "/api/rooms", &with_right(false));
    assert_eq!(refused, (403, "forbidden".into()));
    let old = token(Claims { api: true, exp: Some(now_s() - 1), ..claims("ann") });
    assert_eq!(shown(&server, "GET", "/api/rooms", &old), (401, "expired_token".into()));
    let forged = with_right(true) + "x";
    assert_eq!(shown(&server, "GET", "/api/rooms", &forged), (401, "bad_signature".into()));
    assert_eq!(shown(&server, "GET", "/api/rooms", "no.token"), (401, "bad_key".into()));
    let cookie = format!("token={}", with_right(true));
    let headers = [("Cookie", cookie.as_str()), ("Origin", "http://api.example")];
    assert_eq!(request(&server, "GET", "/api/rooms", &headers, "").0.status, 401);
}

#[test]
fn a_token_with_rooms_publishes_there_as_itself_and_does_nothing_else() {
    let server = server_with_tokens(&[]);
    let mut reader = Person::enter(&server, "/ws?room=team.a&name=bob");
    let rooms = r#"[{"match":"team.*","rights":["write"]},{"match":"@bob","rights":["write"]},
                    {"match":"news","rights":["read","presence"]}]"#;
    let rooms = Some(serde_json::from_str(rooms).expect("rooms"));
    let token = token(Claims { api: true, rooms, ..claims("ann") });
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), JSON];
    let publish = |target: &str, body: &str| request(&server, "POST", target, &headers, body);
    let body = r#"{"room":"team.a","content":1,"sender":"eve"}"#;
    assert_eq!(publish("/api/publish", body).0.status, 200);
    let text = reader.next_of("text");
    assert_eq!((&text["sender"], &text["content"]), (&"ann".into(), &1.into()));
    assert_eq!(publish("/api/users/bob/publish", r#"{"content":2}"#).0.status, 200);
    assert_eq!(reader.next_of("direct")["sender"], "ann");
    for (target, body) in [
        ("/api/publish", r#"{"room":"news","content":1}"#),
        ("/api/publish", r#"{"rooms":["team.a","secret"],"content":1}"#),
        ("/api/users/carl/publish", r#"{"content":1}"#),
        ("/api/broadcast", r#"{"content":1}"#),
    ] {
        let (answer, told) = publish(target, body);
        assert_eq!((answer.status, &*code(&told)), (403, "forbidden"), "{target} {body}");
    }
    for (method, target) in ROUTES.into_iter().filter(|(_, target)| !target.ends_with("publish")) {
        let (answer, told) = request(&server, method, target, &headers, "");
        assert_eq!((answer.status, &*code(&told)), (403, "forbidden"), "{method} {target}");
    }
}

#[test]
fn who_may_do_everything_may_name_a_sender() {
    let server = server_with_tokens(&[]);
    let mut reader = Person::enter(&server, "/ws?room=r");
    let bearer = format!("Bearer {}", token(Claims { api: true, ..claims("ann") }));
    for (body, sender) in
        [(r#"{"room":"r","content":1}"#, "ann"), (r#"{"room":"r","content":1,"sender":"x"}"#, "x")]
    {
        let headers = [("Authorization", bearer.as_str()), JSON];
        assert_eq!(request(&server, "POST", "/api/publish", &headers, body).0.status, 200);
        assert_eq!(reader.next_of("text")["sender"], sender);
    }
}

#[test]
fn too_many_requests_are_told_when_to_come_back() {
    // One loop: the clocks of several are some milliseconds apart, and so is what they let in.
    let server = Server::serve(&["--api-key", KEY, "--api-rate", "2"]);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let (answer, body) = request(&server, "GET", "/api/rooms", &[WITH_KEY], "");
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(code(&body), "rate_limited");
            assert_eq!(answer.only("retry-after"), Some("1"));
        }
    }
    assert_eq!(statuses[..4], [200; 4], "twice the rate may come at once");
    assert!(statuses.contains(&429), "{statuses:?}");
    // Who is not believed is held apart, and takes nothing from those who are.
    let guess = "GET /api/rooms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-guess\r\n\r\n";
    let mut client = RawClient::connect(&server);
    client.send(guess.repeat(200));
    let strangers: Vec<_> = (0..200).map(|_| client.read_answer(false).status).collect();
    assert_eq!(strangers[..100], [401; 100]);
    assert!(strangers.contains(&429), "{strangers:?}");
    assert_eq!(request(&server, "GET", "/api/health", &[], "").0.status, 200);
}

#[test]
fn the_key_may_come_from_the_environment_and_gets_into_no_log() {
    let environment = [("THRONG_API_KEY", KEY), ("THRONG_LOG", "trace")];
    let server = Server::serve_with(&environment, &[]);
    assert_eq!(shown(&server, "GET", "/api/rooms", KEY).0, 200);
    assert_eq!(shown(&server, "GET", "/api/rooms", "another-key-0123456789").0, 401);
    eventually("both are in the log", 5.0, || {
        server.errors().matches("answered by the API").count() == 2
    });
    let log = server.errors();
    assert!(!log.contains(KEY) && !log.contains("another-key"), "{log}");
}
