//! How to connect: everything that can be set before a connection is opened.
//!
//! Owns the defaults of a client and the following of redirects. Never sends credentials to another
//! origin than the one they were set for.

use std::borrow::Cow;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use super::blocking::{Client, Times};
use super::compression::Compression;
use super::connecting::Turn;
use super::deadline::Deadline;
use super::opening::{self, Limits, Opening};
use super::transport::Transport;
use super::{Answer, ClientError, Proxy, ProxyError, Url, UrlError, dial, masks};
use crate::extension::{self, Mode};
use crate::handshake::ClientRequest;
use crate::http::HeadLimits;
use crate::proto::{Role, Settings};
#[cfg(feature = "tls")]
use crate::tls::Connector;

/// Headers that say who somebody is: they go to one origin only.
const CREDENTIALS: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// A connection to be opened, as often as one likes.
///
/// What is wrong with an argument is told by [`open`](Self::open), before anything is connected.
///
/// ```no_run
/// use std::time::Duration;
/// use throng::client::Connect;
///
/// let client = Connect::to("ws://127.0.0.1:8080/ws")
///     .header("Authorization", "Bearer 0123")
///     .subprotocol("chat.v2")
///     .timeout(Duration::from_secs(5))
///     .open()?;
/// println!("{:?}", client.subprotocol());
/// # Ok::<(), throng::client::ClientError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    url: Result<Url, UrlError>,
    proxy: Option<Result<Proxy, ProxyError>>,
    #[cfg(unix)]
    unix: Option<PathBuf>,
    headers: Headers,
    subprotocols: Vec<Cow<'static, str>>,
    redirects_max: u32,
    timeout: Duration,
    times: Times,
    limits: HeadLimits,
    body_bytes_max: usize,
    settings: Settings,
    compression: extension::Config,
    #[cfg(feature = "tls")]
    connector: Option<Connector>,
}

