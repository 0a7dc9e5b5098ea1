//! The command line.
//!
//! Owns the commands. Uses only what the library offers to everyone.

mod connect;
mod echo;
mod history;
mod load;
mod options;
mod serve;
mod serving;
mod tls;
mod token;

use std::io::{self, IsTerminal};

use clap::{Parser, Subcommand};
use connect::ConnectOptions;
use load::LoadOptions;
use options::{LogFormat, ServerOptions};
use serve::ServeOptions;
use token::TokenOptions;
use tracing_subscriber::EnvFilter;

/// A WebSocket engine: a realtime server, an echo server, and tools.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Throng {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the realtime server: chat page at /, rooms at /ws, echo at /echo.
    Serve(Box<ServeOptions>),
    /// Run a server that sends every message back, on every path.
    Echo(ServerOptions),
    /// Open a WebSocket: type, or pipe, and see what comes back.
    Connect(ConnectOptions),
    /// Put load on a WebSocket server, and measure how it bears it.
    Load(LoadOptions),
    /// Make a token for tests and development, or look into one.
    Token(Box<TokenOptions>),
}

pub fn run() -> io::Result<()> {
    let throng = Throng::parse();
    log_as(match &throng.command {
        Command::Serve(options) => options.server.log_format,
        Command::Echo(options) => options.log_format,
        Command::Connect(_) | Command::Load(_) | Command::Token(_) => LogFormat::Text,
    });
    // As many connections as the system lets this process have.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    match throng.command {
        Command::Serve(options) => serve::run(&options),
        Command::Echo(options) => {
            let tls = options.tls.setup()?;
            serving::run(&options, tls.as_ref(), |_, _| echo::Echo)
        }
        Command::Connect(options) => connect::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Token(options) => token::run(&options),
    }
}

/// Sends the log to standard error. `THRONG_LOG` says how much of it.
fn log_as(format: LogFormat) {
    let filter = EnvFilter::try_from_env("THRONG_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
