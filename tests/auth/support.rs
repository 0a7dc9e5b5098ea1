//! Secrets, keys, tokens and files for these tests.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use throng::hub::auth::{
    Algorithm, AuthConfig, Authenticator, Claims, Identity, Issuer, Refusal, Signer,
};

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub const OTHER_SECRET: &[u8] = b"fedcba9876543210fedcba9876543210";

/// The time in these tests, in seconds since 1970.
pub const NOW_S: u64 = 1_800_000_000;

pub fn ann() -> Claims {
    Claims { sub: "ann".into(), exp: Some(NOW_S + 60), ..Claims::default() }
}

pub fn by_secret() -> Authenticator {
    with(AuthConfig::new(vec![Issuer::secret(SECRET)]))
}

pub fn with(config: AuthConfig) -> Authenticator {
    Authenticator::new(config).expect("a good configuration")
}

pub fn token(claims: &Claims) -> String {
    Signer::secret(SECRET).expect("a long secret").sign(claims).expect("good claims")
}

pub fn identify(authenticator: &Authenticator, token: &str) -> Result<Identity, Refusal> {
    authenticator.identify(token, NOW_S)
}

pub fn pem(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/auth/keys");
    fs::read(folder.join(name)).expect("a key of the tests")
}

/// The private key of a file of `keys/`, as its name says.
pub fn signer(name: &str, kid: &str) -> Signer {
    let algorithm = match &name[..2] {
        "rs" => Algorithm::Rs256,
        "ec" => Algorithm::Es256,
        _ => Algorithm::EdDsa,
    };
    Signer::pem(algorithm, &pem(name)).expect("a private key").kid(kid)
}

/// A JWK Set of the public keys of all these.
pub fn jwks(signers: &[&Signer]) -> String {
    let keys = signers.iter().flat_map(|signer| {
        let set: serde_json::Value =
            serde_json::from_str(&signer.jwks().expect("a public key")).expect("JSON");
        set["keys"].as_array().expect("a list").clone()
    });
    serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

/// A token of any header and claims, with whatever signature.
pub fn forged(header: &str, claims: &str, signature: &[u8]) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token of any header and claims, signed with HS256 by `secret`.
pub fn signed_by(secret: &[u8], header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("HMAC");
    format!("{message}.{signature}")
}

/// A file that goes when this does.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throng-auth-{}-{number}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(content);
        file
    }

    /// Puts another file in its place, as a careful program does.
    pub fn replace(&self, content: impl AsRef<[u8]>) {
        let next = self.0.with_extension("next");
        fs::write(&next, content).expect("a writable folder");
        fs::rename(&next, &self.0).expect("the same folder");
    }

    pub fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).expect("a writable folder");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