/// Header lines to be sent. What they hold may be secret.
#[derive(Clone)]
struct Headers(Vec<(Cow<'static, str>, Cow<'static, str>)>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Connect {
    /// A connection to a `ws://` URL, or a `wss://` one where TLS is built in.
    pub fn to(url: &str) -> Self {
        Self {
            url: Url::parse(url),
            proxy: None,
            #[cfg(unix)]
            unix: None,
            headers: Headers(Vec::new()),
            subprotocols: Vec::new(),
            redirects_max: 0,
            timeout: Duration::from_secs(30),
            times: Times::default(),
            limits: HeadLimits::default(),
            body_bytes_max: 64 << 10,
            settings: Settings::new(Role::Client),
            compression: extension::Config::new(Mode::Off),
            #[cfg(feature = "tls")]
            connector: None,
        }
    }

    /// Sends one more header with the handshake. Not taken: Host, Upgrade, Connection,
    /// Content-Length, Transfer-Encoding and all that start with `Sec-WebSocket-`.
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.0.push((name.into(), value.into()));
        self
    }

    /// Offers one more subprotocol, after those that are preferred.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Connects through a proxy: `http://[user:password@]host[:port]`.
    #[must_use]
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(Proxy::parse(url));
        self
    }

    /// Connects to the Unix socket at this path, wherever the URL leads: that says what is asked of
    /// the server there.
    #[cfg(unix)]
    #[must_use]
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix = Some(path.into());
        self
    }

    /// Follows at most so many redirects. Default: none, as browsers do. Authorization and Cookie
    /// do not go to another origin, and `wss` never leads to `ws`.
    #[must_use]
    pub const fn redirects(mut self, most: u32) -> Self {
        self.redirects_max = most;
        self
    }

    /// How long it may take until the connection is open: resolving, connecting, proxy, handshake
    /// and redirects together. Default: 30 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long [`Client::read`] waits. Default: for ever.
    #[must_use]
    pub const fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.times.read = timeout;
        self
    }

    /// How long [`Client::send`] and [`Client::ping`] may take. Default: 30 s.
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.times.write = timeout;
        self
    }

    /// How long the server may take over the close handshake, and over its end of TCP. Default:
    /// 5 s.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.times.close = timeout;
        self
    }

    /// While [`Client::read`] waits: pings a server that is silent for so long, and gives it up
    /// when it stays silent for as long again. Default: never.
    #[must_use]
    pub const fn heartbeat(mut self, interval: Option<Duration>) -> Self {
        self.times.heartbeat = interval;
        self
    }

    /// What the head of an answer may measure.
    #[must_use]
    pub const fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How much is kept of the body of a refusal, in bytes. Default: 64 KiB.
    #[must_use]
    pub const fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// The limits of messages, and how they are handed over. The role is the client's in any case.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Settings { role: Role::Client, ..settings };
        self
    }

    /// Offers permessage-deflate (RFC 7692). Default: not.
    #[must_use]
    pub const fn compression(mut self, config: extension::Config) -> Self {
        self.compression = config;
        self
    }

    /// Whom to trust where the URL is `wss://`. Default: whom the system trusts.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, connector: &Connector) -> Self {
        self.connector = Some(connector.clone());
        self
    }

    pub(super) const fn times(&self) -> &Times {
        &self.times
    }

    /// Connects, and opens the WebSocket.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`] but `Closed` and `Protocol`.
    pub fn open(&self) -> Result<Client, ClientError> {
        let deadline = Deadline::after(Some(self.timeout));
        let mut url = self.url.clone()?;
        let first = url.clone();
        let mut redirects_left = self.redirects_max;
        loop {
            let refusal = match self.open_at(&url, url.is_same_origin(&first), deadline)? {
                Ok(client) => return Ok(client),
                Err(refusal) => refusal,
            };
            let redirect = matches!(refusal.status(), 301 | 302 | 303 | 307 | 308);
            if !redirect || self.redirects_max == 0 {
                return Err(ClientError::Refused(Box::new(refusal)));
            }
            redirects_left = redirects_left.checked_sub(1).ok_or(ClientError::TooManyRedirects)?;
            url = follow(&url, &refusal)?;
        }
    }

    /// One attempt at one URL: a client, or what the server answered instead.
    fn open_at(
        &self,
        url: &Url,
        with_credentials: bool,
        deadline: Deadline,
    ) -> Result<Result<Client, Answer>, ClientError> {
        let request = self.request(url, with_credentials)?;
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            return Err(ClientError::TlsNotBuilt);
        }
        #[cfg(feature = "tls")]
        let connector = url.is_secure().then(|| self.connector()).transpose()?;
        let (mut transport, turn) = self.dial(url, deadline)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = connector {
            transport.secure(&connector, url.host(), deadline)?;
        }
        let limits = Limits {
            head: &self.limits,
            body_bytes_max: self.body_bytes_max,
            compression: &self.compression,
        };
        let opening = opening::open(&mut transport, &request, limits, deadline)?;
        drop(turn); // CONNECTING ends here, in one way or the other
        match opening {
            Opening::Refused(answer) => Ok(Err(answer)),
            Opening::Opened(opened) => {
                let compression = Compression::new(self.compression, opened.params);
                let (settings, times) = (self.settings.clone(), self.times.clone());
                Ok(Ok(Client::new(transport, opened, settings, times, compression)))
            }
        }
    }

    fn dial(&self, url: &Url, deadline: Deadline) -> Result<(Transport, Turn), ClientError> {
        let proxy = self.proxy.clone().transpose()?;
        #[cfg(unix)]
        if let Some(path) = &self.unix {
            return dial::dial_unix(path, deadline);
        }
        dial::dial(url, proxy.as_ref(), &self.limits, deadline)
    }

    /// Whom to trust: whom the system trusts, where nothing else was said.
    #[cfg(feature = "tls")]
    fn connector(&self) -> Result<Connector, ClientError> {
        let connector = self.connector.clone().map_or_else(Connector::system, Ok);
        connector.map_err(|error| ClientError::TlsSetup(Box::new(error)))
    }

    /// The request, with a fresh nonce. It is made before anything is connected, so that what may
    /// not be sent is refused first.
    fn request(&self, url: &Url, with_credentials: bool) -> Result<ClientRequest, ClientError> {
        let mut nonce = [0; 16];
        masks::fill(&mut nonce)?;
        let mut request = ClientRequest::new(url.authority(), url.target().to_owned(), nonce)?;
        for name in &self.subprotocols {
            request = request.subprotocol(name.clone())?;
        }
        for (name, value) in &self.headers.0 {
            let secret = CREDENTIALS.iter().any(|it| it.eq_ignore_ascii_case(name));
            if with_credentials || !secret {
                request = request.header(name.clone(), value.clone())?;
            }
        }
        if let Some(offer) = self.extension_offer() {
            request = request.extensions(offer)?;
        }
        Ok(request)
    }

    /// The value of Sec-WebSocket-Extensions.
    fn extension_offer(&self) -> Option<String> {
        let mut offer = String::new();
        extension::write_offer(&self.compression, &mut offer);
        (!offer.is_empty()).then_some(offer)
    }
}

/// Where a redirect leads (RFC 9110, section 15.4).
fn follow(from: &Url, redirect: &Answer) -> Result<Url, ClientError> {
    let location = redirect.header("location").and_then(|value| str::from_utf8(value).ok());
    let to = from.join(location.ok_or(ClientError::Redirect)?);
    match to {
        Ok(to) if !from.is_secure() || to.is_secure() => Ok(to),
        Ok(_) | Err(_) => Err(ClientError::Redirect),
    }
}
