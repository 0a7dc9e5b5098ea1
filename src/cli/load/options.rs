//! The options of `throng load`.
//!
//! Owns their names, units and defaults, and how they become a plan.

use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use throng::client::Url;
use throng::extension::Mode as DeflateMode;

use super::payload::{FANOUT_HEAD, split_wrap};
use super::plan::{Compress, Mode, Plan};
use crate::cli::options::compression;
use crate::cli::tls::Trust;

const AFTER_HELP: &str = "\
Exit status:
  0  done, and every reply was right
  1  the load could not be done: connections refused or lost, messages never answered
  2  wrong usage
  3  wrong bytes came back";

/// Options of `throng load`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct LoadOptions {
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// What the connections do.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Send messages and get them back, on every connection.
    Echo(EchoOptions),
    /// Send to all: what one connection sends, every connection gets.
    Fanout(FanoutOptions),
    /// Connect, upgrade, close, and again.
    Storm(StormOptions),
    /// Open connections and hold them.
    Idle(IdleOptions),
    /// Raise connections or rate step by step until the server no longer keeps up.
    Ramp(RampOptions),
    /// A process that another `throng load` has started.
    #[command(hide = true)]
    Worker,
}

/// Options of every kind of load.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server: ws://HOST[:PORT]/PATH?QUERY, or wss:// for TLS
    #[arg(value_name = "URL", value_parser = url)]
    url: String,
    /// How many connections.
    #[arg(short, long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    connections: usize,
    /// How long to count, in seconds.
    #[arg(short = 't', long, alias = "hold", value_name = "S", default_value = "10",
        value_parser = seconds)]
    duration: f64,
    /// How many connections to open a second. Default: as fast as the server takes them.
    #[arg(long, value_name = "N", value_parser = rate)]
    open_rate: Option<f64>,
    /// How long a handshake or a last answer may take, in seconds.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout: f64,
    /// An address to come from, or a range: 127.0.0.2-20. May be given more than once. One address
    /// has some 28,000 ports.
    #[arg(long, value_name = "ADDR[-LAST]", value_parser = addresses)]
    from: Vec<Addresses>,
    /// Share the connections among so many processes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    procs: usize,
    /// The server's process, on this machine: its CPU time and memory are shown.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Offer permessage-deflate: off, shared (no context outlives its message) or dedicated.
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = compress)]
    compress: Compress,
    /// Offer a subprotocol. May be given more than once.
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Send a header with each handshake. May be given more than once.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A text to send on each connection once it is open, to join a room for example. What comes
    /// before the counting begins is thrown away.
    #[arg(long, value_name = "TEXT")]
    hello: Option<String>,
    #[command(flatten)]
    tls: Trust,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Write a page with charts, which needs no network to be read.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// Options of loads that send messages.
#[derive(Clone, Debug, Args)]
pub struct Messages {
    /// Length of a message, in bytes.
    #[arg(short, long, value_name = "BYTES", default_value_t = 64)]
    size: usize,
    /// How many messages are in flight: the next is sent when one is answered.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    depth: usize,
    /// Send so many messages a second in all instead, whatever comes back. Times count from when a
    /// message was due, so that a server that stalls cannot hide it.
    #[arg(short, long, value_name = "N", value_parser = rate, conflicts_with = "depth")]
    rate: Option<f64>,
    /// How long to run before the counting begins, in seconds.
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = seconds_or_none)]
    warm_up: f64,
    /// Send text messages.
    #[arg(long, conflicts_with = "binary")]
    text: bool,
    /// Send binary messages: the default.
    #[arg(long)]
    binary: bool,
    /// What a message is wrapped in, with {} in its place: '{"type":"text","content":"{}"}'. The
    /// reply may be wrapped in something else. Makes it a text.
    #[arg(long, value_name = "TEXT{}TEXT", value_parser = wrap)]
    wrap: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct EchoOptions {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    messages: Messages,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct FanoutOptions {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    messages: Messages,
    /// How many connections send: the first ones.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    senders: usize,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct StormOptions {
    #[command(flatten)]
    pub common: Common,
    /// Open so many connections a second, whatever becomes of them. At most --connections are under
    /// way at once; times count from when a connection was due.
    #[arg(short, long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long to run before the counting begins, in seconds.
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = seconds_or_none)]
    warm_up: f64,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct IdleOptions {
    #[command(flatten)]
    pub common: Common,
    /// Ping every connection once in so many seconds, and time the pongs.
    #[arg(long, value_name = "S", value_parser = seconds)]
    ping_every: Option<f64>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RampOptions {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    messages: Messages,
    /// What to raise: connections or rate. --connections or --rate is where it begins.
    #[arg(long, value_name = "WHAT", default_value = "connections")]
    pub raise: Raise,
    /// By how much each step is more than the last: 2 doubles it.
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0, value_parser = factor)]
    pub by: f64,
    /// The most steps. Each takes --duration.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub steps: usize,
    /// A step fails when 1 % of its messages take longer than this, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000.0, value_parser = rate)]
    pub p99_max: f64,
}

