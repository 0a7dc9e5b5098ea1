//! `throng serve`: the options of the hub, and the door that they make.
//!
//! Owns their names, units and defaults, what they mean together, and which of them can change
//! while it runs. What the engine itself takes stands in [`options`](super::options).

use std::io;
use std::net::ToSocketAddrs;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use throng::hub::address::{TrustedNetwork, TrustedProxies};
use throng::hub::auth::{
    ApiKeys, AuthConfig, Authenticator, Issuer, REVOCATIONS_BOUND, TICKET_LIFE_MAX, TicketLimits,
    Tickets, watch,
};
use throng::hub::hosts::Hosts;
use throng::hub::limits::{FlowLimits, Gate, HandshakeLimits, Rate, RoomFlows, RoomLimits};
use throng::hub::origin::Origins;
use throng::hub::overload::Bound;
use throng::hub::{ApiPace, Config, Control, Door, Hub, Metrics};
use throng::net;
use throng::tls::Acceptor;

use super::broker::BrokerOptions;
use super::history::HistoryOptions;
use super::options::{CONNECTIONS_MAX, Place, ServerOptions, seconds};
use super::overload::{OverloadOptions, Wanted};
use super::reload::Reloading;
use super::services::{Services, start_sink};
use super::sessions::SessionOptions;
use super::settings::{Faults, Misfit, Sources};
use super::sink::{Setup, SinkOptions};
use super::{log, privileges, serving};

/// How often the key files are looked at.
const KEYS_PERIOD: Duration = Duration::from_secs(5);

/// The longest message where nothing is said, in bytes: what is written by hand is far shorter, and
/// everyone in a room gets it.
pub const MESSAGE_BYTES_MAX: &str = "65536";

/// The settings that SIGHUP can change; every other needs a restart.
pub const CHANGEABLE: [&str; 20] = [
    "api_key",
    "api_rate",
    "host",
    "allow_origin",
    "trust_proxy",
    "allow_insecure_credentials",
    "max_connections_per_ip",
    "max_connections_per_user",
    "handshake_rate",
    "handshake_rate_total",
    "message_rate",
    "bytes_rate",
    "room_message_rate",
    "room_bytes_rate",
    "max_rooms",
    "max_presence",
    "max_faults",
    "dedup_window",
    "dedup_messages",
    "log",
];

const AFTER_HELP: &str = "\
Every option but --config is also a key of that file and a variable of the environment:
--max-rooms 5 is max_rooms = 5 and THRONG_MAX_ROOMS=5. An option overrules a variable, a variable
overrules the file. SIGHUP has the file read again. See throng check --example.";

