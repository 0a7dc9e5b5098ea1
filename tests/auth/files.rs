//! Key files: what they may hold, and what happens when they change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use throng::hub::auth::{
    Algorithm, AuthConfig, AuthError, Authenticator, Issuer, Refusal, Reload, watch,
};

use crate::support::{
    OTHER_SECRET, SECRET, Scratch, ann, identify, jwks, pem, signer, token, with,
};

fn start(set: &str, algorithms: &[Algorithm]) -> Result<Authenticator, String> {
    let file = Scratch::new(set);
    let issuer = Issuer::jwks(&file.0).algorithms(algorithms);
    let authenticator = Authenticator::new(AuthConfig::new(vec![issuer]));
    authenticator.map_err(|error| match error {
        AuthError::KeyFile { fault, .. } => fault,
        other => panic!("{other}"),
    })
}

/// The JSON of one public key, with other members.
fn with_members(set: &str, members: serde_json::Value) -> String {
    let mut set: serde_json::Value = serde_json::from_str(set).unwrap();
    for (name, value) in members.as_object().unwrap() {
        set["keys"][0][name] = value.clone();
    }
    set.to_string()
}

#[test]
fn keys_rotate_by_kid() {
    let (old, new) = (signer("ed1.pem", "2026-01"), signer("ed2.pem", "2026-02"));
    let (by_old, by_new) = (old.sign(&ann()).unwrap(), new.sign(&ann()).unwrap());
    let file = Scratch::new(jwks(&[&old]));
    let authenticator = with(AuthConfig::new(vec![Issuer::jwks(&file.0)]));
    let verdicts =
        || [&by_old, &by_new].map(|token| identify(&authenticator, token).map(|_| ()).err());
    assert_eq!(verdicts(), [None, Some(Refusal::UnknownKey)]);
    assert!(authenticator.reload().is_empty(), "nothing has changed");
    file.replace(jwks(&[&old, &new]));
    assert!(matches!(&authenticator.reload()[..], [Reload { result: Ok(2), .. }]));
    assert_eq!(verdicts(), [None, None]);
    file.replace(jwks(&[&new]));
    assert_eq!(authenticator.reload().len(), 1);
    assert_eq!(verdicts(), [Some(Refusal::UnknownKey), None]);
}

#[test]
fn a_broken_new_file_leaves_the_old_keys_and_is_told_of_once() {
    let signer = signer("ed1.pem", "k");
    let by_it = signer.sign(&ann()).unwrap();
    let file = Scratch::new(jwks(&[&signer]));
    let authenticator = with(AuthConfig::new(vec![Issuer::jwks(&file.0)]));
    for broken in ["", "{", r#"{"keys":[]}"#, &"x".repeat((1 << 20) + 1)] {
        file.replace(broken);
        let told = authenticator.reload();
        assert!(matches!(&told[..], [Reload { path, result: Err(_) }] if *path == file.0));
        assert!(authenticator.reload().is_empty(), "it was told of");
        assert!(identify(&authenticator, &by_it).is_ok());
    }
    std::fs::remove_file(&file.0).unwrap();
    assert!(matches!(&authenticator.reload()[..], [Reload { result: Err(_), .. }]));
    assert!(identify(&authenticator, &by_it).is_ok());
    file.write(jwks(&[&signer]));
    assert!(matches!(&authenticator.reload()[..], [Reload { result: Ok(1), .. }]));
}

#[test]
fn a_secret_file_is_read_again_too() {
    let file = Scratch::new([SECRET, b"\r\n"].concat());
    let authenticator = with(AuthConfig::new(vec![Issuer::secret_file(&file.0)]));
    assert!(identify(&authenticator, &token(&ann())).is_ok());
    file.replace(OTHER_SECRET);
    assert!(matches!(&authenticator.reload()[..], [Reload { result: Ok(1), .. }]));
    assert_eq!(identify(&authenticator, &token(&ann())), Err(Refusal::Signature));
}

