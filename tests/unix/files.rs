//! The file of a socket: who may connect, who has it, and when it is gone.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::common::frame::CLOSE;
use crate::common::server::program;
use crate::common::{Expect, Frame, Server, eventually};
use crate::{Alone, open, place};

/// What `throng` says on standard error when it does not start.
fn complaint(flags: &[&str]) -> String {
    let output = Command::new(program()).args(flags).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn the_first_line_names_the_socket_and_its_end_removes_it() {
    for command in ["serve", "echo"] {
        let (_folder, path, listen) = place();
        let mut server = Alone::start(&[command, "--listen", &listen]);
        assert_eq!(server.line(), format!("listening on http://unix:{path}"));
        let metadata = fs::metadata(&path).expect("a file");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
        let mut client = open(&path, "/echo");
        client.send(Frame::text("hello").bytes());
        client.expect(&Expect::text("hello"));
        server.signal("TERM");
        assert_eq!(client.read_frame().close_code(), Some(1001));
        client.send(Frame::close(1001, "").bytes());
        drop(client);
        let status = server.child.wait().expect("it ends");
        assert!(status.success() && !fs::exists(&path).expect("a folder"), "{status}");
    }
}

#[test]
fn the_mode_says_who_may_connect() {
    let (_folder, path, listen) = place();
    let flags = ["echo", "--listen", &listen, "--unix-mode", "600"];
    let mut server = Alone::start(&flags);
    assert!(server.line().ends_with(&path));
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let mut wrong = Command::new(program());
    let wrong = wrong.args(["echo", "--unix-mode", "rw"]).output().expect("it starts");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("must be a mode in octal"));
}

#[test]
fn what_a_dead_server_left_is_replaced_and_a_live_one_is_not_harmed() {
    let (_folder, path, listen) = place();
    let flags = ["serve", "--listen", &listen];
    let mut killed = Alone::start(&flags);
    killed.line();
    killed.child.kill().expect("it lives");
    killed.child.wait().expect("it ends");
    assert!(fs::exists(&path).expect("a folder"));
    let mut server = Alone::start(&flags);
    assert_eq!(server.line(), format!("listening on http://unix:{path}"));
    let expected = format!(
        "throng: cannot listen on unix:{path}: a server listens there; stop it, or take another \
         path by --listen"
    );
    assert_eq!(complaint(&flags), expected);
    open(&path, "/echo").expect_open();
}

#[test]
fn what_cannot_be_listened_on_is_said_with_what_to_do() {
    let (folder, path, listen) = place();
    fs::write(&path, "words").expect("a file");
    let expected = format!(
        "throng: cannot listen on unix:{path}: a file stands there that is no socket; remove it, \
         or take another path by --listen"
    );
    assert_eq!(complaint(&["serve", "--listen", &listen]), expected);
    assert_eq!(fs::read(&path).expect("still there"), b"words");
    let nowhere = folder.file("nowhere/socket");
    let said = complaint(&["echo", "--listen", &format!("unix:{nowhere}")]);
    let expected = format!(
        "throng: cannot listen on unix:{nowhere}: No such file or directory (os error 2); make its \
         folder first"
    );
    assert_eq!(said, expected);
    let said = complaint(&["serve", "--listen", "unix:"]);
    assert_eq!(said, "throng: --listen: unix: needs a path, such as unix:/run/throng.sock");
    let long = format!("unix:/{}", "x".repeat(200));
    let said = complaint(&["serve", "--listen", &long]);
    assert!(said.starts_with(&format!("throng: --listen: {long}: ")), "{said}");
}

/// By a server that is none of ours: whether somebody listens is found by connecting.
#[test]
fn a_socket_of_another_program_is_left_alone() {
    let (_folder, path, listen) = place();
    let other = UnixListener::bind(&path).expect("a socket");
    assert!(complaint(&["echo", "--listen", &listen]).contains("a server listens there"));
    drop(other);
    let mut server = Alone::start(&["echo", "--listen", &listen]);
    assert!(server.line().ends_with(&path));
}

#[test]
fn it_stands_beside_tcp_and_all_loops_have_it() {
    let (_folder, path, listen) = place();
    let mut server = Server::serve(&["--listen", &listen, "--loops", "3"]);
    let mut people: Vec<_> =
        (0..12).map(|n| open(&path, &format!("/ws?room=r&name=unix{n}"))).collect();
    for person in &mut people {
        while !person.read_text().contains("welcome") {}
    }
    let mut by_tcp = crate::common::RawClient::open(&server, "/ws?room=r&name=tcp");
    while !by_tcp.read_text().contains("welcome") {}
    by_tcp.send(Frame::text(r#"{"type":"text","content":"to all of you"}"#).bytes());
    for person in &mut people {
        while !person.read_text().contains("to all of you") {}
    }
    server.signal("TERM");
    for person in &mut people {
        // The hint when to come back, perhaps, and then the Close.
        eventually("each is told of the end", 5.0, || person.read_frame().opcode == CLOSE);
    }
    drop(people);
    drop(by_tcp);
    assert!(server.wait_exit(10.0).success());
    assert!(!fs::exists(&path).expect("a folder"));
}

#[test]
fn a_large_message_comes_back_whole() {
    let (_folder, path, listen) = place();
    let _server = Server::echo(&["--listen", &listen]);
    let mut client = open(&path, "/");
    let large: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
    for _ in 0..2 {
        client.send(Frame::binary(&large).bytes());
        assert!(client.read_message().payload == large);
    }
}
