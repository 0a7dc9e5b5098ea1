//! The server's side of TLS: which certificate is shown, who is asked for one.
//!
//! Owns the configuration that new connections get, and its replacement when the files have
//! changed: connections that are open keep theirs. Never gives up one that works for one that does
//! not.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ServerConfig};

use super::files::Contents;
use super::{ALPN, Files, TlsError, provider};

/// Takes TLS connections: TLS 1.2 and 1.3, ALPN `http/1.1`, sessions resumed by tickets. All loops
/// of a server share one.
pub struct Acceptor {
    files: Files,
    contents: Mutex<Contents>,
    current: RwLock<Arc<ServerConfig>>,
    /// Outlives a change of the files, so that sessions do.
    tickets: Arc<dyn ProducesTickets>,
    counted: Counted,
}

/// What an [`Acceptor`] has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handshakes that were done in full.
    pub full: u64,
    /// Handshakes that resumed a session.
    pub resumed: u64,
    /// Connections whose handshake failed, or whose records were broken.
    pub failed: u64,
    /// How often the files were taken anew.
    pub rereads: u64,
    /// Whether the files as they are now cannot be used: what was read before is.
    pub is_stale: bool,
}

#[derive(Default)]
struct Counted {
    full: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    rereads: AtomicU64,
    stale: AtomicU64,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// The first fault found in one of them.
    pub fn new(files: Files) -> Result<Self, TlsError> {
        let tickets = Ticketer::new()?;
        let contents = files.read()?;
        let config = config(&files, &contents, &tickets)?;
        Ok(Self {
            files,
            contents: Mutex::new(contents),
            current: RwLock::new(config),
            tickets,
            counted: Counted::default(),
        })
    }

    /// Reads the files again, and says whether they had changed. Connections from now on get what
    /// stands in them; no other is touched.
    ///
    /// # Errors
    /// The first fault found: what was in use stays in use.
    pub fn reread(&self) -> Result<bool, TlsError> {
        let result = self.reread_changed();
        self.counted.stale.store(u64::from(result.is_err()), Ordering::Relaxed);
        result
    }

    fn reread_changed(&self) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == contents {
            return Ok(false);
        }
        let config = config(&self.files, &contents, &self.tickets)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        *known = contents;
        self.counted.rereads.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        let Counted { full, resumed, failed, rereads, stale } = &self.counted;
        let [full, resumed, failed, rereads, stale] =
            [full, resumed, failed, rereads, stale].map(|count| count.load(Ordering::Relaxed));
        Counts { full, resumed, failed, rereads, is_stale: stale > 0 }
    }

    /// What a new connection gets.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A handshake is done.
    pub(crate) fn count_handshake(&self, kind: Option<HandshakeKind>) {
        let count = match kind {
            Some(HandshakeKind::Resumed) => &self.counted.resumed,
            Some(_) | None => &self.counted.full,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has failed.
    pub(crate) fn count_failure(&self) {
        self.counted.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("files", &self.files).finish_non_exhaustive()
    }
}

fn config(
    files: &Files,
    contents: &Contents,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let keys = files.certified_keys(contents)?.into_iter().map(Arc::new).collect();
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match files.client_roots(contents)? {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if files.is_client_certificate_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build().map_err(|error| {
                TlsError::Setup(rustls::Error::General(format!("client authorities: {error}")))
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = Arc::clone(tickets);
    // Tickets are kept by the clients: nothing is stored for them here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Finds the certificate for the name that a client asks for.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let schemes = hello.signature_schemes();
        let usable = || self.0.iter().filter(|key| key.key.choose_scheme(schemes).is_some());
        let named = name.and_then(|name| usable().find(|key| has_name(key, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn has_name(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().and_then(|it| ParsedCertificate::try_from(it).ok());
    certificate.is_some_and(|certificate| verify_server_name(&certificate, name).is_ok())
}