/// Options of `throng serve`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ServeOptions {
    /// File of settings, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much is logged: off, error, warn, info, debug or trace, or a list of levels by target:
    /// info,throng::connections=debug has a line for each connection that opens, and that ends.
    #[arg(long, value_name = "FILTER", default_value = log::FILTER, value_parser = log::filter)]
    pub log: String,
    #[command(flatten)]
    pub server: ServerOptions,
    /// File with the secret of HS256 tokens, at least 32 bytes; read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Who comes in")]
    jwt_secret_file: Option<PathBuf>,
    /// File with the public keys of RS256, ES256 and EdDSA tokens (a JWK Set); read again when it
    /// changes.
    #[arg(long, value_name = "FILE", help_heading = "Who comes in")]
    jwks: Option<PathBuf>,
    /// Let nobody in without a token or a ticket: 401. With --api-key alone, tickets are what there
    /// is.
    #[arg(long, help_heading = "Who comes in")]
    require_token: bool,
    /// Let who shows no token in the handshake send it as the first message, within 10 s; needs
    /// --require-token.
    #[arg(long, help_heading = "Who comes in")]
    first_message_token: bool,
    /// Refuse a token after the upgrade, by Close 1008 with the reason, which a page can read.
    #[arg(long, help_heading = "Who comes in")]
    refuse_after_upgrade: bool,
    /// How long a ticket is good for (`POST /api/tickets`), in seconds: at most 30.
    #[arg(long, value_name = "S", help_heading = "Who comes in", default_value = "30",
        value_parser = ticket_life)]
    ticket_life: Duration,
    /// Most used tickets that are remembered until they would have ended: past it a ticket gets
    /// 503.
    #[arg(long, value_name = "N", help_heading = "Who comes in", default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_tickets: u32,
    /// Take keys, tokens and tickets that come in the clear from elsewhere: without it they get
    /// 403, unless they came by TLS, or through a --trust-proxy that says so.
    #[arg(long, help_heading = "Who comes in")]
    allow_insecure_credentials: bool,
    /// Audience that a token may be for. May be given more than once.
    #[arg(long, value_name = "NAME", help_heading = "Who comes in")]
    audience: Vec<String>,
    /// Page that may connect, beside the server's own: https://app.example.com,
    /// https://*.example.com, or null. May be given more than once.
    #[arg(long, value_name = "ORIGIN", help_heading = "Who comes in")]
    allow_origin: Vec<String>,
    /// Name that this server goes by: a host, for every port, or host:port. A handshake for another
    /// one gets 403; without it, any will do. May be given more than once.
    #[arg(long, value_name = "NAME", help_heading = "Who comes in")]
    host: Vec<String>,
    /// Proxy whose word about a client's address counts: an address, a network such as 10.0.0.0/8,
    /// or unix for all who come by a Unix socket. May be given more than once.
    #[arg(long, value_name = "CIDR", help_heading = "Who comes in")]
    trust_proxy: Vec<TrustedNetwork>,
    /// Key that opens the HTTP API at /api (`Authorization: Bearer KEY`) and the dashboard at
    /// /admin, at least 16 bytes. May be given more than once.
    #[arg(long, value_name = "KEY", help_heading = "HTTP API")]
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
    /// Most handshakes in all, a second; more get 429.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=10_000_000)]
    handshake_rate_total: Option<i64>,
    /// Most messages of a connection, a second; more get the error `rate_limited`, and Close 1008
    /// when that goes on.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=10_000_000)]
    message_rate: Option<i64>,
    /// Most bytes of messages of a connection, a second; more get the same.
    #[arg(long, value_name = "BYTES", help_heading = "Limits",
        value_parser = 1..=i64::from(u32::MAX))]
    bytes_rate: Option<i64>,
    /// Most messages to a room, a second, from all together; more get the error `rate_limited`.
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = 1..=10_000_000)]
    room_message_rate: Option<i64>,
    /// Most bytes of content to a room, a second, from all together; more get the same.
    #[arg(long, value_name = "BYTES", help_heading = "Limits",
        value_parser = 1..=i64::from(u32::MAX))]
    room_bytes_rate: Option<i64>,
    /// Most rooms that a connection is in.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = 100)]
    max_rooms: usize,
    /// Most members of a room of whom each is told who comes and goes, and most names in a list.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = 500)]
    max_presence: usize,
    /// Most faults of a connection within a minute; one more gets Close 1008.
    #[arg(long, value_name = "N", help_heading = "Limits", default_value_t = 100)]
    max_faults: u16,
    #[command(flatten)]
    history: HistoryOptions,
    #[command(flatten)]
    sink: SinkOptions,
    #[command(flatten)]
    sessions: SessionOptions,
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    overload: OverloadOptions,
}

/// What the options come to, where they go together.
#[derive(Debug)]
pub struct Plan {
    pub config: Config,
    pub engine: net::Config,
    pub door: Door,
    pub acceptor: Option<Arc<Acceptor>>,
    pub sink: Option<Setup>,
}

pub fn run(sources: Sources) -> io::Result<()> {
    let loaded = sources.load().map_err(io::Error::other)?;
    let log = log::start(loaded.options.server.log_format, &loaded.options.log);
    super::raise_descriptors();
    let Plan { config, engine, door, acceptor, sink } = match loaded.options.plan() {
        Ok(plan) => plan,
        Err(misfit) => return Err(io::Error::other(Faults::from(loaded.fault(misfit)))),
    };
    let options = loaded.options;
    let server = serving::listen(&options.server, engine.clone(), &options.files())?;
    if let Some(authenticator) = &door.authenticator {
        watch(authenticator, KEYS_PERIOD)?;
    }
    let (door, control) = (Arc::new(door), Arc::new(OnceLock::new()));
    let guard = options.overload.guard(&engine)?;
    let services = options.services(&config, sink)?;
    if loaded.file.is_some() {
        let (values, door, control) = (loaded.values, Arc::clone(&door), Arc::clone(&control));
        Reloading { sources, values, door, log, control }.start()?;
    }
    let metrics = Metrics::default();
    services.watch(&metrics);
    if let Some(acceptor) = &acceptor {
        metrics.watch_tls(acceptor);
    }
    let tls = acceptor.map(|acceptor| options.server.tls.serve(&acceptor)).transpose()?;
    serving::run(server, tls.as_ref(), |index, mailboxes| {
        control.get_or_init(|| Control::new(mailboxes.clone()));
        let hub = Hub::with_config(index, mailboxes.clone(), config.clone());
        let hub = hub.behind(Arc::clone(&door)).metrics(&metrics).guarded_by(Arc::clone(&guard));
        services.serve(hub)
    })
}

