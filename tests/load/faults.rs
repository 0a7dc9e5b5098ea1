//! Servers that do something wrong: each is found out.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::Message;

use crate::run::{Socket, figure, load, load_json, serve, serve_raw};

/// Echoes, and lets `spoil` do what it likes to each message, by its number.
fn echo(mut socket: Socket, spoil: impl Fn(u64, Message) -> Option<Message>) {
    let mut number = 0;
    while let Ok(message) = socket.read() {
        if !message.is_binary() && !message.is_text() {
            continue;
        }
        number += 1;
        let Some(reply) = spoil(number, message) else { return };
        if socket.send(reply).is_err() {
            return;
        }
    }
}

fn echo_load(url: &str, more: &[&str]) -> (i32, serde_json::Value) {
    let common = ["echo", url, "-c", "1", "-s", "40", "-t", "0.4", "-w", "0", "--timeout", "0.5"];
    load_json(&[&common, more].concat())
}

#[test]
fn a_wrong_byte_is_found() {
    let url = serve(|socket| {
        echo(socket, |number, message| {
            let mut bytes = message.into_data().to_vec();
            if number == 10 {
                bytes[39] ^= 0x20;
            }
            Some(Message::binary(bytes))
        });
    });
    let (status, value) = echo_load(&url, &[]);
    assert_eq!((status, figure(&value, "errors/mismatched")), (3, 1.0), "{value}");
    assert!(value["examples"][0].as_str().is_some_and(|it| it.contains("echo 9")), "{value}");
}

#[test]
fn a_wrong_opcode_length_or_order_is_found() {
    let spoilers: [fn(Socket); 3] = [
        |socket| {
            echo(socket, |_, message| {
                Some(Message::text(String::from_utf8_lossy(&message.into_data()).into_owned()))
            });
        },
        |socket| echo(socket, |_, message| Some(Message::binary(message.into_data().slice(1..)))),
        |mut socket| {
            while let (Ok(first), Ok(second)) = (socket.read(), socket.read()) {
                if socket.send(second).and_then(|()| socket.send(first)).is_err() {
                    return;
                }
            }
        },
    ];
    for script in spoilers {
        let (status, value) = echo_load(&serve(script), &["-d", "2"]);
        assert_eq!(status, 3, "{value}");
        assert!(figure(&value, "errors/mismatched") >= 2.0, "{value}");
    }
}

#[test]
fn nobody_there_is_a_refusal() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let url = format!("ws://{nobody}/");
    let (status, value) = load_json(&["echo", &url, "-c", "3", "-t", "0.3"]);
    assert_eq!((status, figure(&value, "errors/refused")), (1, 3.0), "{value}");
    let done = load(&["echo", &url, "-c", "3", "-t", "0.3"]);
    assert_eq!((done.status, &*done.out), (1, ""));
    assert!(done.errors.contains("no connection was opened"), "{}", done.errors);
    for mode in ["storm", "idle"] {
        let (status, value) = load_json(&[mode, &url, "-c", "3", "-t", "0.3"]);
        assert_eq!(status, 1, "{value}");
        assert!(figure(&value, "errors/refused") >= 3.0, "{value}");
    }
}

#[test]
fn a_refusal_says_why() {
    let url = serve_raw(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    let done = load(&["echo", &url, "-c", "2", "-t", "0.3"]);
    assert_eq!(done.status, 1);
    assert!(done.errors.contains("403"), "{}", done.errors);
}

#[test]
fn connections_that_are_lost_are_counted() {
    let url = serve(|socket| echo(socket, |number, it| (number < 20).then_some(it)));
    let (status, value) = echo_load(&url, &[]);
    assert_eq!((status, figure(&value, "errors/lost")), (1, 1.0), "{value}");
}

#[test]
fn answers_that_never_come_are_counted() {
    let url = serve(|mut socket| while socket.read().is_ok() {});
    let (status, value) = echo_load(&url, &["-d", "5"]);
    assert_eq!((status, figure(&value, "errors/timeouts")), (1, 5.0), "{value}");
    assert!(figure(&value, "latency_us/p50") > 500_000.0, "they are part of the times: {value}");
}

/// Stalls once for 200 ms, on the 100th message.
fn stall(socket: Socket) {
    let start = Instant::now();
    let stalled = std::cell::Cell::new(false);
    echo(socket, |_, message| {
        if start.elapsed() > Duration::from_millis(300) && !stalled.replace(true) {
            thread::sleep(Duration::from_millis(200));
        }
        Some(message)
    });
}

#[test]
fn a_stall_is_not_left_out_at_a_rate() {
    let url = serve(stall);
    let at_a_rate = ["-t", "1", "--rate", "500"];
    let (status, value) =
        load_json(&[&["echo", &url, "-c", "1", "-w", "0"], &at_a_rate[..]].concat());
    assert_eq!(status, 0, "{value}");
    // A fifth of the messages was due while nobody answered; the last of them waited for nothing.
    let (p90, p99) = (figure(&value, "latency_us/p90"), figure(&value, "latency_us/p99"));
    assert!(p90 > 60_000.0 && p99 > 150_000.0, "{value}");
    assert!(figure(&value, "latency_us/p50") < 60_000.0, "{value}");

    // One after the other, only one message sees it.
    let (status, value) = load_json(&["echo", &url, "-c", "1", "-w", "0", "-t", "1"]);
    assert_eq!(status, 0, "{value}");
    assert!(figure(&value, "latency_us/max") > 150_000.0, "{value}");
    assert!(figure(&value, "latency_us/p99") < 60_000.0, "{value}");
}

#[test]
fn what_is_said_before_the_load_is_not_part_of_it() {
    let url = serve(|mut socket| {
        socket.send(Message::text("welcome")).expect("a client");
        let hello = socket.read().expect("a hello");
        assert_eq!(hello, Message::text("join a"));
        thread::sleep(Duration::from_millis(100));
        socket.send(Message::text("you are in a")).expect("a client");
        echo(socket, |_, message| Some(message));
    });
    let (status, value) = echo_load(&url, &["--hello", "join a"]);
    assert_eq!((status, figure(&value, "errors/mismatched")), (0, 0.0), "{value}");
    assert!(figure(&value, "messages") > 10.0);
}

#[test]
fn headers_and_subprotocols_are_sent() {
    let url = serve_raw(|mut stream| {
        let mut head = [0; 2048];
        let n = stream.read(&mut head).unwrap_or(0);
        let head = String::from_utf8_lossy(&head[..n]).into_owned();
        let is_whole = head.contains("X-Token: abc\r\n") && head.contains("Protocol: chat, v2\r\n");
        let status = if is_whole { "418 Good" } else { "400 Bad" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let options = ["-H", "X-Token: abc", "--subprotocol", "chat", "--subprotocol", "v2"];
    let done = load(&[&["echo", &url, "-c", "1", "-t", "0.2"], &options[..]].concat());
    assert!(done.errors.contains("418"), "{}", done.errors);
}
