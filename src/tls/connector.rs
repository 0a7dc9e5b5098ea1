//! The client's side of TLS: whom it trusts.
//!
//! Owns the configuration of new connections, with the sessions that they may resume. The server's
//! certificate is verified, with its name, unless it is said in so many words that it is not.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use super::{ALPN, Files, Session, TlsError, files, provider};

/// Opens TLS connections: TLS 1.2 and 1.3, ALPN `http/1.1`. Clones share the sessions that they may
/// resume.
///
/// ```no_run
/// use throng::client::Connect;
/// use throng::tls::Connector;
///
/// let connector = Connector::trusting("ca.pem")?;
/// let client = Connect::to("wss://127.0.0.1:8443/echo").tls(&connector).open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts whom the system trusts.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`] where that is nobody.
    pub fn system() -> Result<Self, TlsError> {
        Self::new(|builder| Ok(builder.with_root_certificates(system_roots()?)))
    }

    /// Trusts the authorities in a PEM file, and nobody else.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn trusting(ca: impl AsRef<Path>) -> Result<Self, TlsError> {
        let ca = ca.as_ref();
        let roots = files::roots(ca, &files::read(ca)?)?;
        Self::new(|builder| Ok(builder.with_root_certificates(roots)))
    }

    /// Trusts everybody: whoever is in between can read and change everything. For tests.
    ///
    /// # Errors
    /// What rustls says of its own defaults.
    pub fn insecure() -> Result<Self, TlsError> {
        let everybody = Arc::new(Everybody);
        Self::new(|builder| Ok(builder.dangerous().with_custom_certificate_verifier(everybody)))
    }

    /// The same, with a certificate to show to servers that ask for one.
    ///
    /// # Errors
    /// The files cannot be read, or do not hold a certificate and its key.
    pub fn with_certificate(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = Files::new(certificate, key);
        let own = files.certified_keys(&files.read()?)?.pop().ok_or(TlsError::NoCertificate)?;
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own));
        Ok(Self { config: Arc::new(config) })
    }

    /// The same without the resuming of sessions: every handshake is a full one, as of as many
    /// clients that have never been there.
    #[must_use]
    pub fn without_resumption(self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config) }
    }

    fn new(
        trust: impl FnOnce(Builder) -> Result<TrustingBuilder, TlsError>,
    ) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider());
        let mut config =
            trust(builder.with_safe_default_protocol_versions()?)?.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// What it trusts and shows, for a connection that speaks neither HTTP nor WebSocket.
    #[cfg(feature = "cli")]
    pub(crate) fn config_of_no_protocol(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols.clear();
        config
    }

    /// A connection to `host[:port]`, whose certificate must have that name, or that address.
    pub(crate) fn session(&self, host: &str) -> io::Result<Session> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            Some(_) | None => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "no certificate can have this name")
        })?;
        Session::client(Arc::clone(&self.config), name).map_err(io::Error::other)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}

type Builder = ConfigBuilder<ClientConfig, WantsVerifier>;
type TrustingBuilder = ConfigBuilder<ClientConfig, WantsClientCert>;

/// What the system trusts, read once.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::debug!(%error, "certificates of the system cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    });
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(Arc::clone(roots)) }
}

/// Believes any certificate, and only looks whether its key was used.
#[derive(Debug)]
struct Everybody;

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