impl ServeOptions {
    /// What the options come to: at the start, when they are read again, and in `throng check`.
    ///
    /// # Errors
    /// They do not go together, or name what cannot be used.
    pub fn plan(&self) -> Result<Plan, Misfit> {
        if self.server.listen.is_empty() {
            return Err(Misfit::new("listen", "needs an address, such as 127.0.0.1:8080"));
        }
        for place in self.server.places() {
            check_place(place).map_err(|words| Misfit::new("listen", words))?;
        }
        if let Some(name) = &self.server.user {
            let said = |words| Misfit::new("user", format!("{name}: {words}"));
            privileges::check(name).map_err(said)?;
        }
        let config = Config {
            rooms_max: self.max_rooms,
            presence_max: self.max_presence,
            faults_per_minute_max: self.max_faults,
            room_rules: self.overload.room_rules(),
            history: self.history.history(),
            dedup: self.history.dedup(),
        };
        self.broker.check()?;
        self.history.check(self.broker.is_wanted())?;
        let (door, acceptor) = (self.door()?, self.server.tls.acceptor()?);
        let mut engine = self.server.config();
        let wanted = Wanted {
            loops: self.server.loops as usize,
            rooms_max: config.rooms_max,
            takes_tokens: door.authenticator.is_some(),
            speaks_tls: acceptor.is_some(),
            others: self.bounds(&door, engine.settings.message_bytes_max),
        };
        self.overload.settle(&wanted, &mut engine)?;
        let sink = self.sink.setup(self.history.has_file())?;
        Ok(Plan { config, engine, door, acceptor, sink })
    }

    /// What has a bound of its own beside the limits of the engine.
    fn bounds(&self, door: &Door, message_bytes_max: u64) -> Vec<Bound> {
        let addresses = door.gate.as_ref().map(|gate| gate.limits().bound());
        let rooms = door.rooms.as_ref().map(|rooms| rooms.bound());
        let revocations = door.authenticator.as_ref().map(|_| REVOCATIONS_BOUND);
        let tickets = door.tickets.as_ref().map(|_| self.ticket_limits().bound());
        let relay = self.broker.bound(message_bytes_max);
        let sessions = self.sessions.bound(self.broker.is_redis());
        let tables = [addresses, rooms, revocations, tickets, relay, sessions];
        let has_sink = self.sink.is_wanted();
        let history = self.history.bounds(has_sink, message_bytes_max);
        history.chain(tables.into_iter().flatten()).collect()
    }

    /// The files that are read again while it runs.
    fn files(&self) -> Vec<&Path> {
        let own = [&self.config, &self.jwt_secret_file, &self.jwks].into_iter().flatten();
        own.map(PathBuf::as_path).chain(self.server.tls.files()).collect()
    }

    fn door(&self) -> Result<Door, Misfit> {
        let fault = |key| move |error: String| Misfit::new(key, error);
        let hosts =
            Some(&self.host).filter(|names| !names.is_empty()).map(|names| Hosts::new(names));
        let origins = Origins::new(&self.allow_origin).map_err(|error| error.to_string());
        Ok(Door {
            hosts: hosts.transpose().map_err(fault("host"))?,
            origins: origins.map_err(fault("allow_origin"))?,
            proxies: TrustedProxies::new(self.trust_proxy.iter().cloned()),
            gate: self.gate(),
            flow: self.flow(),
            rooms: self.rooms(),
            tickets: self.tickets()?,
            allows_insecure_credentials: self.allow_insecure_credentials,
            authenticator: self.authenticator()?,
            api_keys: self.api_keys()?,
            api_pace: rate(Some(self.api_rate)).map(ApiPace::new).unwrap_or_default(),
        })
    }

    /// Starts what runs beside the loops. Where there is a broker, it keeps what was said in
    /// durable rooms too.
    fn services(&self, config: &Config, sink: Option<Setup>) -> io::Result<Services> {
        let relay = self.broker.relay(config.history.clone())?;
        let has_durable = relay.is_none() && self.history.has_durable();
        let keeper = self.history.keeper(relay.is_some(), sink.is_some())?;
        let sink = start_sink(sink, keeper.as_ref(), relay.as_ref())?;
        let sessions = self.sessions.sessions(self.broker.redis())?;
        Ok(Services { keeper, has_durable, relay, sink, sessions })
    }

    fn api_keys(&self) -> Result<Option<ApiKeys>, Misfit> {
        let keys = (!self.api_key.is_empty()).then(|| ApiKeys::new(&self.api_key));
        keys.transpose().map_err(|error| Misfit::new("api_key", error))
    }