/// What a ramp raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Raise {
    Connections,
    Rate,
}

/// Some addresses in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses(Vec<IpAddr>);

impl Common {
    fn plan(&self, mode: Mode) -> io::Result<Plan> {
        let url = Url::parse(&self.url).map_err(|error| usage(error.to_string()))?;
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let found = (host, url.port()).to_socket_addrs().map_err(|error| {
            io::Error::new(error.kind(), format!("no address of {host}: {error}"))
        })?;
        let from: Vec<IpAddr> = self.from.iter().flat_map(|it| it.0.iter().copied()).collect();
        let is_like = |to: IpAddr| from.iter().all(|it| it.is_ipv4() == to.is_ipv4());
        let to = found.into_iter().find(|to| is_like(to.ip()));
        let to = to.ok_or_else(|| usage(format!("{host} has no address of the kind of --from")))?;
        let plan = Plan {
            mode,
            url: self.url.clone(),
            to,
            host: url.authority(),
            target: url.target().to_owned(),
            headers: self.header.clone(),
            subprotocols: self.subprotocol.clone(),
            from,
            connections: self.connections,
            first: 0,
            procs: self.procs.min(self.connections),
            open_rate: self.open_rate,
            hello: self.hello.clone(),
            size: 0,
            depth: 1,
            rate: None,
            text: false,
            wrap: None,
            senders: 0,
            compress: self.compress,
            warm_up_s: 0.0,
            duration_s: self.duration,
            timeout_s: self.timeout,
            ping_every_s: None,
            pid: self.pid,
            tls: self.tls.clone(),
        };
        plan.connector()?; // what is wrong is said now
        plan.request([0; 16]).map_err(|error| usage(error.to_string()))?;
        Ok(plan)
    }
}

impl Messages {
    fn add_to(&self, plan: Plan) -> Plan {
        Plan {
            size: self.size,
            depth: self.depth,
            rate: self.rate,
            text: self.text || self.wrap.is_some(),
            wrap: self.wrap.clone(),
            warm_up_s: self.warm_up,
            ..plan
        }
    }
}

impl EchoOptions {
    pub fn plan(&self) -> io::Result<Plan> {
        Ok(self.messages.add_to(self.common.plan(Mode::Echo)?))
    }
}

impl FanoutOptions {
    pub fn plan(&self) -> io::Result<Plan> {
        let plan = self.messages.add_to(self.common.plan(Mode::Fanout)?);
        if plan.size < FANOUT_HEAD {
            return Err(usage(format!(
                "a message to all is of {FANOUT_HEAD} bytes at least: it says who sent it and when"
            )));
        }
        if self.senders > plan.connections / plan.procs {
            return Err(usage("more senders than the first process has connections".into()));
        }
        Ok(Plan { senders: self.senders, ..plan })
    }
}

