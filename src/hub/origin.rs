//! From which pages a browser may connect.
//!
//! Owns the allow list and what counts as the same origin (RFC 6454, section 4), and the answers
//! that CORS wants of the HTTP API. Browsers ask nobody before they open a WebSocket: this is the
//! only check. Never looks at a token.

use crate::http::{Repeated, Request, Response, is_host};

use super::auth::Refusal;

/// What the HTTP API takes from a page of another origin.
const ALLOWED_HEADERS: &str =
    "authorization, content-type, idempotency-key, traceparent, tracestate";

/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_AGE_S: &str = "600";

/// How a request has come: by TLS, here or at a proxy that is trusted, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What is known of the page that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// It is of this server.
    Same,
    /// It is on the list.
    Listed,
    /// It hides where it comes from, as a sandboxed frame does, and that is on the list.
    Null,
    /// There is no word of a page: no browser, or one that asks for its own page.
    Absent,
}

impl Provenance {
    /// Whether the page is one that may speak for its user: only then a cookie counts.
    pub const fn is_known_page(self) -> bool {
        matches!(self, Self::Same | Self::Listed)
    }
}

/// The pages that may connect. Those of the server itself always may.
#[derive(Clone, Debug)]
pub struct Origins {
    rules: Vec<Rule>,
    allows_null: bool,
    allows_absent: bool,
}

/// What is wrong with an entry of the allow list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} is no origin: {fault}")]
pub struct OriginError {
    entry: String,
    fault: &'static str,
}

impl Origins {
    /// The list. An entry is `scheme://host[:port]`, exactly; a host that starts with `*.` stands
    /// for all names below it, itself not among them; an entry without a scheme is `https`; `null`
    /// stands for pages that hide their origin.
    ///
    /// ```
    /// use throng::hub::origin::Origins;
    ///
    /// assert!(Origins::new(&["https://app.example.com", "https://*.example.com:8443"]).is_ok());
    /// assert!(Origins::new(&["*"]).is_err(), "whoever wants all pages has no list");
    /// ```
    ///
    /// # Errors
    ///
    /// An entry is none of these.
    pub fn new<E: AsRef<str>>(entries: &[E]) -> Result<Self, OriginError> {
        let mut origins = Self { rules: Vec::new(), allows_null: false, allows_absent: true };
        for entry in entries.iter().map(AsRef::as_ref) {
            if entry == "null" {
                origins.allows_null = true;
            } else {
                let fault = |fault| OriginError { entry: entry.to_owned(), fault };
                origins.rules.push(Rule::parse(entry).map_err(fault)?);
            }
        }
        Ok(origins)
    }

    /// Whether a request without an Origin, which no page's script can send, is let in. It is by
    /// default, and has no use of cookies.
    #[must_use]
    pub const fn absent(mut self, is_allowed: bool) -> Self {
        self.allows_absent = is_allowed;
        self
    }

    /// Whether a handshake, or a request to the API, may come from where it says that it does.
    ///
    /// # Errors
    ///
    /// It may not.
    pub fn check(&self, head: &Request<'_>, scheme: Scheme) -> Result<Provenance, Refusal> {
        let origin = match head.all_headers().only("origin") {
            Ok(Some(value)) => str::from_utf8(value).map_err(|_| Refusal::Origin)?,
            Ok(None) if self.allows_absent => return Ok(Provenance::Absent),
            Ok(None) | Err(Repeated) => return Err(Refusal::Origin),
        };
        if origin == "null" {
            return if self.allows_null { Ok(Provenance::Null) } else { Err(Refusal::Origin) };
        }
        let origin = Place::parse(origin).ok_or(Refusal::Origin)?;
        let own = head.host().and_then(|host| Place::of_host(host, scheme));
        if own.is_some_and(|own| origin.is(&own)) {
            Ok(Provenance::Same)
        } else if self.rules.iter().any(|rule| rule.allows(&origin)) {
            Ok(Provenance::Listed)
        } else {
            Err(Refusal::Origin)
        }
    }

    /// The answer to OPTIONS on the HTTP API, a preflight (Fetch, section 3.3) or not. `methods`
    /// are those of the path, with commas.
    pub fn preflight(&self, head: &Request<'_>, scheme: Scheme, methods: &'static str) -> Response {
        if let Err(refusal) = self.check(head, scheme) {
            return refusal.response().header("Vary", "Origin");
        }
        let response = Response::new(204).header("Allow", methods);
        if head.header("access-control-request-method").is_none() {
            return response;
        }
        self.share(response, head, scheme)
            .header("Access-Control-Allow-Methods", methods)
            .header("Access-Control-Allow-Headers", ALLOWED_HEADERS)
            .header("Access-Control-Max-Age", PREFLIGHT_AGE_S)
    }

