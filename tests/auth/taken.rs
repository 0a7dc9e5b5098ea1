//! Tokens that are taken, and what they say.

use throng::hub::auth::{
    Algorithm, AuthConfig, Claims, Issuer, Pattern, Priority, Refusal, Revocation, Right, RoomClaim,
};

use crate::support::{
    NOW_S, SECRET, Scratch, ann, by_secret, forged, identify, jwks, signer, token, with,
};

#[test]
fn each_algorithm() {
    let signers = [signer("rsa1.pem", "r"), signer("ec1.pem", "e"), signer("ed1.pem", "d")];
    let file = Scratch::new(jwks(&signers.each_ref()));
    let authenticator = with(AuthConfig::new(vec![Issuer::jwks(&file.0)]));
    for signer in &signers {
        let token = signer.sign(&ann()).unwrap();
        assert_eq!(&*identify(&authenticator, &token).unwrap().sub, "ann", "{signer:?}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let flip = if signature.starts_with('A') { "B" } else { "A" };
        let broken = format!("{message}.{flip}{}", &signature[1..]);
        assert_eq!(identify(&authenticator, &broken), Err(Refusal::Signature), "{signer:?}");
    }
    assert_eq!(&*identify(&by_secret(), &token(&ann())).unwrap().sub, "ann");
}

/// A token that another implementation made: RFC 7515, appendix A.1.
#[test]
fn rfc7515_a_1_example() {
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                 Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let set = format!(r#"{{"keys":[{{"kty":"oct","k":"{key}"}}]}}"#);
    let file = Scratch::new(set);
    let issuer = Issuer::jwks(&file.0).algorithms(&[Algorithm::Hs256]);
    let authenticator = with(AuthConfig::new(vec![issuer]));
    // The signature is right, so that what is wrong comes next: there is no `sub`.
    assert_eq!(authenticator.identify(token, 1_300_819_379), Err(Refusal::Claims));
    let other = token.replace("dBjf", "dBjg");
    assert_eq!(authenticator.identify(&other, 1_300_819_379), Err(Refusal::Signature));
}

#[test]
fn what_a_token_says() {
    let room = |pattern: &str, rights: &[Right]| RoomClaim {
        pattern: Pattern::new(pattern).unwrap(),
        rights: rights.iter().copied().collect(),
    };
    let claims = Claims {
        iat: Some(NOW_S - 1),
        iss: Some("back end".into()),
        jti: Some("t1".into()),
        rooms: Some(vec![room("team.*", &[Right::Read]), room("lobby", &Right::ALL)]),
        priority: Priority::High,
        api: true,
        ..ann()
    };
    let ann = identify(&by_secret(), &token(&claims)).unwrap();
    assert_eq!((&*ann.sub, ann.token_id.as_deref()), ("ann", Some("t1")));
    assert_eq!((ann.issued_at_s, ann.expires_at_s), (Some(NOW_S - 1), Some(NOW_S + 60)));
    assert!(ann.grants.allows(Right::Read, "team.red"));
    assert!(!ann.grants.allows(Right::Write, "team.red"));
    assert!(ann.grants.allows(Right::Presence, "lobby"));
    assert!(!ann.grants.allows(Right::Read, "hall"));
    assert_eq!((ann.priority, ann.may_use_api), (Priority::High, true));
    assert!(!ann.has_expired(NOW_S + 59) && ann.has_expired(NOW_S + 60));
}

#[test]
fn the_edges_of_time() {
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    (config.leeway_s, config.expiry_leeway_s) = (5, 2);
    let authenticator = with(config);
    let at = |exp, nbf, iat| {
        let claims = Claims { exp: Some(exp), nbf, iat, ..ann() };
        identify(&authenticator, &token(&claims)).map(|it| it.expires_at_s)
    };
    assert_eq!(at(NOW_S - 1, None, None), Ok(Some(NOW_S + 1)));
    assert_eq!(at(NOW_S - 2, None, None), Err(Refusal::Expired));
    assert_eq!(at(u64::MAX, Some(NOW_S + 5), None), Ok(Some(u64::MAX)));
    assert_eq!(at(u64::MAX, Some(NOW_S + 6), None), Err(Refusal::NotYetValid));
    assert_eq!(at(u64::MAX, None, Some(NOW_S + 6)), Err(Refusal::NotYetValid));
    assert_eq!(at(u64::MAX, Some(0), Some(NOW_S + 5)), Ok(Some(u64::MAX)));
}

#[test]
fn without_exp_only_where_it_is_allowed() {
    let eternal = token(&Claims { exp: None, ..ann() });
    assert_eq!(identify(&by_secret(), &eternal), Err(Refusal::Claims));
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    config.requires_expiry = false;
    assert_eq!(identify(&with(config), &eternal).map(|it| it.expires_at_s), Ok(None));
}

#[test]
fn an_audience_of_many() {
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    config.audience = vec!["chat".into(), "chat2".into()];
    let authenticator = with(config);
    let aud = |names: &[&str]| {
        let aud = names.iter().map(|name| (*name).to_owned()).collect();
        identify(&authenticator, &token(&Claims { aud, ..ann() })).map(|_| ())
    };
    assert_eq!(aud(&["chat"]), Ok(()));
    assert_eq!(aud(&["shop", "chat2"]), Ok(()));
    assert_eq!(aud(&["shop"]), Err(Refusal::Audience));
    assert_eq!(aud(&[]), Err(Refusal::Audience));
}

#[test]
fn rule_12_a_refresh_is_by_the_same_user() {
    let authenticator = by_secret();
    let old = identify(&authenticator, &token(&ann())).unwrap();
    let later = Claims { exp: Some(NOW_S + 900), ..ann() };
    let new = authenticator.refresh(&old, &token(&later), NOW_S).unwrap();
    assert_eq!(new.expires_at_s, Some(NOW_S + 900));
    let refresh = |claims: &Claims| authenticator.refresh(&old, &token(claims), NOW_S).unwrap_err();
    assert_eq!(refresh(&Claims { sub: "bob".into(), ..later.clone() }), Refusal::OtherUser);
    assert_eq!(refresh(&Claims { iss: Some("i".into()), ..later }), Refusal::OtherUser);
    assert_eq!(refresh(&Claims { exp: Some(NOW_S), ..ann() }), Refusal::Expired);
    let forged = forged(r#"{"alg":"HS256"}"#, r#"{"sub":"ann"}"#, b"");
    assert_eq!(authenticator.refresh(&old, &forged, NOW_S), Err(Refusal::Signature));
}

#[test]
fn rule_12_a_revoked_token_is_refused_from_then_on() {
    let authenticator = by_secret();
    let named = Claims { jti: Some("t1".into()), iat: Some(NOW_S - 10), ..ann() };
    let ann_now = identify(&authenticator, &token(&named)).unwrap();
    let by_name = Revocation::Token { id: "t1".into(), ends_s: ann_now.expires_at_s };
    assert!(by_name.hits(&ann_now));
    authenticator.revoke(by_name, NOW_S).unwrap();
    assert_eq!(identify(&authenticator, &token(&named)), Err(Refusal::Revoked));
    let fresh = Claims { jti: Some("t2".into()), ..named.clone() };
    assert!(identify(&authenticator, &token(&fresh)).is_ok());
    let user = Revocation::User {
        sub: "ann".into(),
        issued_until_s: NOW_S - 10,
        ends_s: Some(NOW_S + 60),
    };
    authenticator.revoke(user, NOW_S).unwrap();
    assert_eq!(identify(&authenticator, &token(&fresh)), Err(Refusal::Revoked));
    assert_eq!(identify(&authenticator, &token(&ann())), Err(Refusal::Revoked), "no iat");
    let newer = Claims { iat: Some(NOW_S - 9), ..fresh };
    assert!(identify(&authenticator, &token(&newer)).is_ok());
    assert_eq!(authenticator.revocation_count(NOW_S), 2);
    assert_eq!(authenticator.revocation_count(NOW_S + 60), 0, "the tokens have ended");
}
