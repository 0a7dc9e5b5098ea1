//! How fast durable rooms are: publishers that wait for their `ok`, each with a window of messages
//! and a room of its own, so that nothing but the store is measured.
//!
//!     throng serve --durable 'd.*' --history-db FILE
//!     cargo run --release --example durable -- ws://127.0.0.1:8080/ws PUBLISHERS WINDOW MESSAGES

use std::collections::VecDeque;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use throng::client::{Client, Incoming};
use throng::proto::Message;

/// Publishes, and gives the time of each message from its send to its `ok`.
fn publish(url: &str, number: usize, window: usize, count: usize) -> Result<Vec<Duration>, String> {
    let words = |error: throng::client::ClientError| error.to_string();
    let mut client = Client::connect(url).map_err(words)?;
    let room = format!("d.load.{number}");
    let join = format!(r#"{{"type":"join","id":0,"room":"{room}"}}"#);
    client.send(Message::text(&join)).map_err(words)?;
    let (mut sent, mut on_their_way, mut times) = (0, VecDeque::new(), Vec::new());
    while times.len() < count {
        while on_their_way.len() < window && sent < count {
            let content = "x".repeat(100);
            let text = format!(
                r#"{{"type":"text","id":1,"room":"{room}","content":"{content}","echo":false}}"#
            );
            on_their_way.push_back(Instant::now());
            client.send(Message::text(&text)).map_err(words)?;
            sent += 1;
        }
        match client.read().map_err(words)? {
            Incoming::Message(message) if message.payload.starts_with(b"{\"type\":\"error\"") => {
                return Err(String::from_utf8_lossy(message.payload).into_owned());
            }
            Incoming::Message(message)
                if message.payload.starts_with(b"{\"type\":\"ok\",\"id\":1,") =>
            {
                times.extend(on_their_way.pop_front().map(|begin| begin.elapsed()));
            }
            Incoming::Message(_) | Incoming::Chunk(_) | Incoming::Pong(_) => {}
            Incoming::Close(close) => return Err(format!("closed: {close:?}")),
        }
    }
    Ok(times)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, publishers, window, count] = &arguments[..] else {
        return Err("URL PUBLISHERS WINDOW MESSAGES".into());
    };
    let (publishers, window): (usize, usize) = (publishers.parse()?, window.parse()?);
    let each = count.parse::<usize>()? / publishers;
    let begin = Instant::now();
    let times = thread::scope(|scope| {
        let threads: Vec<_> = (0..publishers)
            .map(|number| scope.spawn(move || publish(url, number, window, each)))
            .collect();
        let times = threads.into_iter().map(|thread| thread.join().map_err(|_| "a panic")?);
        times.collect::<Result<Vec<_>, String>>()
    })?;
    let took = begin.elapsed();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let rate = times.len() as f64 / took.as_secs_f64();
    println!(
        "{} publishes, {rate:.0} a second; ok after p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
