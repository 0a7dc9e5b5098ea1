//! Class A16: tokens that are refused, and why.

use throng::hub::auth::{Algorithm, AuthConfig, AuthError, Authenticator, Claims, Issuer, Refusal};

use crate::support::{
    NOW_S, OTHER_SECRET, SECRET, Scratch, ann, by_secret, forged, identify, jwks, pem, signed_by,
    signer, token, with,
};

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims() -> String {
    format!(r#"{{"sub":"ann","exp":{}}}"#, NOW_S + 60)
}

fn refusal(authenticator: &Authenticator, token: &str) -> Refusal {
    identify(authenticator, token).expect_err(token)
}

#[test]
fn a16_refused_tokens() {
    let with_claims = |change: &dyn Fn(&mut Claims)| {
        let mut claims = ann();
        change(&mut claims);
        token(&claims)
    };
    let unsigned = forged(r#"{"alg":"none"}"#, &claims(), b"");
    let good = token(&ann());
    let (message, _) = good.rsplit_once('.').unwrap();
    let table = [
        ("by another secret", signed_by(OTHER_SECRET, HS256, &claims()), Refusal::Signature),
        ("without a signature", format!("{message}."), Refusal::Signature),
        ("alg none", unsigned.clone(), Refusal::Algorithm),
        (
            "alg None",
            unsigned.replace("eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0"),
            Refusal::Algorithm,
        ),
        ("alg hs256", signed_by(SECRET, r#"{"alg":"hs256"}"#, &claims()), Refusal::Algorithm),
        ("alg HS512", signed_by(SECRET, r#"{"alg":"HS512"}"#, &claims()), Refusal::Algorithm),
        ("alg RS256", signed_by(SECRET, r#"{"alg":"RS256"}"#, &claims()), Refusal::Algorithm),
        ("no alg", signed_by(SECRET, "{}", &claims()), Refusal::Malformed),
        (
            "two algs",
            signed_by(SECRET, r#"{"alg":"HS256","alg":"HS256"}"#, &claims()),
            Refusal::Malformed,
        ),
        (
            "crit",
            signed_by(SECRET, r#"{"alg":"HS256","crit":["b64"]}"#, &claims()),
            Refusal::Malformed,
        ),
        ("expired", with_claims(&|it| it.exp = Some(NOW_S)), Refusal::Expired),
        ("expired long ago", with_claims(&|it| it.exp = Some(0)), Refusal::Expired),
        ("future", with_claims(&|it| it.nbf = Some(NOW_S + 60)), Refusal::NotYetValid),
        ("made in the future", with_claims(&|it| it.iat = Some(NOW_S + 60)), Refusal::NotYetValid),
        ("for somebody", with_claims(&|it| it.aud = vec!["shop".into()]), Refusal::Audience),
        ("no exp", with_claims(&|it| it.exp = None), Refusal::Claims),
        ("no sub", signed_by(SECRET, HS256, r#"{"exp":1800000060}"#), Refusal::Claims),
        (
            "exp is text",
            signed_by(SECRET, HS256, r#"{"sub":"ann","exp":"1800000060"}"#),
            Refusal::Claims,
        ),
        (
            "two subs",
            signed_by(SECRET, HS256, r#"{"sub":"ann","sub":"bob","exp":1800000060}"#),
            Refusal::Claims,
        ),
        ("claims are a list", signed_by(SECRET, HS256, "[]"), Refusal::Claims),
        ("claims are no JSON", signed_by(SECRET, HS256, "hello"), Refusal::Claims),
    ];
    all_refused(&table);
}

#[test]
fn a16_what_is_no_token() {
    let good = token(&ann());
    let (message, _) = good.rsplit_once('.').unwrap();
    let table = [
        ("nothing", String::new(), Refusal::Malformed),
        ("dots", "..".into(), Refusal::Malformed),
        ("four parts", format!("{good}.x"), Refusal::Malformed),
        ("two parts", message.into(), Refusal::Malformed),
        ("padded", format!("{good}="), Refusal::Signature),
        ("a blank before it", format!(" {good}"), Refusal::Malformed),
        ("no base64", "!.!.!".into(), Refusal::Malformed),
        (
            "long",
            signed_by(SECRET, HS256, &format!(r#"{{"sub":"ann","x":"{}"}}"#, "x".repeat(9000))),
            Refusal::Malformed,
        ),
        (
            "deep",
            signed_by(
                SECRET,
                HS256,
                &format!(r#"{{"sub":"ann","x":{}{}}}"#, "[".repeat(900), "]".repeat(900)),
            ),
            Refusal::Claims,
        ),
    ];
    all_refused(&table);
}

fn all_refused(table: &[(&str, String, Refusal)]) {
    let authenticator = by_secret();
    assert!(identify(&authenticator, &token(&ann())).is_ok());
    for (what, token, expected) in table {
        assert_eq!(identify(&authenticator, token).map(|_| ()), Err(*expected), "{what}");
    }
}

#[test]
fn a16_a_public_key_is_no_secret() {
    let signer = signer("rsa1.pem", "k");
    let set = jwks(&[&signer]);
    let file = Scratch::new(&set);
    let authenticator = with(AuthConfig::new(vec![Issuer::jwks(&file.0)]));
    // All that an attacker knows of the key, as a secret.
    let modulus = serde_json::from_str::<serde_json::Value>(&set).unwrap();
    let modulus = modulus["keys"][0]["n"].as_str().unwrap().to_owned();
    let header = r#"{"alg":"HS256","kid":"k"}"#;
    for secret in [set.as_bytes(), modulus.as_bytes(), &pem("rsa1.pem")] {
        let token = signed_by(secret, header, &claims());
        assert_eq!(refusal(&authenticator, &token), Refusal::Algorithm);
    }
    // Nor where HS256 is allowed beside it: the key verifies RS256 only.
    let both = Issuer::jwks(&file.0).algorithms(&Algorithm::ALL);
    let authenticator = with(AuthConfig::new(vec![both, Issuer::secret(SECRET)]));
    for secret in [set.as_bytes(), modulus.as_bytes()] {
        let token = signed_by(secret, header, &claims());
        assert_eq!(refusal(&authenticator, &token), Refusal::Signature);
    }
    // And a key of one kind does not verify another.
    let swapped = signer.sign(&ann()).unwrap();
    let (_, rest) = swapped.split_once('.').unwrap();
    for (alg, expected) in [("ES256", Refusal::UnknownKey), ("EdDSA", Refusal::UnknownKey)] {
        let head = forged(&format!(r#"{{"alg":"{alg}","kid":"k"}}"#), "", b"");
        let token = format!("{}.{rest}", head.split('.').next().unwrap());
        assert_eq!(refusal(&authenticator, &token), expected);
    }
}

#[test]
fn a16_the_same_kid_of_two_issuers_is_two_keys() {
    let (red, blue) = (signer("ec1.pem", "k"), signer("ec2.pem", "k"));
    let (red_file, blue_file) = (Scratch::new(jwks(&[&red])), Scratch::new(jwks(&[&blue])));
    let authenticator = with(AuthConfig::new(vec![
        Issuer::jwks(&red_file.0).named("red"),
        Issuer::jwks(&blue_file.0).named("blue"),
        Issuer::secret(SECRET),
    ]));
    let from = |iss: Option<&str>| Claims { iss: iss.map(Into::into), ..ann() };
    let red_by = |iss| identify(&authenticator, &red.sign(&from(iss)).unwrap()).map(|it| it.issuer);
    assert_eq!(red_by(Some("red")), Ok(Some("red".into())));
    assert_eq!(red_by(Some("blue")), Err(Refusal::Signature));
    assert_eq!(red_by(Some("green")), Err(Refusal::Algorithm), "only the secret is for others");
    assert_eq!(red_by(None), Err(Refusal::Algorithm));
    assert!(identify(&authenticator, &blue.sign(&from(Some("blue"))).unwrap()).is_ok());
    // Who has the secret cannot speak for those who have keys.
    assert_eq!(refusal(&authenticator, &token(&from(Some("red")))), Refusal::Algorithm);
    assert!(identify(&authenticator, &token(&from(Some("green")))).is_ok());
    let only_red = with(AuthConfig::new(vec![Issuer::jwks(&red_file.0).named("red")]));
    assert_eq!(refusal(&only_red, &red.sign(&from(Some("blue"))).unwrap()), Refusal::Issuer);
    assert_eq!(refusal(&only_red, &red.sign(&from(None)).unwrap()), Refusal::Issuer);
}

/// Nothing of an unverified token is believed: neither a key in it, nor a place of keys.
#[test]
fn a16_nothing_is_fetched_or_taken_from_the_token() {
    let (own, foreign) = (signer("ec1.pem", "own"), signer("ec2.pem", "foreign"));
    let file = Scratch::new(jwks(&[&own]));
    let authenticator = with(AuthConfig::new(vec![Issuer::jwks(&file.0)]));
    // A server that would answer with the foreign keys: nobody must come.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", server.local_addr().unwrap());
    let key = serde_json::from_str::<serde_json::Value>(&jwks(&[&foreign])).unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_pem(&pem("ec2.pem")).map(|it| (it, key)).unwrap();
    for kid in [None, Some("own"), Some("foreign"), Some("../../../etc/passwd")] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = kid.map(Into::into);
        header.jku = Some(url.clone());
        header.x5u = Some(url.clone());
        header.jwk = Some(serde_json::from_value(key.1["keys"][0].clone()).unwrap());
        let claims = Claims { iss: Some(url.clone()), ..ann() };
        let token = jsonwebtoken::encode(&header, &claims, &key.0).unwrap();
        let refusal = refusal(&authenticator, &token);
        assert!(matches!(refusal, Refusal::Signature | Refusal::UnknownKey), "{kid:?} {refusal:?}");
    }
    assert_eq!(server.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a16_bad_configurations_are_refused_at_the_start() {
    let start = |issuers| Authenticator::new(AuthConfig::new(issuers)).map(|_| ()).unwrap_err();
    assert!(matches!(start(vec![]), AuthError::NoKeys));
    let short = start(vec![Issuer::secret(&SECRET[1..])]);
    assert!(short.to_string().starts_with("the secret has 31 bytes"), "{short}");
    let file = Scratch::new([&SECRET[1..], b"\n"].concat());
    assert!(matches!(start(vec![Issuer::secret_file(&file.0)]), AuthError::SecretTooShort(31)));
    let issuer = Issuer::secret(SECRET).algorithms(&[Algorithm::Rs256]);
    assert!(matches!(start(vec![issuer]), AuthError::SecretAlgorithm(Algorithm::Rs256)));
    assert!(matches!(start(vec![Issuer::secret(SECRET).algorithms(&[])]), AuthError::NoAlgorithms));
    let twice = vec![Issuer::secret(SECRET).named("a"), Issuer::secret(OTHER_SECRET).named("a")];
    assert!(matches!(start(twice), AuthError::IssuerRepeated(_)));
    let nowhere = Issuer::jwks("there/is/no/such/file.json");
    assert!(matches!(start(vec![nowhere]), AuthError::File { .. }));
}