    fn authenticator(&self) -> Result<Option<Arc<Authenticator>>, Misfit> {
        if self.first_message_token && !self.require_token {
            return Err(Misfit::new("first_message_token", "needs --require-token"));
        }
        let secret = self.jwt_secret_file.iter().map(Issuer::secret_file);
        let issuers: Vec<_> = secret.chain(self.jwks.iter().map(Issuer::jwks)).collect();
        if issuers.is_empty() {
            let wants = "needs the keys of tokens: --jwt-secret-file or --jwks";
            if self.first_message_token {
                return Err(Misfit::new("first_message_token", wants));
            } else if !self.audience.is_empty() {
                return Err(Misfit::new("audience", wants));
            } else if !self.require_token {
                return Ok(None);
            } else if self.api_key.is_empty() {
                let wants = "needs keys: --jwt-secret-file or --jwks, or --api-key for tickets";
                return Err(Misfit::new("require_token", wants));
            }
        }
        let mut config = AuthConfig::new(issuers);
        config.requires_token = self.require_token;
        config.takes_first_message = self.first_message_token;
        config.refuses_after_upgrade = self.refuse_after_upgrade;
        config.audience.clone_from(&self.audience);
        let key = if self.jwt_secret_file.is_some() { "jwt_secret_file" } else { "jwks" };
        let authenticator = Authenticator::new(config).map_err(|error| Misfit::new(key, error))?;
        Ok(Some(Arc::new(authenticator)))
    }

    /// Where somebody may ask for one.
    fn tickets(&self) -> Result<Option<Arc<Tickets>>, Misfit> {
        if !self.takes_tokens() && self.api_key.is_empty() {
            return Ok(None);
        }
        let tickets = Tickets::new(self.ticket_limits());
        Ok(Some(Arc::new(tickets.map_err(|error| Misfit::new("ticket_life", error))?)))
    }

    fn ticket_limits(&self) -> TicketLimits {
        TicketLimits { life: self.ticket_life, used_max: self.max_tickets as usize }
    }

    fn takes_tokens(&self) -> bool {
        self.jwt_secret_file.is_some() || self.jwks.is_some()
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        let (per_address, per_user) = (self.max_connections_per_ip, self.max_connections_per_user);
        // Each loop counts its own connections; that is all where there is one.
        let ServerOptions { loops, max_connections, .. } = self.server;
        let in_all = (loops > 1 && max_connections != CONNECTIONS_MAX).then_some(max_connections);
        // A token may say how many connections its user has, and a ticket too.
        if !self.takes_tokens() && self.api_key.is_empty() && in_all.is_none() {
            per_address.or(per_user).or(self.handshake_rate).or(self.handshake_rate_total)?;
        }
        Some(Arc::new(Gate::new(HandshakeLimits {
            connections_max: in_all.and_then(|max| u32::try_from(max).ok()).unwrap_or(u32::MAX),
            connections_per_address_max: count(per_address).unwrap_or(u32::MAX),
            connections_per_user_max: count(per_user).unwrap_or(u32::MAX),
            rate: rate(self.handshake_rate_total),
            rate_per_address: rate(self.handshake_rate),
            ..HandshakeLimits::default()
        })))
    }

    fn flow(&self) -> Option<FlowLimits> {
        let (messages, bytes) = (rate(self.message_rate), rate(self.bytes_rate));
        let limits = FlowLimits { messages, bytes, ..FlowLimits::default() };
        (messages.is_some() || bytes.is_some()).then_some(limits)
    }

    fn rooms(&self) -> Option<Arc<RoomFlows>> {
        let (messages, bytes) = (rate(self.room_message_rate), rate(self.room_bytes_rate));
        let limits = RoomLimits { messages, bytes, ..RoomLimits::default() };
        (messages.is_some() || bytes.is_some()).then(|| Arc::new(RoomFlows::new(limits)))
    }
}

/// A time in seconds that is not too long for a ticket.
fn ticket_life(text: &str) -> Result<Duration, String> {
    let life = seconds(text)?;
    if life <= TICKET_LIFE_MAX { Ok(life) } else { Err("must be at most 30".into()) }
}

/// Whether one can listen there, as far as words go.
fn check_place(place: Place<'_>) -> Result<(), String> {
    match place {
        Place::Tcp(addr) => addr.to_socket_addrs().map(drop).map_err(|error| {
            format!("{addr} is no address such as 127.0.0.1:8080 or unix:/run/throng.sock: {error}")
        }),
        Place::Unix(path) if path.as_os_str().is_empty() => {
            Err("unix: needs a path, such as unix:/run/throng.sock".into())
        }
        Place::Unix(path) => UnixAddr::from_pathname(path)
            .map(drop)
            .map_err(|error| format!("unix:{}: {error}", path.display())),
    }
}

/// So many a second, and twice as many at once.
fn rate(per_second: Option<i64>) -> Option<Rate> {
    count(per_second).map(|count| Rate::per_second(count, count.saturating_mul(2)))
}

/// What the parser has seen to be a count.
fn count(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}
