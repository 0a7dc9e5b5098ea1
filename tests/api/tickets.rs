//! Web rule 10: tickets, from who asks for one to who connects by it.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use throng::hub::auth::{Claims, Limits, RoomClaim};

use crate::common::{Answer, RawClient, Server, Upgrade};
use crate::{
    KEY, Person, api, claims, code, fault, now_s, request, server, server_with_tokens, token,
};

const PAGE: &str = "https://app.example.com";
const FROM_PAGE: &[&str] = &["--allow-origin", PAGE, "--allow-origin", "https://b.example"];

fn ticket(server: &Server, body: &str) -> String {
    api(server, "POST", "/api/tickets", body)["ticket"].as_str().expect("a ticket").to_owned()
}

fn ask_with(server: &Server, token: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let own = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let (answer, body) =
        request(server, "POST", "/api/tickets", &[&own[..], headers].concat(), body);
    (answer.status, body)
}

fn upgrade(ticket: &str, origin: Option<&str>) -> Upgrade {
    let upgrade = Upgrade::new(&format!("/ws?room=r&ticket={ticket}"));
    origin.into_iter().fold(upgrade, |upgrade, origin| upgrade.header("Origin", origin))
}

fn knock(server: &Server, upgrade: &Upgrade) -> Answer {
    let mut client = RawClient::connect(server);
    client.send(upgrade.bytes());
    client.read_answer(false)
}

/// The code of a handshake that is refused with 401.
fn refusal(server: &Server, upgrade: &Upgrade) -> String {
    let answer = knock(server, upgrade);
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer.status, 401, "{body}");
    body["error"].as_str().expect("a code").to_owned()
}

/// A list that is `null` or too long is none: it must not become every room.
#[test]
fn rooms_of_a_ticket_are_as_those_of_a_token() {
    let server = server(FROM_PAGE);
    let many: Vec<Value> = (0..65).map(|n| json!({"match": n.to_string()})).collect();
    for rooms in [json!(null), json!(many), json!("a")] {
        let body = json!({"sub": "ann", "origin": PAGE, "rooms": rooms}).to_string();
        let key = format!("Bearer {KEY}");
        let own = [("Authorization", &*key), ("Content-Type", "application/json")];
        let (answer, told) = request(&server, "POST", "/api/tickets", &own, &body);
        assert_eq!(answer.status, 400, "{told}");
    }
}

/// However the loops take the connections: each ticket is good once.
#[test]
fn rule_10_a_ticket_is_good_once_and_for_its_page() {
    let server = server(FROM_PAGE);
    for _ in 0..8 {
        let ticket = ticket(&server, &json!({"sub": "ann", "origin": PAGE}).to_string());
        let other = upgrade(&ticket, Some("https://b.example"));
        assert_eq!(refusal(&server, &other), "ticket_of_other_origin");
        assert_eq!(refusal(&server, &upgrade(&ticket, None)), "ticket_of_other_origin");
        assert_eq!(knock(&server, &upgrade(&ticket, Some("https://evil.example"))).status, 403);
        let (_person, welcome) = Person::enter_with(&server, &upgrade(&ticket, Some(PAGE)));
        assert_eq!((&welcome["sender"], &welcome["room"]), (&json!("ann"), &json!("r")));
        for _ in 0..4 {
            assert_eq!(refusal(&server, &upgrade(&ticket, Some(PAGE))), "used_ticket");
        }
    }
    let for_programs = ticket(&server, r#"{"sub":"ann"}"#);
    assert_eq!(refusal(&server, &upgrade(&for_programs, Some(PAGE))), "ticket_of_other_origin");
    Person::enter_with(&server, &upgrade(&for_programs, None));
}

/// Of many that come at once with the same ticket, one comes in.
#[test]
fn rule_10_of_all_who_show_a_ticket_at_once_one_comes_in() {
    let server = server(&[]);
    let ticket = ticket(&server, r#"{"sub":"ann"}"#);
    let mut clients: Vec<_> = (0..24).map(|_| RawClient::connect(&server)).collect();
    clients.iter_mut().for_each(|client| client.send(upgrade(&ticket, None).bytes()));
    let statuses: Vec<_> =
        clients.iter_mut().map(|client| client.read_answer(false).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 101).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [101, 401].contains(status)), "{statuses:?}");
}

