//! `throng serve`: the options of the hub, and the door that they make.
//!
//! Owns their names, units and defaults. What the engine itself takes stands in
//! [`options`](super::options).

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use throng::hub::address::{TrustedNetwork, TrustedProxies};
use throng::hub::auth::{ApiKeys, AuthConfig, Authenticator, Issuer, watch};
use throng::hub::limits::{FlowLimits, Gate, HandshakeLimits, Rate};
use throng::hub::origin::Origins;
use throng::hub::{ApiPace, Config, Door, Hub, Metrics};

use super::history::HistoryOptions;
use super::options::ServerOptions;
use super::serving;

/// How often the key files are looked at.
const KEYS_PERIOD: Duration = Duration::from_secs(5);

/// Options of `throng serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    #[command(flatten)]
    pub server: ServerOptions,
    /// File with the secret of HS256 tokens, at least 32 bytes; read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Who comes in")]
    jwt_secret_file: Option<PathBuf>,
    /// File with the public keys of RS256, ES256 and EdDSA tokens (a JWK Set); read again when it
    /// changes.
    #[arg(long, value_name = "FILE", help_heading = "Who comes in")]
    jwks: Option<PathBuf>,
    /// Let nobody in without a token: 401.
    #[arg(long, help_heading = "Who comes in")]
    require_token: bool,
    /// Let who shows no token in the handshake send it as the first message, within 10 s; needs
    /// --require-token.
    #[arg(long, help_heading = "Who comes in")]
    first_message_token: bool,
    /// Refuse a token after the upgrade, by Close 1008 with the reason, which a page can read.
    #[arg(long, help_heading = "Who comes in")]
    refuse_after_upgrade: bool,
    /// Audience that a token may be for. May be given more than once.
    #[arg(long, value_name = "NAME", help_heading = "Who comes in")]
    audience: Vec<String>,
    /// Page that may connect, beside the server's own: https://app.example.com,
    /// https://*.example.com, or null. May be given more than once.
    #[arg(long, value_name = "ORIGIN", help_heading = "Who comes in")]
    allow_origin: Vec<String>,
    /// Proxy whose word about a client's address counts: an address, or a network such as
    /// 10.0.0.0/8. May be given more than once.
    #[arg(long, value_name = "CIDR", help_heading = "Who comes in")]
    trust_proxy: Vec<TrustedNetwork>,
    /// Key that opens the HTTP API at /api, at least 16 bytes: `Authorization: Bearer KEY`. May be
    /// given more than once.
    #[arg(
        long,
        value_name = "KEY",
        env = "THRONG_API_KEY",
        hide_env_values = true,
        help_heading = "HTTP API"
    )]
    api_key: Vec<String>,
    /// Most requests to the HTTP API, a second; more get 429.
    #[arg(long, value_name = "N", help_heading = "HTTP API", default_value_t = 10_000,
        value_parser = 1..=1_000_000)]
    api_rate: i64,
    /// Most connections of an address (of IPv6: a /64); one more gets 429.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=i64::from(u32::MAX))]
    max_connections_per_ip: Option<i64>,
    /// Most connections of a user with a token; one more gets 429.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=i64::from(u32::MAX))]
    max_connections_per_user: Option<i64>,
    /// Most handshakes of an address, a second; more get 429.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=1_000_000)]
    handshake_rate: Option<i64>,
    /// Most messages of a connection, a second; more get the error `rate_limited`, and Close 1008
    /// when that goes on.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=10_000_000)]
    message_rate: Option<i64>,
    /// Most rooms that a connection is in.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = 100)]
    max_rooms: usize,
    #[command(flatten)]
    history: HistoryOptions,
}

pub fn run(options: &ServeOptions) -> io::Result<()> {
    let door = options.door().map_err(io::Error::other)?;
    if let Some(authenticator) = &door.authenticator {
        watch(authenticator, KEYS_PERIOD)?;
    }
    let door = Arc::new(door);
    let history = options.history.history();
    let config = Config { rooms_max: options.max_rooms, history, ..Config::default() };
    let tls = options.server.tls.setup()?;
    let metrics = Metrics::default();
    let keeper = options.history.keeper()?;
    if let Some(keeper) = &keeper {
        metrics.watch(keeper);
    }
    if let Some(acceptor) = tls.as_ref().and_then(|setup| setup.acceptor.as_ref()) {
        metrics.watch_tls(acceptor);
    }
    serving::run(&options.server, tls.as_ref(), |index, mailboxes| {
        let hub = Hub::with_config(index, mailboxes.clone(), config.clone());
        let hub = hub.behind(Arc::clone(&door)).metrics(&metrics);
        match &keeper {
            Some(keeper) => hub.keeping(keeper),
            None => hub,
        }
    })
}

impl ServeOptions {
    fn door(&self) -> Result<Door, Box<dyn Error + Send + Sync>> {
        Ok(Door {
            hosts: None,
            origins: Origins::new(&self.allow_origin)?,
            proxies: TrustedProxies::new(self.trust_proxy.iter().cloned()),
            gate: self.gate(),
            flow: self.flow(),
            authenticator: self.authenticator()?,
            api_keys: (!self.api_key.is_empty())
                .then(|| ApiKeys::new(&self.api_key))
                .transpose()?,
            api_pace: count(Some(self.api_rate)).map(rate).map(ApiPace::new).unwrap_or_default(),
        })
    }

    fn authenticator(&self) -> Result<Option<Arc<Authenticator>>, Box<dyn Error + Send + Sync>> {
        if self.first_message_token && !self.require_token {
            return Err("--first-message-token needs --require-token".into());
        }
        let secret = self.jwt_secret_file.iter().map(Issuer::secret_file);
        let issuers: Vec<_> = secret.chain(self.jwks.iter().map(Issuer::jwks)).collect();
        if issuers.is_empty() {
            return if self.require_token {
                Err("--require-token needs --jwt-secret-file or --jwks".into())
            } else {
                Ok(None)
            };
        }
        let mut config = AuthConfig::new(issuers);
        config.requires_token = self.require_token;
        config.takes_first_message = self.first_message_token;
        config.refuses_after_upgrade = self.refuse_after_upgrade;
        config.audience.clone_from(&self.audience);
        Ok(Some(Arc::new(Authenticator::new(config)?)))
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        let (per_address, per_user) = (self.max_connections_per_ip, self.max_connections_per_user);
        // Without any of them the engine's own limit of connections is there all the same.
        per_address.or(per_user).or(self.handshake_rate)?;
        let mut limits = HandshakeLimits { rate: None, ..HandshakeLimits::default() };
        limits.connections_per_address_max = count(per_address).unwrap_or(u32::MAX);
        limits.connections_per_user_max = count(per_user).unwrap_or(u32::MAX);
        limits.rate_per_address = count(self.handshake_rate).map(rate);
        Some(Arc::new(Gate::new(limits)))
    }

    fn flow(&self) -> Option<FlowLimits> {
        let messages = Some(rate(count(self.message_rate)?));
        Some(FlowLimits { messages, bytes: None, ..FlowLimits::default() })
    }
}

/// So many a second, and twice as many at once.
const fn rate(per_second: u32) -> Rate {
    Rate::per_second(per_second, per_second.saturating_mul(2))
}

/// What the parser has seen to be a count.
fn count(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}
