//! A server whose loops are too far behind to be told: in this process, with mailboxes that take
//! nothing.

use std::sync::Arc;

use throng::hub::auth::{ApiKeys, AuthConfig, Authenticator, Issuer};
use throng::hub::{Config, Door, Hub};
use throng::net;

use crate::running::Running;
use crate::{KEY, SECRET, WITH_KEY, code};

fn behind() -> Running {
    let config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    let door = Arc::new(Door {
        api_keys: Some(ApiKeys::new(&[KEY]).expect("a good key")),
        authenticator: Some(Arc::new(Authenticator::new(config).expect("one key"))),
        ..Door::default()
    });
    let full = net::Config { mailbox_max: 0, ..net::Config::default() };
    Running::start(full, 2, move |index, mailboxes| {
        Hub::with_config(index, mailboxes.clone(), Config::default()).behind(Arc::clone(&door))
    })
}

#[test]
fn what_could_not_be_done_is_answered_at_once_with_503() {
    let server = behind();
    let (name, value) = WITH_KEY;
    for (method, target, body) in [
        ("POST", "/api/publish", r#"{"room":"r","content":1}"#),
        ("POST", "/api/broadcast", r#"{"content":1}"#),
        ("POST", "/api/revocations", r#"{"sub":"ann"}"#),
        ("DELETE", "/api/users/ann", "{}"),
        ("DELETE", "/api/connections/0.0.0", "{}"),
        ("DELETE", "/api/rooms/r/members/ann", "{}"),
        ("GET", "/api/rooms", "{}"),
        ("GET", "/api/connections", "{}"),
    ] {
        let mut client = server.client();
        client.note(target);
        let length = body.len();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let answer = client.read_answer(false);
        let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        if method == "GET" {
            assert_eq!((answer.status, &told["complete"]), (200, &false.into()), "{target}");
        } else {
            assert_eq!((answer.status, &*code(&told)), (503, "overloaded"), "{target}");
            assert_eq!(answer.only("retry-after"), Some("1"));
        }
    }
}
