//! The options of the servers.
//!
//! Owns their names, units and defaults, and how they become the engine's limits.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use throng::extension::{self, Mode};
use throng::net::Config;

use super::tls::TlsOptions;

/// Connections of a loop where nothing is said.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// The windows that zlib can deflate with, in bits.
const WINDOW_BITS: RangeInclusive<i64> = 9..=15;

/// From the fastest to the smallest.
pub const LEVEL: RangeInclusive<i64> = 1..=9;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or("must be a mode in octal, such as 660")
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// An address and a port.
    Tcp(&'a str),
    /// The path of a Unix socket.
    Unix(&'a Path),
}

impl<'a> Place<'a> {
    /// The place that a text names.
    pub fn of(text: &'a str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(Path::new(path)),
            None => Self::Tcp(text),
        }
    }
}

/// Options of every command that serves.
#[derive(Debug, Args)]
pub struct ServerOptions {
    /// Address to listen on; port 0 takes a free one, unix:PATH is a Unix socket. May be given more
    /// than once.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: Vec<String>,
    /// Mode of the files of Unix sockets, in octal: who may write may connect.
    #[arg(long, value_name = "MODE", default_value = "660")]
    pub unix_mode: FileMode,
    /// User to become when all addresses are bound and the files of keys are read; needs root.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Number of loops, each on a thread of its own with a listener of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = 1..=1024)]
    pub loops: i64,
    /// Let other processes that say so too listen on the same address: the kernel spreads new
    /// connections over them.
    #[arg(long)]
    pub reuse_port: bool,
    /// Every connection begins with a PROXY header, version 1 or 2, which says whose it is.
    #[arg(long)]
    proxy_protocol: bool,
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Longest message, in bytes; a longer one gets Close 1009.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_message: u64,
    /// Most fragments of a message; one more gets Close 1009.
    #[arg(long, value_name = "N", default_value_t = 1 << 17)]
    max_fragments: u32,
    /// Most connections of a loop, and of `throng serve` over all its loops; one more gets 503.
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_MAX)]
    pub max_connections: usize,
    /// What a peer may be owed, in bytes, before it gets Close 1008 for reading too slowly.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    backlog_bytes: usize,
    /// permessage-deflate: off, shared (no memory on a connection at rest) or dedicated (a context
    /// for each connection).
    #[arg(long, value_name = "MODE", default_value = "shared", value_parser = compression)]
    compress: Mode,
    /// Level of compression: 1 is the fastest, 9 the smallest.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = LEVEL)]
    compress_level: i64,
    /// Window of dedicated compression, in bits: 9 to 15.
    #[arg(long, value_name = "BITS", default_value_t = 15, value_parser = WINDOW_BITS)]
    compress_window: i64,
    /// What the contexts of dedicated compression may take in all, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    compress_budget: usize,
    /// How long a request may take to arrive, in seconds, before it gets 408.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,
    /// How long a peer may be silent, in seconds, before it is pinged.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    ping_interval: Duration,
    /// How long a pinged peer may be silent, in seconds, before it is closed.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pong_timeout: Duration,
    /// How long a peer may take to close, in seconds, before it is cut.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    close_timeout: Duration,
    /// How long a peer may read nothing of what it is owed, in seconds, before it is cut.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    write_timeout: Duration,
    /// Lines of text for people, or one JSON object a line for programs, on standard error.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Over how long peers are asked to leave when the server stops, in seconds.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    drain: Duration,
    /// So many peers of a loop at least are asked to leave a second: a few take no whole --drain.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    drain_rate: u32,
}

impl ServerOptions {
    /// Where to listen, in the order in which it was said.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.listen.iter().map(|text| Place::of(text))
    }

    pub fn config(&self) -> Config {
        let mut config = Config {
            connections_max: self.max_connections,
            backlog_bytes_max: self.backlog_bytes,
            handshake_timeout: self.handshake_timeout,
            ping_interval: self.ping_interval,
            pong_timeout: self.pong_timeout,
            close_timeout: self.close_timeout,
            write_timeout: self.write_timeout,
            drain_timeout: self.drain,
            drain_rate_min: self.drain_rate,
            ..Config::default()
        };
        config.deflate = extension::Config {
            level: self.compress_level as u8,
            server_max_window_bits: self.compress_window as u8,
            client_max_window_bits: self.compress_window as u8,
            ..extension::Config::new(self.compress)
        };
        // Each loop has its part of it.
        config.proxy_protocol = self.proxy_protocol;
        config.deflate_budget_bytes = self.compress_budget / self.loops as usize;
        config.settings.message_bytes_max = self.max_message;
        config.settings.fragments_max = self.max_fragments;
        config
    }
}

/// A time in seconds, with a fraction or without: more than none, at most a year.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR_S: f64 = 365.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR_S => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("must be more than 0 and at most a year".into()),
        Err(_) => Err("must be a number of seconds".into()),
    }
}

/// A mode of permessage-deflate, by its name.
pub fn compression(text: &str) -> Result<Mode, String> {
    match text {
        "off" => Ok(Mode::Off),
        "shared" => Ok(Mode::Shared),
        "dedicated" => Ok(Mode::Dedicated),
        _ => Err("must be off, shared or dedicated".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ServerOptions,
    }

    fn config(flags: &str) -> Option<Config> {
        let line = Line::try_parse_from(["throng"].into_iter().chain(flags.split_whitespace()));
        line.ok().map(|line| line.options.config())
    }

    #[test]
    fn each_loop_has_its_part_of_the_budget() {
        for (flags, part) in [("", 64 << 20), ("--loops 4", 16 << 20)] {
            assert_eq!(config(flags).expect("good flags").deflate_budget_bytes, part);
        }
    }

    #[test]
    fn modes_are_octal() {
        let mode = |text: &str| text.parse::<FileMode>();
        assert_eq!([mode("660"), mode("0600")], [Ok(FileMode(0o660)), Ok(FileMode(0o600))]);
        for bad in ["", "888", "1777", "rw", "0o660", "-1"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn levels() {
        let level = |flags| config(flags).map(|config| config.deflate.level);
        assert_eq!([level(""), level("--compress-level 9")], [Some(1), Some(9)]);
        for flags in ["--compress-level 0", "--compress-level 10", "--compress-level x"] {
            assert_eq!(level(flags), None);
        }
    }
}
