//! A JWK Set (RFC 7517), as a file says it.
//!
//! Owns which of its keys may verify what. A key for something else is left out; a key that is for
//! this and broken makes the whole file broken, so that it is seen.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::Algorithm;
use super::keys::{Key, check_secret};

/// The most keys of a file.
const KEYS_MAX: usize = 256;

/// The sizes of an RSA key that are taken, in bits (RFC 7518 section 3.3 sets the smallest).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set that verify one of `algorithms`.
pub(super) fn parse(text: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("has more than {KEYS_MAX} keys"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for (index, value) in set.keys.into_iter().enumerate() {
        let Some(key) = key(value, algorithms).map_err(|why| format!("keys[{index}]: {why}"))?
        else {
            continue;
        };
        let twin = |other: &Key| (&other.kid, other.algorithm) == (&key.kid, key.algorithm);
        if keys.iter().any(twin) {
            return Err(format!("keys[{index}]: another key has its alg and kid"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        return Err(format!("no key verifies {}", names.join(" or ")));
    }
    Ok(keys)
}

/// A key, where it is for one of `algorithms`.
fn key(value: Value, algorithms: &[Algorithm]) -> Result<Option<Key>, String> {
    // Other kinds, and other names of alg, are other people's keys (RFC 7517 section 5).
    let Some(algorithm) = algorithm(&value).filter(|it| algorithms.contains(it)) else {
        return Ok(None);
    };
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| error.to_string())?;
    // RFC 7517 sections 4.2 and 4.3.
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = jwk.common.key_operations.as_ref();
    if !signs || operations.is_some_and(|list| !list.contains(&KeyOperations::Verify)) {
        return Ok(None);
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?;
    check(&jwk, &key)?;
    Ok(Some(Key { kid: jwk.common.key_id.map(Into::into), algorithm, key }))
}

/// The one algorithm that a key is for, by `kty` and `crv`; `alg` may only say the same.
fn algorithm(value: &Value) -> Option<Algorithm> {
    let text = |name| value.get(name).and_then(Value::as_str);
    let algorithm = match (text("kty")?, text("crv")) {
        ("oct", None) => Algorithm::Hs256,
        ("RSA", None) => Algorithm::Rs256,
        ("EC", Some("P-256")) => Algorithm::Es256,
        ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
        _ => return None,
    };
    match value.get("alg") {
        Some(alg) if alg.as_str() != Some(algorithm.name()) => None,
        Some(_) | None => Some(algorithm),
    }
}

/// Whether the numbers of a key have the sizes that they must.
fn check(jwk: &Jwk, key: &DecodingKey) -> Result<(), String> {
    use jsonwebtoken::DecodingKeyKind as Kind;
    match (&jwk.algorithm, key.kind()) {
        (AlgorithmParameters::RSA(_), Kind::RsaModulusExponent { n, .. }) => {
            let leading = n.iter().take_while(|byte| **byte == 0).count();
            let bits = n
                .get(leading)
                .map_or(0, |first| (n.len() - leading) * 8 - first.leading_zeros() as usize);
            let fits = RSA_BITS.contains(&bits);
            if fits { Ok(()) } else { Err(format!("an RSA key of {bits} bits: 2048 to 4096 do")) }
        }
        // RFC 7518 section 6.2.1.2: both of full size; with them the byte that says "not packed".
        (AlgorithmParameters::EllipticCurve(_), Kind::SecretOrDer(point)) if point.len() == 65 => {
            Ok(())
        }
        (AlgorithmParameters::OctetKeyPair(pair), Kind::SecretOrDer(point))
            if pair.curve == EllipticCurve::Ed25519 && point.len() == 32 =>
        {
            Ok(())
        }
        (AlgorithmParameters::OctetKey(_), Kind::SecretOrDer(secret)) => {
            check_secret(secret).map_err(|error| error.to_string())
        }
        _ => Err("the key has the wrong size".to_owned()),
    }
}
