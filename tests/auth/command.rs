//! `throng token`, the real program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use throng::hub::auth::{AuthConfig, Authenticator, Identity, Issuer, Right};

use crate::support::{OTHER_SECRET, SECRET, Scratch};

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_throng"))
        .arg("token")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // A program that does not read its input may have ended: that is no fault.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn out(arguments: &[&str]) -> String {
    let output = run(arguments, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn identify(issuer: Issuer, audience: &[&str], token: &str) -> Identity {
    let mut config = AuthConfig::new(vec![issuer]);
    config.audience = audience.iter().map(|name| (*name).to_owned()).collect();
    let authenticator = Authenticator::new(config).expect("good keys");
    authenticator.identify(token.trim_end(), now_s()).expect("a good token")
}

#[test]
fn a_token_by_a_secret() {
    let secret = Scratch::new([SECRET, b"\n"].concat());
    let file = secret.0.to_str().unwrap();
    let token = out(&[
        "--sub",
        "ann",
        "--secret-file",
        file,
        "--room",
        "team.*:read,write",
        "--ttl",
        "15m",
        "--aud",
        "chat",
        "--iss",
        "tests",
        "--jti",
        "t1",
        "--priority",
        "low",
        "--api",
    ]);
    let ann = identify(Issuer::secret(SECRET).named("tests"), &["chat"], &token);
    assert_eq!((&*ann.sub, ann.token_id.as_deref()), ("ann", Some("t1")));
    assert!(ann.grants.allows(Right::Write, "team.red") && !ann.grants.allows(Right::Read, "x"));
    let left_s = ann.expires_at_s.unwrap() - now_s();
    assert!((890..=900).contains(&left_s), "{left_s}");
    assert!(ann.may_use_api);
}

#[test]
fn a_token_by_a_private_key_and_the_file_that_verifies_it() {
    for (alg, key) in [("RS256", "rsa1.pem"), ("ES256", "ec1.pem"), ("EdDSA", "ed1.pem")] {
        let key = format!("{}/tests/auth/keys/{key}", env!("CARGO_MANIFEST_DIR"));
        let with = ["--alg", alg, "--key", &key, "--kid", "k"];
        let jwks = Scratch::new(out(&[&with[..], &["--print-jwks"]].concat()));
        let token = out(&[&with[..], &["--sub", "ann"]].concat());
        assert_eq!(&*identify(Issuer::jwks(&jwks.0), &[], &token).sub, "ann", "{alg}");
        let file = jwks.0.to_str().unwrap();
        let shown = out(&["--inspect", token.trim_end(), "--jwks", file]);
        assert!(shown.ends_with("good: this is ann\n"), "{shown}");
        let public = std::fs::read_to_string(&jwks.0).unwrap();
        assert!(!public.contains("\"d\""), "{public}");
    }
}

#[test]
fn a_token_is_inspected() {
    let (secret, other) = (Scratch::new(SECRET), Scratch::new(OTHER_SECRET));
    let [secret, other] = [&secret, &other].map(|file| file.0.to_str().unwrap());
    let token = out(&["--sub", "ann", "--secret-file", secret]);
    let token = token.trim_end();
    let plain = out(&["--inspect", token]);
    assert!(plain.contains("\"alg\": \"HS256\"") && plain.contains("\"sub\": \"ann\""), "{plain}");
    assert!(plain.ends_with("not verified: give --secret-file or --jwks\n"));
    let good = run(&["--inspect", "-", "--secret-file", secret], token);
    assert!(good.status.success() && good.stdout.ends_with(b"good: this is ann\n"));
    let bad = run(&["--inspect", token, "--secret-file", other], "");
    assert!(!bad.status.success());
    let words = String::from_utf8_lossy(&bad.stderr);
    assert!(words.contains("refused, bad_signature: the token's signature is wrong"), "{words}");
    let garbage = run(&["--inspect", "hello", "--secret-file", secret], "");
    assert!(!garbage.status.success());
    assert!(String::from_utf8_lossy(&garbage.stderr).contains("malformed_token"));
}

#[test]
fn bad_options_are_named() {
    let short = Scratch::new("short\n");
    let file = short.0.to_str().unwrap();
    for (arguments, expected) in [
        (&["--sub", "ann"][..], "no key is configured"),
        (&["--sub", "ann", "--secret-file", file], "the secret has 5 bytes"),
        (&["--sub", "ann", "--secret-file", file, "--alg", "RS256"], "a secret verifies HS256"),
        (&["--sub", "ann", "--key", file, "--alg", "ES256"], "no private key for ES256 in PEM"),
        (&["--sub", "ann", "--key", "nowhere.pem", "--alg", "ES256"], "nowhere.pem"),
        (&["--sub", "ann", "--room", "a:fly"], "a right is read, write or presence"),
        (&["--sub", "ann", "--ttl", "1"], "must be a number and s, m, h or d"),
        (&["--secret-file", file], "--sub"),
    ] {
        let output = run(arguments, "");
        assert!(!output.status.success());
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains(expected), "{words}: {expected}");
    }
}