#[test]
fn rule_10_a_ticket_ends_and_is_of_one_process() {
    let server = server(&["--ticket-life", "0.3"]);
    let late = ticket(&server, r#"{"sub":"ann"}"#);
    thread::sleep(Duration::from_millis(350));
    assert_eq!(refusal(&server, &upgrade(&late, None)), "expired_ticket");
    let other = self::server(&[]);
    let fresh = ticket(&other, r#"{"sub":"ann"}"#);
    assert_eq!(refusal(&server, &upgrade(&fresh, None)), "bad_ticket");
    for bad in ["", "x", "a.b", &fresh.replace('.', "x"), &fresh[..fresh.len() - 1]] {
        assert_eq!(refusal(&other, &upgrade(bad, None)), "bad_ticket", "{bad}");
    }
    let twice = Upgrade::new(&format!("/ws?ticket={fresh}&ticket={fresh}"));
    assert_eq!(refusal(&other, &twice), "repeated_token");
    Person::enter_with(&other, &upgrade(&fresh, None));
}

/// A page asks without a handshake why one was refused: that uses nothing up.
#[test]
fn rule_10_to_ask_is_not_to_use() {
    let server = server(FROM_PAGE);
    let ticket = ticket(&server, &json!({"sub": "ann", "origin": PAGE}).to_string());
    let probe = |origin: &str| {
        let mut client = RawClient::connect(&server);
        let head = format!("GET /ws?ticket={ticket} HTTP/1.1\r\nHost: localhost\r\n{origin}\r\n");
        client.send(head);
        let answer = client.read_answer(false);
        (answer.status, String::from_utf8(answer.body).expect("UTF-8"))
    };
    assert_eq!(probe("").0, 426);
    assert_eq!(probe(&format!("Origin: {PAGE}\r\n")).0, 426);
    let (status, words) = probe("Origin: https://b.example\r\n");
    assert!(status == 401 && words.contains("ticket_of_other_origin"), "{status} {words}");
    Person::enter_with(&server, &upgrade(&ticket, Some(PAGE)));
    let (status, words) = probe("");
    assert!(status == 401 && words.contains("used_ticket"), "{status} {words}");
}

#[test]
fn a_user_asks_for_a_ticket_of_its_own_rights() {
    let server = server_with_tokens(FROM_PAGE);
    let rooms: Vec<RoomClaim> =
        serde_json::from_str(r#"[{"match":"r","rights":["read"]}]"#).expect("rooms");
    let exp = now_s() + 40;
    let narrow = token(Claims { rooms: Some(rooms), exp: Some(exp), ..claims("ann") });
    let page = [("Origin", PAGE)];
    let (status, body) = ask_with(&server, &narrow, &page, "{}");
    assert_eq!(status, 200, "{body}");
    let ends_s = body["expires_at"].as_u64().expect("a time") / 1000;
    assert!((now_s() + 28..=now_s() + 30).contains(&ends_s), "{body}");
    let ticket = body["ticket"].as_str().expect("a ticket");
    let (mut ann, welcome) = Person::enter_with(&server, &upgrade(ticket, Some(PAGE)));
    assert_eq!((&welcome["sender"], &welcome["expires_at"]), (&json!("ann"), &json!(exp * 1000)));
    ann.send(r#"{"type":"text","id":1,"content":"hi"}"#);
    assert_eq!(ann.next_of("error")["code"], "forbidden");
    // A token goes on where a ticket has begun.
    let longer = token(Claims { exp: Some(exp + 20), ..claims("ann") });
    ann.send(&format!(r#"{{"type":"refresh","id":2,"token":"{longer}"}}"#));
    assert_eq!(ann.next_of("ok")["expires_at"], (exp + 20) * 1000);

    for body in [
        r#"{"sub":"bob"}"#,
        r#"{"rooms":[]}"#,
        r#"{"exp":9999999999}"#,
        r#"{"priority":"high"}"#,
        r#"{"limits":{"rooms":9}}"#,
    ] {
        assert_eq!(ask_with(&server, &narrow, &page, body).0, 403, "{body}");
    }
    assert_eq!(ask_with(&server, &narrow, &page, r#"{"sub":"ann"}"#).0, 200);
    let evil = [("Origin", "https://evil.example")];
    assert_eq!(ask_with(&server, &narrow, &evil, "{}").0, 403);
    assert_eq!(ask_with(&server, "no-token", &page, "{}").0, 401);
    // It opens nothing else.
    let bearer = format!("Bearer {narrow}");
    let (answer, _) = request(&server, "GET", "/api/rooms", &[("Authorization", &*bearer)], "");
    assert_eq!(answer.status, 403);
}

#[test]
fn a_key_says_what_the_bearer_may_do() {
    let server = server(&[]);
    let exp = now_s() + 5;
    let body = json!({"sub": "bob", "exp": exp, "limits": {"rooms": 1}, "priority": "low",
        "rooms": [{"match": "r", "rights": ["read", "write"]},
            {"match": "s", "rights": ["read"]}]});
    let (mut bob, welcome) =
        Person::enter_with(&server, &upgrade(&ticket(&server, &body.to_string()), None));
    assert_eq!(welcome["expires_at"], exp * 1000);
    for (room, expected) in [("other", "forbidden"), ("s", "too_many_rooms")] {
        bob.send(&format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#));
        assert_eq!(bob.next_of("error")["code"], expected);
    }
    assert_eq!(bob.next_close(), (1008, "expired_token".into()));
    let (_, welcome) =
        Person::enter_with(&server, &upgrade(&ticket(&server, r#"{"sub":"bob"}"#), None));
    let ends_s = welcome["expires_at"].as_u64().expect("an end") / 1000;
    assert!((now_s() + 3590..=now_s() + 3600).contains(&ends_s), "an hour: {welcome}");
    let wide: Vec<_> =
        (0..64).map(|n| json!({"match": format!("{n}{}", "x".repeat(99)), "rights": []})).collect();
    for (body, expected) in [
        ("{}".to_owned(), "bad_request"),
        (r#"{"sub":""}"#.into(), "bad_name"),
        (r#"{"sub":"a","exp":1}"#.into(), "bad_request"),
        (r#"{"sub":"a","origin":"app.example.com"}"#.into(), "bad_request"),
        (r#"{"sub":"a","origin":"https://app.example.com/"}"#.into(), "bad_request"),
        (r#"{"sub":"a","rooms":[{"match":"a","rights":["fly"]}]}"#.into(), "bad_request"),
        (r#"{"sub":"a","ttl":9}"#.into(), "bad_request"),
        (json!({"sub": "a", "rooms": wide}).to_string(), "bad_request"),
    ] {
        let refused = fault(&server, "POST", "/api/tickets", &body);
        assert_eq!(refused, (400, expected.to_owned()), "{body:.60}");
    }
    let (answer, body) = request(&server, "POST", "/api/tickets", &[], "{}");
    assert_eq!((answer.status, &*code(&body)), (401, "missing_key"));
}

#[test]
fn a_ticket_of_a_revoked_token_is_none() {
    let server = server_with_tokens(&[]);
    let jti = token(Claims { jti: Some("t1".into()), ..claims("ann") });
    let (_, body) = ask_with(&server, &jti, &[], "{}");
    let of_token = body["ticket"].as_str().expect("a ticket").to_owned();
    let of_key = ticket(&server, r#"{"sub":"bob"}"#);
    api(&server, "POST", "/api/revocations", r#"{"jti":"t1"}"#);
    api(&server, "POST", "/api/revocations", r#"{"sub":"bob"}"#);
    for ticket in [of_token, of_key] {
        assert_eq!(refusal(&server, &upgrade(&ticket, None)), "revoked_token");
    }
}

/// A server that knows no tokens can ask everybody for a ticket.
#[test]
fn rule_10_with_a_key_alone_nobody_comes_in_without_a_ticket() {
    let server = server(&["--require-token"]);
    assert_eq!(refusal(&server, &Upgrade::new("/ws?room=r")), "missing_token");
    let unknown = format!("/ws?room=r&token={}", token(claims("ann")));
    assert_eq!(refusal(&server, &Upgrade::new(&unknown)), "wrong_issuer");
    let ticket = ticket(&server, r#"{"sub":"ann"}"#);
    Person::enter_with(&server, &upgrade(&ticket, None));
}

#[test]
fn more_used_tickets_than_are_remembered_are_refused() {
    let server = server(&["--max-tickets", "1"]);
    let all: Vec<_> = (0..2).map(|_| ticket(&server, r#"{"sub":"ann"}"#)).collect();
    Person::enter_with(&server, &upgrade(&all[0], None));
    let answer = knock(&server, &upgrade(&all[1], None));
    assert_eq!((answer.status, answer.only("retry-after")), (503, Some("1")), "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["error"], "tickets_full");
}

#[test]
fn a_ticket_is_refused_after_the_upgrade_where_tokens_are() {
    let server = server_with_tokens(&["--refuse-after-upgrade", "--require-token"]);
    let ticket = ticket(&server, r#"{"sub":"ann"}"#);
    Person::enter_with(&server, &upgrade(&ticket, None));
    let mut client = RawClient::connect(&server);
    client.send(upgrade(&ticket, None).bytes());
    client.expect_upgrade();
    assert_eq!(Person(client).next_close(), (1008, "used_ticket".into()));
}

/// The claim `limits.connections`, by token and by ticket, over all loops.
#[test]
fn a_token_says_how_many_connections_its_user_has() {
    let server = server_with_tokens(&["--max-connections-per-user", "3"]);
    let limits = |connections| Limits { connections: Some(connections), ..Limits::default() };
    let by = |claims: Claims| Upgrade::new(&format!("/ws?token={}", token(claims)));
    let two = by(Claims { limits: limits(2), ..claims("ann") });
    let mut inside: Vec<_> = (0..2).map(|_| Person::enter_with(&server, &two).0).collect();
    let refused = knock(&server, &two);
    let body: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(refused.status, 429);
    let told = (&body["error"], &body["limit"]);
    assert_eq!(told, (&json!("rate_limited"), &json!("connections_per_user")));
    assert!(refused.only("retry-after").is_some());
    let ticket_of = ticket(&server, r#"{"sub":"ann","limits":{"connections":2}}"#);
    assert_eq!(knock(&server, &upgrade(&ticket_of, None)).status, 429);
    // In place of what holds for others, in both directions.
    inside.push(Person::enter_with(&server, &by(claims("ann"))).0);
    assert_eq!(knock(&server, &by(claims("ann"))).status, 429);
    let four = by(Claims { limits: limits(4), ..claims("ann") });
    inside.push(Person::enter_with(&server, &four).0);
    assert_eq!(knock(&server, &four).status, 429);
    assert_eq!(knock(&server, &by(Claims { limits: limits(0), ..claims("bob") })).status, 429);
    // Who has left counts no more.
    drop(inside);
    crate::common::eventually("there is room again", 5.0, || knock(&server, &two).status == 101);
}

/// Without a limit of the server's own it is asked for all the same.
#[test]
fn the_claim_needs_no_flag() {
    let server = server_with_tokens(&[]);
    let limits = Limits { connections: Some(1), ..Limits::default() };
    let one = token(Claims { limits, ..claims("ann") });
    let upgrade = Upgrade::new("/ws").header("Authorization", format!("Bearer {one}"));
    let _inside = Person::enter_with(&server, &upgrade);
    assert_eq!(knock(&server, &upgrade).status, 429);
    let echo = Upgrade::new("/echo").header("Authorization", format!("Bearer {one}"));
    assert_eq!(knock(&server, &echo).status, 429);
    assert_eq!(knock(&server, &Upgrade::new("/ws")).status, 101);
}
