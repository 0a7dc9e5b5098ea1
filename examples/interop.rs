//! The client that other people's servers are tested with: run by tests/interop/run.js.
//!
//!     interop URL off|shared|dedicated compressed|plain
//!
//! URL is that of a server of tests/interop/servers/, then comes what is offered and what must be
//! agreed. Owns the tests, and prints a line for each: `ok NAME` or `FAILED NAME: why`.

use std::process::ExitCode;
use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Incoming};
use throng::extension::{Config, Mode};
use throng::frame::CloseCode;
use throng::proto::{Message, MessageKind};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Test = fn(&Pairing) -> Outcome;

const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// The server, what it is offered, and what it must agree to.
struct Pairing {
    url: String,
    mode: Mode,
    compressed: bool,
}

const TESTS: [(&str, Test); 19] = [
    ("negotiation", negotiation),
    ("text", |pairing| pairing.echoes([text("hello")])),
    ("binary", |pairing| pairing.echoes([binary(&noise(1000))])),
    ("empty messages", |pairing| pairing.echoes([text(""), binary(&[])])),
    ("unicode", |pairing| {
        pairing.echoes([text("κόσμε, 世界, 🦀, \0, \u{feff}, \u{10ffff}"), text(&lines(5000))])
    }),
    ("lengths where the header grows", |pairing| {
        let lengths = [1, 125, 126, 127, 128, 65_535, 65_536];
        pairing.echoes(lengths.into_iter().flat_map(|length| {
            [text(&lines(length)), binary(&noise(length))] // what shrinks, and what does not
        }))
    }),
    ("500 messages in a row", many),
    ("16 MiB of text", |pairing| pairing.echoes([text(&lines(16 * MIB))])),
    ("16 MiB of noise", |pairing| pairing.echoes([binary(&noise(16 * MIB))])),
    ("fragments of text", |pairing| pairing.fragments(&[text(&lines(5000)), text("ab"), text("")])),
    ("fragments of binary", |pairing| {
        pairing.fragments(&[binary(&noise(MIB)), binary(&[7]), binary(&[])])
    }),
    ("ping and pong", pings),
    ("pings of the server", pings_of_the_server),
    ("silence times out", silence),
    ("close with 1000", |pairing| pairing.closes(1000, "")),
    ("close with 1001", |pairing| pairing.closes(1001, "going")),
    ("close with 4321", |pairing| pairing.closes(4321, "grüße 🦀")),
    ("closes of the server", closes_of_the_server),
    ("bytes on the wire", bytes_on_the_wire),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(pairing) = Pairing::from(&arguments) else {
        eprintln!("usage: interop URL off|shared|dedicated compressed|plain");
        return ExitCode::from(2);
    };
    for (name, test) in TESTS {
        match test(&pairing) {
            Ok(()) => println!("ok {name}"),
            Err(error) => println!("FAILED {name}: {error}"),
        }
    }
    ExitCode::SUCCESS
}

// ---- the tests ----

/// Both ends have to say the same.
fn negotiation(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/extensions")?;
    let agreed = if pairing.compressed { "permessage-deflate" } else { "" };
    same("what the server says", &next(&mut client)?, &text(agreed))?;
    let header = client.answer().header("Sec-WebSocket-Extensions").unwrap_or_default();
    let header = String::from_utf8_lossy(header).into_owned();
    same("the name in the answer", &header.split(';').next().unwrap_or_default(), &agreed)?;
    same("what the client says", &client.is_compressed(), &pairing.compressed)?;
    if pairing.compressed && pairing.mode == Mode::Shared {
        same("no context here", &header.contains("server_no_context_takeover"), &true)?;
    }
    close(client)
}

/// Sent in one go, so that what comes back waits for what is still going out.
fn many(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/echo")?;
    let messages: Vec<_> =
        (0..500).map(|number| text(&format!("{number} {}", lines(300)))).collect();
    for message in &messages {
        send(&mut client, message)?;
    }
    for message in &messages {
        same("the echo", &next(&mut client)?, message)?;
    }
    close(client)
}

fn pings(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/echo")?;
    for payload in [b"".to_vec(), b"throng?".to_vec(), noise(125)] {
        client.ping(&payload)?;
        match client.read()? {
            Incoming::Pong(pong) => same("the pong", &pong, &&payload[..])?,
            other => return Err(format!("{other:?} came for a pong").into()),
        }
    }
    close(client)
}

fn pings_of_the_server(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/ping")?;
    same("what was heard", &next(&mut client)?, &text("pong are you there?"))?;
    close(client)
}

/// A deadline that passes costs nothing: the connection can be used and closed as before.
fn silence(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/silent")?;
    client.set_read_timeout(Some(SHORT));
    match client.read() {
        Err(ClientError::Timeout(_)) => close(client),
        other => Err(format!("{other:?} came out of silence").into()),
    }
}