impl StormOptions {
    pub fn plan(&self) -> io::Result<Plan> {
        let plan = self.common.plan(Mode::Storm)?;
        Ok(Plan { rate: self.rate, warm_up_s: self.warm_up, hello: None, ..plan })
    }
}

impl IdleOptions {
    pub fn plan(&self) -> io::Result<Plan> {
        Ok(Plan { ping_every_s: self.ping_every, ..self.common.plan(Mode::Idle)? })
    }
}

impl RampOptions {
    /// The first step.
    pub fn plan(&self) -> io::Result<Plan> {
        let plan = self.messages.add_to(self.common.plan(Mode::Echo)?);
        if self.raise == Raise::Rate && plan.rate.is_none() {
            return Err(usage("--raise rate needs a --rate to begin with".into()));
        }
        Ok(plan)
    }
}

/// An error of whoever gave the command.
pub fn usage(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, words)
}

fn url(text: &str) -> Result<String, String> {
    let url = match text.split_once("://") {
        Some(("http", rest)) => format!("ws://{rest}"), // as servers print it
        Some(("https", rest)) => format!("wss://{rest}"),
        Some(_) => text.to_owned(),
        None => format!("ws://{text}"),
    };
    Url::parse(&url).map(|_| url).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be of the form 'NAME: VALUE'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn compress(text: &str) -> Result<Compress, String> {
    compression(text).map(|mode| match mode {
        DeflateMode::Off => Compress::Off,
        DeflateMode::Shared => Compress::Shared,
        DeflateMode::Dedicated => Compress::Dedicated,
    })
}

fn wrap(text: &str) -> Result<String, String> {
    split_wrap(text).map(|_| text.to_owned()).ok_or_else(|| "must have {} in it, once".into())
}

/// `ADDR`, or `ADDR-LAST` where LAST stands for the last part of an IPv4 address.
fn addresses(text: &str) -> Result<Addresses, String> {
    let Some((first, last)) = text.split_once('-') else {
        let address = text.parse().map_err(|_| "must be an address".to_owned())?;
        return Ok(Addresses(vec![address]));
    };
    let first: Ipv4Addr = first.parse().map_err(|_| "must begin with an IPv4 address")?;
    let [a, b, c, from] = first.octets();
    let last: u8 = last.parse().map_err(|_| "must end with a number up to 255")?;
    if last < from {
        return Err("must end with a higher number than it begins with".into());
    }
    Ok(Addresses((from..=last).map(|d| IpAddr::V4(Ipv4Addr::new(a, b, c, d))).collect()))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(number @ 1..) => Ok(number),
        Ok(_) | Err(_) => Err("must be a whole number, at least 1".into()),
    }
}

fn number_in(text: &str, range: RangeInclusive<f64>, words: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| words.to_owned())
}

/// The smallest time or rate that means something.
const LEAST: f64 = 0.001;
const YEAR_S: f64 = 365.0 * 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    number_in(text, LEAST..=YEAR_S, "must be a number of seconds, at least 0.001")
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    number_in(text, 0.0..=YEAR_S, "must be a number of seconds")
}

fn rate(text: &str) -> Result<f64, String> {
    number_in(text, LEAST..=1e9, "must be a number, at least 0.001 and at most a billion")
}

fn factor(text: &str) -> Result<f64, String> {
    number_in(text, 1.01..=100.0, "must be a factor from 1.01 to 100")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses() {
        let range = addresses("127.0.0.2-4").unwrap().0;
        assert_eq!(range.len(), 3);
        assert_eq!(range[2], IpAddr::from([127, 0, 0, 4]));
        assert_eq!(addresses("::1").unwrap().0.len(), 1);
        for wrong in ["", "x", "127.0.0.2-1", "127.0.0.2-256", "::1-5"] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(at_least_one("10_000"), Ok(10_000));
        assert!(at_least_one("0").is_err() && at_least_one("-1").is_err());
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(seconds(wrong).is_err() && rate(wrong).is_err(), "{wrong}");
        }
    }
}
