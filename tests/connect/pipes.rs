//! What a script sees: lines in, lines out.

use std::process::Command;
use std::thread;
use std::time::Duration;

use tungstenite::Message;

use crate::common::Server;
use crate::run::{Run, next_text, program, read_to_end, run, serve, url_of};

#[test]
fn each_line_of_a_pipe_is_a_text_and_comes_back_in_order() {
    let server = Server::echo(&[]);
    let mut run = run(&url_of(&server, "/"), &[], "one\n\n/ping\r\n  grüße\nlast".as_bytes());
    run.ends_with(0, "closed: 1000 (normal closure)");
    assert_eq!(run.out.text(), "one\n\n/ping\n  grüße\nlast\n");
    assert!(run.errors.text().starts_with("connected to ws://127.0.0.1:"));
}

#[test]
fn bytes_go_out_as_they_are_and_come_in_as_hexadecimal() {
    let server = Server::echo(&[]);
    let mut bytes = run(&url_of(&server, "/"), &["--binary"], b"\xff\x00\r\nA\n");
    bytes.ends_with(0, "");
    assert_eq!(bytes.out.text(), "ff000d\n41\n");

    let mut text = run(&url_of(&server, "/"), &[], b"one\n\xff\nthree\n");
    text.ends_with(2, "not UTF-8");
    let mut long = run(&url_of(&server, "/"), &["--max-message", "3"], b"one\ntwoo\n");
    long.ends_with(2, "longer than 3 bytes");
}

#[test]
fn commands_in_a_pipe_where_they_are_wanted() {
    let server = Server::echo(&[]);
    let input = b"/ping are you there\n/binary 00 ff\n//slash\n/close 4001 so long\nnever\n";
    let mut run = run(&url_of(&server, "/"), &["--commands"], input);
    run.ends_with(0, "closed: 4001 (a code of the application)");
    assert_eq!(run.out.text(), "00ff\n/slash\n");
    run.errors.wait_for(&["pong after ", " ms: are you there\n"]);
}

#[test]
fn a_wrong_command_in_a_pipe_is_not_passed_over() {
    let server = Server::echo(&[]);
    let mut run = run(&url_of(&server, "/"), &["--commands"], b"/png\nnever\n");
    run.ends_with(2, "no command is called /png");
    assert_eq!(run.out.text(), "");
}

#[test]
fn a_large_pipe_arrives_whole() {
    let server = Server::echo(&[]);
    let lines: String = (0..30_000).map(|n| format!("{n} {}\n", "x".repeat(n % 400))).collect();
    let mut run = run(&url_of(&server, "/"), &[], lines.as_bytes());
    run.ends_with(0, "");
    assert!(run.out.text() == lines, "{} of {} bytes", run.out.text().len(), lines.len());
}

#[test]
fn a_server_that_wants_to_be_read_first_does_not_stop_anything() {
    let (url, server) = serve(vec![|mut socket| {
        for _ in 0..32 {
            socket.send(Message::text("y".repeat(1 << 20))).expect("the client reads");
        }
        for number in 0..16 {
            let text = next_text(&mut socket);
            assert!(text.starts_with(&format!("{number} ")), "{:.9}", text);
            assert_eq!(text.len(), (1 << 20) + 2 + number / 10);
        }
        assert_eq!(read_to_end(socket), Some(1000));
    }]);
    let lines = (0..16).map(|n| format!("{n} {}\n", "x".repeat(1 << 20)));
    let mut run = run(&url, &[], lines.collect::<String>().as_bytes());
    run.ends_with(0, "");
    assert_eq!(run.out.text().len(), 32 * ((1 << 20) + 1));
    server.join().expect("the server is content");
}

#[test]
fn answers_that_take_long_are_waited_for() {
    let (url, _server) = serve(vec![|mut socket| {
        let text = next_text(&mut socket);
        thread::sleep(Duration::from_millis(800)); // longer than it lingers: the pong waits too
        socket.send(Message::text(text)).expect("the client listens");
        read_to_end(socket);
    }]);
    let mut run = run(&url, &["--linger", "0.1"], b"slow\n");
    run.ends_with(0, "closed: 1000");
    assert_eq!(run.out.text(), "slow\n");
}

#[test]
fn who_lingers_for_ever_hears_what_comes_later() {
    let server = Server::serve(&[]);
    let (mut ann, stdin) = Run::piped(&url_of(&server, "/ws?room=tea"), &["--linger", "forever"]);
    drop(stdin);
    ann.out.wait_for(&["welcome"]);
    thread::sleep(Duration::from_millis(700));
    let input = br#"{"type":"text","content":"hi"}"#;
    run(&url_of(&server, "/ws?room=tea&name=bob"), &[], input).ends_with(0, "");
    ann.out.wait_for(&["\"content\":\"hi\"", "\n"]);
    ann.signal("TERM");
    ann.ends_with(143, "closed: 1001");
}

#[test]
fn who_reads_the_output_may_stop() {
    let server = Server::echo(&[]);
    let mut command = Command::new("sh");
    let line = "yes | \"$0\" connect \"$1\" 2>/dev/null | head -n 2";
    command.arg("-c").arg(line).arg(program()).arg(url_of(&server, "/"));
    let output = command.output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\ny\n");
}
