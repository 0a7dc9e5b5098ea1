//! The client that the Autobahn test suite tests: runs every case of `wstest -m fuzzingserver`.
//!
//!     cargo run --release --example autobahn -- ws://127.0.0.1:9001 [AGENT]
//!
//! Owns the walk through the cases, in each of which it echoes what comes. Never judges: what a
//! case is about, a broken server for the most part, is an error here and a verdict there.

use std::process::ExitCode;
use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Incoming};
use throng::extension::{Config, Mode};
use throng::proto::Message;

/// The suite lets the slowest of its cases take this long, and says nothing meanwhile.
const PATIENCE: Duration = Duration::from_secs(150);

/// A suite that cannot be reached so often in a row is gone.
const REFUSALS_MAX: u32 = 3;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        eprintln!("usage: autobahn URL [AGENT]");
        return ExitCode::from(2);
    };
    let agent = arguments.next().unwrap_or_else(|| "throng".into());
    match run_all(&url, &agent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(url: &str, agent: &str) -> Result<(), Box<dyn std::error::Error>> {
    let count = case_count(&format!("{url}/getCaseCount"))?;
    println!("{count} cases");
    let mut refused = 0;
    let mut refused_in_a_row = 0;
    for case in 1..=count {
        match open(&format!("{url}/runCase?case={case}&agent={agent}")) {
            Ok(mut client) => {
                refused_in_a_row = 0;
                if let Err(error) = echo(&mut client) {
                    println!("case {case}: {error}");
                }
            }
            Err(error) => {
                println!("case {case} did not open: {error}");
                refused += 1;
                refused_in_a_row += 1;
                if refused_in_a_row == REFUSALS_MAX {
                    return Err(error.into());
                }
            }
        }
    }
    echo(&mut open(&format!("{url}/updateReports?agent={agent}"))?)?;
    if refused > 0 { Err(format!("{refused} cases did not open").into()) } else { Ok(()) }
}

fn open(url: &str) -> Result<Client, ClientError> {
    Connect::to(url)
        .compression(Config::new(Mode::Dedicated))
        .read_timeout(Some(PATIENCE))
        .write_timeout(Some(PATIENCE))
        .open()
}

fn case_count(url: &str) -> Result<u32, Box<dyn std::error::Error>> {
    let mut client = open(url)?;
    loop {
        match client.read()? {
            Incoming::Message(message) => {
                let text = message.as_text().ok_or("the number of cases is no text")?;
                return Ok(text.parse()?);
            }
            Incoming::Close(_) => return Err("the suite does not say how many cases it has".into()),
            Incoming::Chunk(_) | Incoming::Pong(_) => {}
        }
    }
}

/// Sends every message back until the end of the connection.
fn echo(client: &mut Client) -> Result<(), ClientError> {
    let mut payload = Vec::new();
    loop {
        let kind = match client.read()? {
            Incoming::Message(message) => {
                payload.clear();
                payload.extend_from_slice(message.payload);
                message.kind
            }
            Incoming::Close(_) => return Ok(()),
            Incoming::Chunk(_) | Incoming::Pong(_) => continue,
        };
        // What could not be sent shows in what can still be read: a Close, or the end.
        let _ = client.send(Message { kind, payload: &payload });
    }
}
