//! The files that a server's TLS is made of.
//!
//! Owns their paths, and how they are read: all at once, so that what is built comes from one
//! moment. Never keeps a private key longer than it takes to load it.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};

/// Which files a server's certificates, keys and trusted client authorities are in. All are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificate chains, the server's own certificate first, each with the file of its key. A
    /// client gets the first that has the name it asks for (SNI), else the first of all.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// The authorities whose client certificates are taken; without them none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away. Only with authorities.
    pub is_client_certificate_required: bool,
}

/// What stands in the files.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    /// One certificate and its key; clients need none.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { pairs: vec![(certificate.into(), key.into())], ..Self::default() }
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let pair = |(certificate, key): &(PathBuf, PathBuf)| Ok((read(certificate)?, read(key)?));
        Ok(Contents {
            pairs: self.pairs.iter().map(pair).collect::<Result<_, TlsError>>()?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// The certificates with their keys, of which there is one at least.
    pub(super) fn certified_keys(
        &self,
        contents: &Contents,
    ) -> Result<Vec<CertifiedKey>, TlsError> {
        let pairs = self.pairs.iter().zip(&contents.pairs);
        let keys = pairs.map(|((certificate_path, key_path), (certificate, key))| {
            let chain = certificates(certificate_path, certificate)?;
            let no_key = |fault: String| TlsError::Key { path: key_path.clone(), fault };
            let key =
                PrivateKeyDer::from_pem_slice(key).map_err(|error| no_key(format!(": {error}")))?;
            CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                    certificate: certificate_path.clone(),
                    key: key_path.clone(),
                },
                error => no_key(format!(": {error}")),
            })
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(TlsError::NoCertificate) } else { Ok(keys) }
    }

    /// The authorities of clients.
    pub(super) fn client_roots(
        &self,
        contents: &Contents,
    ) -> Result<Option<RootCertStore>, TlsError> {
        match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => roots(path, pem).map(Some),
            _ => Ok(None),
        }
    }
}

/// The whole of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

/// The authorities in a PEM file.
pub(super) fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| TlsError::Certificates {
            path: path.to_owned(),
            fault: format!(" of an authority: {error}"),
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |fault: String| TlsError::Certificates { path: path.to_owned(), fault };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(format!(": {error}")))?;
    if chain.is_empty() { Err(fault(String::new())) } else { Ok(chain) }
}