#[test]
fn the_watch_sees_a_change_and_ends_with_the_authenticator() {
    let (old, new) = (signer("ed1.pem", "a"), signer("ed2.pem", "b"));
    let file = Scratch::new(jwks(&[&old]));
    let authenticator = Arc::new(with(AuthConfig::new(vec![Issuer::jwks(&file.0)])));
    watch(&authenticator, Duration::from_millis(5)).unwrap();
    file.replace(jwks(&[&new]));
    let by_new = new.sign(&ann()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while identify(&authenticator, &by_new).is_err() {
        assert!(Instant::now() < deadline, "the change was not seen");
        std::thread::sleep(Duration::from_millis(2));
    }
    let weak = Arc::downgrade(&authenticator);
    drop(authenticator);
    while weak.strong_count() > 0 {
        assert!(Instant::now() < deadline, "the watch keeps it");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_key_without_kid_serves_alone() {
    let (one, two) = (signer("ed1.pem", "1"), signer("ed2.pem", "2"));
    let by_one = one.sign(&ann()).unwrap();
    let nameless = signer("ed1.pem", "x");
    let mut set: serde_json::Value = serde_json::from_str(&jwks(&[&nameless])).unwrap();
    set["keys"][0].as_object_mut().unwrap().remove("kid");
    let authenticator = start(&set.to_string(), &Algorithm::PUBLIC).unwrap();
    assert!(identify(&authenticator, &by_one).is_ok());
    // A token without kid, and two keys that it could mean: keys are not tried out.
    let key = jsonwebtoken::EncodingKey::from_ed_pem(&pem("ed1.pem")).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    let nameless = jsonwebtoken::encode(&header, &ann(), &key).unwrap();
    assert!(identify(&authenticator, &nameless).is_ok());
    let authenticator = start(&jwks(&[&one, &two]), &Algorithm::PUBLIC).unwrap();
    assert_eq!(identify(&authenticator, &nameless), Err(Refusal::UnknownKey));
    assert!(identify(&authenticator, &by_one).is_ok());
}

#[test]
fn keys_for_something_else_are_left_out() {
    let (own, other) = (signer("ec1.pem", "own"), signer("ec2.pem", "other"));
    let strange =
        r#"{"kty":"quantum","x":1},{"kty":"EC","crv":"P-384","x":"","y":""},{"alg":"HS256"}"#;
    let set = jwks(&[&own]).replace(r#"{"keys":["#, &format!(r#"{{"keys":[{strange},"#));
    assert!(start(&set, &Algorithm::PUBLIC).is_ok());
    for members in [
        serde_json::json!({"use": "enc"}),
        serde_json::json!({"key_ops": ["encrypt"]}),
        serde_json::json!({"alg": "ES384"}),
        serde_json::json!({"alg": "none"}),
        serde_json::json!({"alg": 7}),
    ] {
        let fault = start(&with_members(&jwks(&[&other]), members.clone()), &Algorithm::PUBLIC);
        assert_eq!(fault.unwrap_err(), "no key verifies RS256 or ES256 or EdDSA", "{members}");
    }
    let good = with_members(&jwks(&[&own]), serde_json::json!({"use":"sig","key_ops":["verify"]}));
    assert!(start(&good, &[Algorithm::Es256]).is_ok());
    assert!(start(&good, &[Algorithm::Rs256]).is_err());
    // A secret in a file of public keys is a secret only where HS256 is allowed.
    let secret = r#"{"keys":[{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
    assert!(start(secret, &Algorithm::PUBLIC).is_err());
    let authenticator = start(secret, &[Algorithm::Hs256]).unwrap();
    assert!(identify(&authenticator, &token(&ann())).is_ok());
}

#[test]
fn broken_keys_break_the_file() {
    let (ec, rsa) = (signer("ec1.pem", "e"), signer("rsa1.pem", "r"));
    let weak = signer("rsa_weak.pem", "w");
    let table = [
        (jwks(&[&weak]), "keys[0]: an RSA key of 1024 bits: 2048 to 4096 do"),
        (jwks(&[&ec, &ec]), "keys[1]: another key has its alg and kid"),
        (with_members(&jwks(&[&ec]), serde_json::json!({"x": "AAAA"})), "the wrong size"),
        (with_members(&jwks(&[&ec]), serde_json::json!({"x": "!"})), "keys[0]: "),
        (with_members(&jwks(&[&rsa]), serde_json::json!({"n": ""})), "an RSA key of 0 bits"),
        (with_members(&jwks(&[&rsa]), serde_json::json!({"n": 7})), "keys[0]: "),
        (r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#.into(), "the secret has 5 bytes"),
        ("[]".into(), ""),
        (r#"{"keys":{}}"#.into(), "invalid type"),
        (format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 257].join(",")), "has more than 256 keys"),
    ];
    for (set, expected) in table {
        let fault = start(&set, &Algorithm::ALL).expect_err(expected);
        assert!(fault.contains(expected), "{fault}: {expected}");
    }
}