fn closes_of_the_server(pairing: &Pairing) -> Outcome {
    for (code, reason) in [(1000, ""), (1001, "going"), (4321, "so%20long")] {
        let mut client = pairing.open(&format!("/close?code={code}&reason={reason}"))?;
        match client.read()? {
            Incoming::Close(close) => {
                same("the code", &close.code.map(CloseCode::get), &Some(code))?;
                same("the reason", &close.reason, &reason.replace("%20", " ").as_str())?;
            }
            other => return Err(format!("{other:?} came for a close").into()),
        }
        same("open", &client.is_open(), &false)?;
    }
    Ok(())
}

/// What was agreed is also used.
fn bytes_on_the_wire(pairing: &Pairing) -> Outcome {
    let mut client = pairing.open("/wire")?;
    send(&mut client, &text(&lines(MIB)))?;
    let (_, answer) = next(&mut client)?;
    let bytes: usize = String::from_utf8(answer)?.parse()?;
    if (bytes < MIB / 10) != pairing.compressed {
        return Err(format!("{bytes} bytes went out").into());
    }
    close(client)
}

// ---- what they are made of ----

impl Pairing {
    fn from(arguments: &[String]) -> Option<Self> {
        let [url, mode, agreed] = arguments else { return None };
        let mode = match mode.as_str() {
            "off" => Mode::Off,
            "shared" => Mode::Shared,
            "dedicated" => Mode::Dedicated,
            _ => return None,
        };
        let compressed = match agreed.as_str() {
            "compressed" => true,
            "plain" => false,
            _ => return None,
        };
        Some(Self { url: url.clone(), mode, compressed })
    }

    fn open(&self, path: &str) -> Result<Client, ClientError> {
        Connect::to(&format!("{}{path}", self.url))
            .compression(Config::new(self.mode))
            .timeout(PATIENCE)
            .read_timeout(Some(PATIENCE))
            .write_timeout(Some(PATIENCE))
            .open()
    }

    /// Each message comes back as it went out.
    fn echoes(&self, messages: impl IntoIterator<Item = Owned>) -> Outcome {
        self.come_back("/echo", messages)
    }

    /// Each message comes back in fragments, with pings between them.
    fn fragments(&self, messages: &[Owned]) -> Outcome {
        self.come_back("/fragments", messages.iter().cloned())
    }

    fn come_back(&self, path: &str, messages: impl IntoIterator<Item = Owned>) -> Outcome {
        let mut client = self.open(path)?;
        for message in messages {
            send(&mut client, &message)?;
            same("what came back", &next(&mut client)?, &message)?;
        }
        close(client)
    }

    /// The server's Close has the same code, and the server has heard code and reason.
    fn closes(&self, code: u16, reason: &str) -> Outcome {
        let mut client = self.open("/echo")?;
        let sent = CloseCode::new(code).ok_or("no such code")?;
        same("the server's Close", &client.close(sent, reason)?.code, &Some(sent))?;
        let mut client = self.open("/last-close")?;
        same("the code that was heard", &next(&mut client)?, &text(&format!("{code} {reason}")))?;
        close(client)
    }
}

/// A message that outlives the client's buffers.
type Owned = (MessageKind, Vec<u8>);

fn text(text: &str) -> Owned {
    (MessageKind::Text, text.into())
}

fn binary(bytes: &[u8]) -> Owned {
    (MessageKind::Binary, bytes.into())
}

/// Text that shrinks to a few per cent, with characters of one to four bytes.
fn lines(length: usize) -> String {
    const LINE: &str = "{\"type\":\"text\",\"room\":\"lobby\",\"content\":\"grüße, 世界, 🦀\"}\n";
    LINE.repeat(length / LINE.len()) + &".".repeat(length % LINE.len())
}

/// Bytes in which a deflater finds nothing (splitmix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    });
    words.flatten().take(length).collect()
}

fn send(client: &mut Client, (kind, payload): &Owned) -> Result<(), ClientError> {
    client.send(Message { kind: *kind, payload })
}

/// The next message; pongs are passed over.
fn next(client: &mut Client) -> Result<Owned, Box<dyn std::error::Error>> {
    loop {
        match client.read()? {
            Incoming::Message(message) => return Ok((message.kind, message.payload.into())),
            Incoming::Pong(_) => {}
            other @ (Incoming::Chunk(_) | Incoming::Close(_)) => {
                return Err(format!("{other:?} came for a message").into());
            }
        }
    }
}

fn close(mut client: Client) -> Outcome {
    let answer = client.close(CloseCode::NORMAL, "")?;
    same("the answer to a Close", &answer.code, &Some(CloseCode::NORMAL))
}

/// Says what differs, but not all 16 MiB of it.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Outcome {
    const SHOWN: usize = 200;
    if got == wanted {
        return Ok(());
    }
    let show = |value: &T| format!("{value:?}").chars().take(SHOWN).collect::<String>();
    Err(format!("{what}: got {}, wanted {}", show(got), show(wanted)).into())
}