    /// Lets the page that has asked read the answer, if it may. Never with its cookies: the API
    /// takes keys and tokens in the Authorization header.
    #[must_use]
    pub fn share(&self, response: Response, head: &Request<'_>, scheme: Scheme) -> Response {
        let response = response.header("Vary", "Origin");
        match self.reader(head, scheme) {
            Some(origin) => response.header("Access-Control-Allow-Origin", origin.to_owned()),
            None => response,
        }
    }

    /// The origin of the page that has asked, if it may read the answer.
    pub fn reader<'a>(&self, head: &Request<'a>, scheme: Scheme) -> Option<&'a str> {
        match self.check(head, scheme) {
            Ok(Provenance::Same | Provenance::Listed | Provenance::Null) => {
                head.header("origin").and_then(|value| str::from_utf8(value).ok())
            }
            Ok(Provenance::Absent) | Err(_) => None,
        }
    }
}

impl Default for Origins {
    /// The server's own pages, and whoever is no page.
    fn default() -> Self {
        Self { rules: Vec::new(), allows_null: false, allows_absent: true }
    }
}

/// Scheme, host and port of an origin. Two are the same when all three are.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Place<'a> {
    /// As a browser writes it (RFC 6454, section 6.2): nothing stands behind the port.
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split(rest)?;
        let port = match port {
            Some("") => return None,
            // As a number is written: a second way to write it would be a second name.
            Some(port) if port.starts_with('0') => return None,
            Some(port) => Some(port.parse().ok()?),
            None => default_port(scheme),
        };
        is_scheme.then_some(Self { scheme, host, port })
    }

    /// The server, as the request names it.
    fn of_host(host: &'a str, scheme: Scheme) -> Option<Self> {
        let scheme = scheme.name();
        let (host, port) = split(host)?;
        let port = match port {
            Some("") | None => default_port(scheme),
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { scheme, host, port })
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
    }
}

/// Whether two origins are one, however they are written.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (Place::parse(one), Place::parse(other)) {
        (Some(one), Some(other)) => one.is(&other),
        _ => one == other,
    }
}

/// Whether a text is an origin, as a browser writes it: no other word of a client is.
pub(super) fn is_origin(text: &str) -> bool {
    text == "null" || Place::parse(text).is_some()
}

/// Host and port of `host[:port]`. A name with `%` in it has two ways to be written: none.
pub(super) fn split(host: &str) -> Option<(&str, Option<&str>)> {
    if !is_host(host) || host.contains('%') {
        return None;
    }
    match host.rfind(':').filter(|at| !host[*at..].contains(']')) {
        Some(at) => Some((&host[..at], Some(&host[at + 1..]))),
        None => Some((host, None)),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    let is = |other: &str| scheme.eq_ignore_ascii_case(other);
    if is("http") {
        Some(80)
    } else if is("https") {
        Some(443)
    } else {
        None
    }
}

/// An entry of the list.
#[derive(Clone, Debug)]
struct Rule {
    scheme: Box<str>,
    /// With a dot in front where all names below it are meant.
    host: Box<str>,
    port: Option<u16>,
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = entry.split_once("://").unwrap_or(("https", entry));
        if rest == "*" || scheme.contains('*') {
            return Err("name the pages that may connect: not all may");
        }
        let below = rest.strip_prefix("*.");
        let whole = format!("{scheme}://{}", below.unwrap_or(rest));
        let place = Place::parse(&whole).ok_or("write scheme://host or scheme://host:port")?;
        let host = match below {
            Some(_) => format!(".{}", checked_domain(place.host)?),
            None => place.host.to_owned(),
        };
        Ok(Self { scheme: place.scheme.into(), host: host.into(), port: place.port })
    }

    fn allows(&self, origin: &Place<'_>) -> bool {
        let host_fits = if self.host.starts_with('.') {
            // The dot is part of what has to be there: `evil-example.com` is not below
            // `example.com`.
            let start = origin.host.len().checked_sub(self.host.len()).filter(|start| *start > 0);
            let end = start.and_then(|start| origin.host.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(&self.host))
        } else {
            origin.host.eq_ignore_ascii_case(&self.host)
        };
        host_fits && origin.scheme.eq_ignore_ascii_case(&self.scheme) && origin.port == self.port
    }
}

/// A domain that has names below it which belong to one owner.
fn checked_domain(domain: &str) -> Result<&str, &'static str> {
    let last = domain.rsplit('.').next().unwrap_or_default();
    let is_address = domain.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit());
    if is_address {
        Err("there are no names below an address")
    } else if domain.contains('.') || domain.eq_ignore_ascii_case("localhost") {
        Ok(domain)
    } else {
        Err("too many pages are below a top-level domain")
    }
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
