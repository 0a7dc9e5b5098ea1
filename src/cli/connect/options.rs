//! The options of `throng connect`.
//!
//! Owns their names, units and defaults, and how they become a connection to be opened.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use throng::client::{Connect, Policy, Proxy, Url};
use throng::extension::{self, Mode};
use throng::proto::{Role, Settings};

use crate::cli::options::{LEVEL, compression};
use crate::cli::tls::Trust;

/// How long a write may hold up a read: a server may wait for this side to read.
const WRITE_TIMEOUT: Duration = Duration::from_millis(50);
/// How long a server may take over the close handshake, and over its end of TCP.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

const AFTER_HELP: &str = "\
Lines of a terminal:
  /ping [TEXT], /close [CODE [REASON]], /binary HEX, /help, /quit
  //TEXT sends a text that begins with a slash; Tab completes, Up brings back

Input that is no terminal: each line is one text message. Messages come one a line on standard
output, binary ones in hexadecimal; everything else is said on standard error. After the end of
the input it waits for answers, see --linger.

Exit status:
  0  closed normally: by this side, or by the server with 1000, 1001 or no code
  1  closed by the server with another code, lost, or broken off
  2  wrong usage, or input that cannot be sent
  3  refused: the server answered, but opened no WebSocket
  4  cannot connect: no address, nobody there, no answer in time, or the proxy refused
  128 and more: ended by a signal, 130 by Ctrl-C";

/// Options of `throng connect`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ConnectOptions {
    /// Where to connect: ws://HOST[:PORT]/PATH?QUERY, or wss:// for TLS. Without a scheme ws:// is
    /// meant, and http:// stands for it.
    #[arg(value_name = "URL", value_parser = url)]
    pub url: String,
    /// Send a header with the handshake. May be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Offer a subprotocol, the preferred one first. May be given more than once.
    #[arg(short, long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,
    /// Offer permessage-deflate: dedicated (a context for the connection: messages that resemble
    /// one another become small) or shared (none that outlives its message).
    #[arg(short = 'z', long, value_name = "MODE", num_args = 0..=1, require_equals = true,
        default_missing_value = "dedicated", value_parser = compression)]
    compress: Option<Mode>,
    /// Level of compression: 1 is the fastest, 9 the smallest.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = LEVEL,
        requires = "compress")]
    compress_level: i64,
    /// Send lines as binary messages. Of a pipe they need not be UTF-8 then.
    #[arg(short, long)]
    pub binary: bool,
    /// Obey /ping and the other commands in lines of a pipe, too.
    #[arg(long)]
    pub commands: bool,
    /// Connect again when the connection is lost or cannot be opened: at once, then after longer
    /// and longer random waits of up to 30 s. Not after Close 1000 or 1008, nor where the server
    /// answers 4xx but 408, 425 and 429.
    #[arg(short, long)]
    reconnect: bool,
    /// How often to try again in a row. Default: no end.
    #[arg(long, value_name = "N", requires = "reconnect")]
    retries: Option<u32>,
    /// How long it may take until the connection is open, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Ping a server that is silent for so long, in seconds, and give it up when it stays silent
    /// for as long again. Default: never.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub ping_interval: Option<Duration>,
    /// How long the server has to be silent after the end of the input, in seconds, before the
    /// connection is closed; counted from its pong to a last ping, so that a slow way is no
    /// silence. "forever" goes on listening.
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = linger)]
    pub linger: Linger,
    /// Longest message, in bytes, in either direction; a longer one closes the connection.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub max_message: u64,
    /// Connect through a proxy: http://[USER:PASSWORD@]HOST[:PORT].
    #[arg(long, value_name = "URL", value_parser = proxy)]
    proxy: Option<String>,
    /// Connect to the Unix socket at this path; the URL says what is asked of the server there.
    #[arg(long, value_name = "PATH", conflicts_with = "proxy")]
    unix: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// Follow at most so many redirects.
    #[arg(long, value_name = "N", default_value_t = 0)]
    redirects: u32,
}

/// How long answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    For(Duration),
    Forever,
}

impl ConnectOptions {
    /// The connection to be opened.
    ///
    /// # Errors
    /// There is nobody to trust, or a file of TLS cannot be read.
    pub fn connect(&self) -> io::Result<Connect> {
        let mut settings = Settings::new(Role::Client);
        settings.message_bytes_max = self.max_message;
        let mut connect = Connect::to(&self.url)
            .settings(settings)
            .timeout(self.timeout)
            .write_timeout(Some(WRITE_TIMEOUT))
            .close_timeout(CLOSE_TIMEOUT)
            .redirects(self.redirects);
        if let Some(mode) = self.compress {
            let level = self.compress_level as u8;
            let config = extension::Config { level, ..extension::Config::new(mode) };
            connect = connect.compression(config);
        }
        for (name, value) in self.headers.clone() {
            connect = connect.header(name, value);
        }
        for name in self.subprotocols.clone() {
            connect = connect.subprotocol(name);
        }
        if let Some(proxy) = &self.proxy {
            connect = connect.proxy(proxy);
        }
        if let Some(path) = &self.unix {
            connect = connect.unix(path);
        }
        // A redirect may lead to wss.
        let is_secure = Url::parse(&self.url).is_ok_and(|url| url.is_secure());
        if is_secure || self.trust.is_given() {
            connect = connect.tls(&self.trust.connector()?);
        }
        Ok(connect)
    }

    /// How to come back.
    pub fn policy(&self) -> Policy {
        let retries_max = if self.reconnect { self.retries } else { Some(0) };
        Policy { retries_max, ..Policy::default() }
    }
}

/// What a person means by a URL: an address bar shows `http`, and `throng serve` prints it.
fn url(text: &str) -> Result<String, String> {
    let url = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => format!("ws://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => format!("wss://{rest}"),
        Some(_) => text.to_owned(),
        None => format!("ws://{text}"),
    };
    Url::parse(&url).map(|_| url).map_err(|error| error.to_string())
}

fn proxy(text: &str) -> Result<String, String> {
    Proxy::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be of the form 'NAME: VALUE'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A time in seconds, more than none.
fn seconds(text: &str) -> Result<Duration, String> {
    match linger(text)? {
        Linger::For(time) if !time.is_zero() => Ok(time),
        Linger::For(_) | Linger::Forever => Err("must be more than 0 and at most a year".into()),
    }
}

fn linger(text: &str) -> Result<Linger, String> {
    const YEAR_S: f64 = 365.0 * 86_400.0;
    match text.parse::<f64>() {
        _ if text == "forever" => Ok(Linger::Forever),
        Ok(time) if (0.0..=YEAR_S).contains(&time) => {
            Ok(Linger::For(Duration::from_secs_f64(time)))
        }
        Ok(_) => Err("must be at most a year".into()),
        Err(_) => Err("must be a number of seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        for (text, meant) in [
            ("ws://a/b?c", "ws://a/b?c"),
            ("localhost:8080/ws", "ws://localhost:8080/ws"),
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
            ("HTTPS://a", "wss://a"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(meant));
        }
        assert!(url("ftp://a").is_err());
        assert!(url("ws://a/#b").is_err());
        assert!(url("").is_err());
    }

    #[test]
    fn values() {
        assert_eq!(header("A:b: c"), Ok(("A".into(), "b: c".into())));
        assert!(header("A").is_err());
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["0", "-1", "NaN", "inf", "forever", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(linger("0"), Ok(Linger::For(Duration::ZERO)));
        assert_eq!(linger("forever"), Ok(Linger::Forever));
    }
}
