//! The list of revocations.

use std::time::{Duration, Instant};

use serde_json::json;
use throng::hub::auth::Claims;

use crate::common::{RawClient, Server, Upgrade};
use crate::{Person, api, claims, fault, now_s, server, server_with_tokens, token};

fn enter(server: &Server, token: &str) -> Person {
    Person::enter(server, &format!("/ws?room=r&token={token}"))
}

/// The handshake is refused with this token.
fn is_refused(server: &Server, token: &str) {
    let mut client = RawClient::connect(server);
    client.send(Upgrade::new(&format!("/ws?token={token}")).bytes());
    let answer = client.expect_refusal(&[401]);
    assert!(String::from_utf8_lossy(&answer.body).contains("revoked_token"), "{answer:?}");
}

#[test]
fn a_token_is_revoked_by_its_name_on_every_loop_within_a_second() {
    let server = server_with_tokens(&["--require-token"]);
    let one = |jti: &str| token(Claims { jti: Some(jti.into()), ..claims("ann") });
    let (bad, good) = (one("bad"), one("good"));
    let mut revoked: Vec<_> = (0..6).map(|_| enter(&server, &bad)).collect();
    let mut echo = RawClient::open(&server, &format!("/echo?token={bad}"));
    let mut stays = enter(&server, &good);
    let began = Instant::now();
    let done = api(&server, "POST", "/api/revocations", r#"{"jti":"bad"}"#);
    assert_eq!(done["count"], 7);
    for person in &mut revoked {
        assert_eq!(person.next_close(), (1008, "revoked_token".into()));
    }
    assert_eq!(echo.read_frame().close_code(), Some(1008));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    is_refused(&server, &bad);
    drop(enter(&server, &good));
    stays.send(r#"{"type":"heartbeat","seq":1}"#);
    assert_eq!(stays.next_of("heartbeat")["seq"], 1);
}

#[test]
fn the_tokens_of_a_user_are_revoked_up_to_a_time() {
    let server = server_with_tokens(&[]);
    let made = |sub: &str, iat| token(Claims { iat, ..claims(sub) });
    let now_s = now_s();
    let (old, new) = (made("ann", Some(now_s - 100)), made("ann", Some(now_s - 50)));
    let (mut first, mut second) = (enter(&server, &old), enter(&server, &new));
    let mut bob = enter(&server, &made("bob", None));
    let body = json!({ "sub": "ann", "issued_until_s": now_s - 60, "ends_s": now_s + 1000 });
    assert_eq!(api(&server, "POST", "/api/revocations", &body.to_string())["count"], 1);
    assert_eq!(first.next_close(), (1008, "revoked_token".into()));
    is_refused(&server, &old);
    drop(enter(&server, &new));
    // Without a time it is now.
    assert_eq!(api(&server, "POST", "/api/revocations", r#"{"sub":"ann"}"#)["count"], 1);
    assert_eq!(second.next_close().1, "revoked_token");
    is_refused(&server, &new);
    bob.send(r#"{"type":"heartbeat","seq":1}"#);
    assert_eq!(bob.next_of("heartbeat")["seq"], 1);
}

#[test]
fn the_list_is_shown_and_an_entry_can_be_taken_out() {
    let server = server_with_tokens(&[]);
    let ends_s = now_s() + 1000;
    let revoke = |body: serde_json::Value| {
        api(&server, "POST", "/api/revocations", &body.to_string());
    };
    revoke(json!({ "jti": "t 1", "ends_s": ends_s }));
    revoke(json!({ "sub": "ann", "issued_until_s": 5 }));
    revoke(json!({ "jti": "over", "ends_s": 7 }));
    let all = api(&server, "GET", "/api/revocations", "");
    let token_entry = json!({ "jti": "t 1", "ends_s": ends_s });
    let user_entry = json!({ "sub": "ann", "issued_until_s": 5 });
    assert_eq!(all, json!({ "revocations": [token_entry, user_entry], "count": 2 }));
    let some = api(&server, "GET", "/api/revocations?limit=1", "");
    assert_eq!(
        (&some["count"], some["revocations"].as_array().map(Vec::len)),
        (&2.into(), Some(1))
    );
    let one = api(&server, "GET", "/api/revocations?jti=t%201", "");
    assert_eq!(one, json!({ "revocations": [token_entry], "count": 1 }));
    assert_eq!(api(&server, "GET", "/api/revocations?sub=bob", "")["count"], 0);
    let token = token(Claims { jti: Some("t 1".into()), ..claims("x") });
    is_refused(&server, &token);
    assert_eq!(api(&server, "DELETE", "/api/revocations?jti=t+1", ""), json!({ "ok": true }));
    drop(enter(&server, &token));
    let again = fault(&server, "DELETE", "/api/revocations?jti=t+1", "");
    assert_eq!(again, (404, "not_revoked".into()));
}

#[test]
fn what_names_no_token_is_refused() {
    let tokens = server_with_tokens(&[]);
    for (body, expected) in [
        ("{}", "bad_request"),
        (r#"{"jti":"a","sub":"b"}"#, "bad_request"),
        (r#"{"jti":"a","issued_until_s":1}"#, "bad_request"),
        (r#"{"sub":"a","issued_until_s":-1}"#, "bad_request"),
        (r#"{"sub":"a","before":1}"#, "bad_request"),
        (r#"{"sub":""}"#, "bad_name"),
        (r#"{"jti":"a\u0000"}"#, "bad_name"),
    ] {
        let refused = fault(&tokens, "POST", "/api/revocations", body);
        assert_eq!(refused, (400, expected.into()), "{body}");
    }
    for query in ["", "?jti=a&sub=b"] {
        let refused = fault(&tokens, "DELETE", &format!("/api/revocations{query}"), "");
        assert_eq!(refused, (400, "bad_query".into()), "{query}");
    }
    let none = server(&[]);
    for (method, body) in [("GET", ""), ("POST", r#"{"sub":"a"}"#), ("DELETE", "")] {
        let refused = fault(&none, method, "/api/revocations?sub=a", body);
        assert_eq!(refused, (404, "no_tokens".into()), "{method}");
    }
}
