//! Tokens and `throng serve`, the real program.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use throng::hub::auth::Claims;

use crate::common::{Frame, RawClient, Server, Upgrade};
use crate::support::{SECRET, Scratch, ann, token};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A good token of Ann's, for the clock of this machine.
fn good() -> String {
    token(&Claims { exp: Some(now_s() + 60), ..ann() })
}

fn serve(flags: &[&str]) -> (Server, Scratch) {
    let secret = Scratch::new(SECRET);
    let file = secret.0.to_str().expect("UTF-8");
    let flags = [&["--jwt-secret-file", file, "--require-token"], flags].concat();
    (Server::serve(&flags), secret)
}

#[test]
fn a_token_may_be_the_first_message() {
    let (server, _secret) = serve(&["--first-message-token"]);
    let mut client = RawClient::open(&server, "/ws?room=r");
    client.send(Frame::text(format!(r#"{{"type":"auth","token":"{}"}}"#, good())).bytes());
    let welcome: Value = serde_json::from_str(&client.read_text()).expect("JSON");
    assert_eq!((&welcome["type"], &welcome["sender"]), (&"welcome".into(), &"ann".into()));
    let mut client = RawClient::open(&server, "/ws?room=r");
    client.send(Frame::text(r#"{"type":"text","content":1}"#).bytes());
    client.expect_close(1008);
}

#[test]
fn a_token_may_be_refused_after_the_upgrade() {
    let (server, _secret) = serve(&["--refuse-after-upgrade"]);
    let mut client = RawClient::open(&server, "/ws?token=x");
    let close = client.read_frame();
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(1008), &b"malformed_token"[..]));
    let (server, _secret) = serve(&[]);
    let mut client = RawClient::connect(&server);
    client.send(Upgrade::new("/ws?token=x").bytes());
    assert_eq!(client.read_answer(false).status, 401);
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let secret = Scratch::new(SECRET);
    let file = secret.0.to_str().expect("UTF-8");
    for flags in [
        &["--require-token"][..],
        &["--first-message-token"],
        &["--first-message-token", "--jwt-secret-file", file],
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_throng"));
        let output = program.args(["serve", "--listen", "127.0.0.1:0"]).args(flags).output();
        let output = output.expect("the program");
        assert!(!output.status.success(), "{flags:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(" needs "), "{flags:?}");
    }
}
