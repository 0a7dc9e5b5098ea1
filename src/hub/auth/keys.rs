//! The keys of one issuer, and the file that they come from.
//!
//! Owns which key a token asks for, and the reading of the file when it has changed. A new file
//! that is broken leaves the old keys as they are. Never fetches anything, never tries keys out.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::DecodingKey;

use super::{Algorithm, AuthError, jwks};

/// The largest key file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The shortest secret, in bytes: as long as what SHA-256 makes (RFC 7518 section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Somebody whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What `iss` has to say; `None` takes tokens of whoever has the keys, with `iss` or without.
    pub name: Option<String>,
    /// Where the keys are.
    pub keys: KeySource,
    /// What a token may be signed with. A key verifies one algorithm only.
    pub algorithms: Vec<Algorithm>,
}

/// Where keys are.
#[derive(Clone)]
pub enum KeySource {
    /// This secret, for HS256.
    Secret(Vec<u8>),
    /// The secret in this file, for HS256; one line end behind it is not part of it.
    SecretFile(PathBuf),
    /// A JWK Set (RFC 7517 section 5).
    Jwks(PathBuf),
}

impl Issuer {
    /// Tokens signed with this secret, whatever `iss` says.
    pub fn secret(secret: &[u8]) -> Self {
        Self::unnamed(KeySource::Secret(secret.to_vec()), &[Algorithm::Hs256])
    }

    /// Tokens signed with the secret in this file, whatever `iss` says.
    pub fn secret_file(path: impl Into<PathBuf>) -> Self {
        Self::unnamed(KeySource::SecretFile(path.into()), &[Algorithm::Hs256])
    }

    /// Tokens signed with a key of this JWKS file, by an algorithm whose key is public, whatever
    /// `iss` says.
    pub fn jwks(path: impl Into<PathBuf>) -> Self {
        Self::unnamed(KeySource::Jwks(path.into()), &Algorithm::PUBLIC)
    }

    fn unnamed(keys: KeySource, algorithms: &[Algorithm]) -> Self {
        Self { name: None, keys, algorithms: algorithms.to_vec() }
    }

    /// Only tokens whose `iss` is this.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only tokens signed with one of these.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::SecretFile(path) => write!(f, "SecretFile({})", path.display()),
            Self::Jwks(path) => write!(f, "Jwks({})", path.display()),
        }
    }
}

/// A key, and the only algorithm that it verifies: a public key can therefore never be taken for a
/// secret.
pub(super) struct Key {
    pub(super) kid: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// What became of a key file that has changed.
#[derive(Debug)]
pub struct Reload {
    /// The file.
    pub path: PathBuf,
    /// How many keys there are now; or why those from before were kept.
    pub result: Result<usize, AuthError>,
}

/// The keys of one issuer. Different issuers have different rings, so that the same `kid` of two
/// issuers is two keys.
pub(super) struct Ring {
    pub(super) issuer: Issuer,
    keys: RwLock<Arc<[Key]>>,
    /// The file as it was when it was last looked at.
    seen: Mutex<Option<Stamp>>,
}

/// By what a changed file is told, without reading it.
type Stamp = (i64, i64, u64, u64);

impl Ring {
    pub(super) fn new(issuer: Issuer) -> Result<Self, AuthError> {
        if issuer.algorithms.is_empty() {
            return Err(AuthError::NoAlgorithms);
        }
        let (seen, keys) = load(&issuer)?;
        Ok(Self { issuer, keys: RwLock::new(keys.into()), seen: Mutex::new(seen) })
    }

    pub(super) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file if it has changed since it was last looked at.
    pub(super) fn reload(&self) -> Option<Reload> {
        let path = self.issuer.keys.path()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(path).ok().as_ref().map(stamp);
        if now == *seen {
            return None;
        }
        *seen = now; // also when it is broken: it is told of once
        let result = load(&self.issuer).map(|(stamp, keys)| {
            let count = keys.len();
            *seen = stamp;
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
            count
        });
        Some(Reload { path: path.to_owned(), result })
    }
}

impl KeySource {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Secret(_) => None,
            Self::SecretFile(path) | Self::Jwks(path) => Some(path),
        }
    }
}

/// The key that a token asks for by its `alg` and `kid`. Where the token or the key has no `kid`,
/// there has to be one key only: keys are not tried out.
pub(super) fn find<'k>(
    keys: &'k [Key],
    algorithm: Algorithm,
    kid: Option<&str>,
) -> Option<&'k Key> {
    let mut fitting = keys.iter().filter(|key| key.algorithm == algorithm);
    let named = fitting.clone().find(|key| kid.is_some() && key.kid.as_deref() == kid);
    let first = fitting.next()?;
    let is_only = fitting.next().is_none() && (kid.is_none() || first.kid.is_none());
    named.or_else(|| is_only.then_some(first))
}

fn load(issuer: &Issuer) -> Result<(Option<Stamp>, Vec<Key>), AuthError> {
    match &issuer.keys {
        KeySource::Secret(secret) => Ok((None, vec![secret_key(secret, &issuer.algorithms)?])),
        KeySource::SecretFile(path) => {
            let (stamp, mut secret) = read(path)?;
            if secret.ends_with(b"\n") {
                secret.pop();
                secret.pop_if(|byte| *byte == b'\r');
            }
            Ok((Some(stamp), vec![secret_key(&secret, &issuer.algorithms)?]))
        }
        KeySource::Jwks(path) => {
            let (stamp, text) = read(path)?;
            let keys = jwks::parse(&text, &issuer.algorithms)
                .map_err(|fault| AuthError::KeyFile { path: path.clone(), fault })?;
            Ok((Some(stamp), keys))
        }
    }
}

fn secret_key(secret: &[u8], algorithms: &[Algorithm]) -> Result<Key, AuthError> {
    if let Some(other) = algorithms.iter().find(|algorithm| **algorithm != Algorithm::Hs256) {
        return Err(AuthError::SecretAlgorithm(*other));
    }
    check_secret(secret)?;
    let key = DecodingKey::from_secret(secret);
    Ok(Key { kid: None, algorithm: Algorithm::Hs256, key })
}

pub(super) fn check_secret(secret: &[u8]) -> Result<(), AuthError> {
    let is_long = secret.len() >= SECRET_BYTES_MIN;
    if is_long { Ok(()) } else { Err(AuthError::SecretTooShort(secret.len())) }
}

/// The file, and its stamp from before it was read: what changes meanwhile is seen next time.
fn read(path: &Path) -> Result<(Stamp, Vec<u8>), AuthError> {
    let fault = |error| AuthError::File { path: path.to_owned(), error };
    let file = File::open(path).map_err(fault)?;
    let stamp = stamp(&file.metadata().map_err(fault)?);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let fault = "is larger than 1 MiB".to_owned();
        return Err(AuthError::KeyFile { path: path.to_owned(), fault });
    }
    Ok((stamp, bytes))
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino())
}
