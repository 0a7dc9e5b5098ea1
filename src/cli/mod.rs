//! The command line.
//!
//! Owns the commands. Uses only what the library offers to everyone.

mod broker;
mod check;
mod connect;
mod echo;
mod history;
mod life;
mod load;
mod log;
mod options;
mod overload;
mod privileges;
mod reload;
mod serve;
mod services;
mod serving;
mod sessions;
mod settings;
mod sink;
mod tls;
mod token;

use std::io;

use check::CheckOptions;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use connect::ConnectOptions;
use load::LoadOptions;
use options::{LogFormat, ServerOptions};
use serve::{MESSAGE_BYTES_MAX, ServeOptions};
use settings::Sources;
use token::TokenOptions;

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
    /// Check a file of settings for `throng serve`, or print one.
    Check(CheckOptions),
    /// Make a token for tests and development, or look into one.
    Token(Box<TokenOptions>),
}

pub fn run() -> io::Result<()> {
    let program = program();
    let matches = program.clone().get_matches();
    let throng = Throng::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let format = match &throng.command {
        Command::Serve(_) => return serve::run(Sources::of_process(program)), // with its file
        Command::Echo(options) => options.log_format,
        Command::Check(_) | Command::Connect(_) | Command::Load(_) | Command::Token(_) => {
            LogFormat::Text
        }
    };
    log::start_of_tool(format);
    raise_descriptors();
    match throng.command {
        Command::Serve(_) => Ok(()),
        Command::Check(options) => check::run(&options, &program),
        Command::Echo(options) => {
            let tls = &options.tls;
            let acceptor = tls.acceptor().map_err(|misfit| io::Error::other(misfit.words))?;
            let files: Vec<_> = tls.files().collect();
            let server = serving::listen(&options, options.config(), &files)?;
            let setup = acceptor.map(|acceptor| tls.serve(&acceptor)).transpose()?;
            serving::run(server, setup.as_ref(), |_, _| echo::Echo)
        }
        Command::Connect(options) => connect::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Token(options) => token::run(&options),
    }
}

/// The commands and their options.
fn program() -> clap::Command {
    Throng::command().mut_subcommand("serve", |serve| {
        settings::adapt(serve).mut_args(|arg| match arg.get_id().as_str() {
            "max_message" => arg.default_value(MESSAGE_BYTES_MAX),
            _ => arg,
        })
    })
}

/// As many connections as the system lets this process have.
fn raise_descriptors() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
