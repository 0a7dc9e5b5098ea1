//! `throng token`: making tokens, and looking into them.
//!
//! Owns its options and what it prints. Meant for tests and development: in production the program
//! that knows the users makes their tokens.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::Value;
use throng::hub::auth::{
    Algorithm, AuthConfig, AuthError, Authenticator, Claims, Issuer, Pattern, Priority, Right,
    RoomClaim, Signer,
};

/// Options of `throng token`.
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// Who the token is for.
    #[arg(long, value_name = "USER", required_unless_present_any = ["inspect", "print_jwks"])]
    sub: Option<String>,
    /// File with the secret of HS256: at least 32 bytes; a line end behind them does not count.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Algorithm: HS256, RS256, ES256 or EdDSA.
    #[arg(long, value_name = "ALG", default_value = "HS256")]
    alg: Algorithm,
    /// File with the private key in PEM, for the algorithms other than HS256.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    key: Option<PathBuf>,
    /// Name of the key, for a server that has several.
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// Rooms and rights, as in 'team.*:read,write'; may be given more than once. Without it, every
    /// room.
    #[arg(long, value_name = "PATTERN:RIGHTS", value_parser = room)]
    room: Vec<RoomClaim>,
    /// How long the token is good: 90s, 15m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime_s)]
    ttl: u64,
    /// Whom the token is meant for; may be given more than once. With --inspect, who we are.
    #[arg(long, value_name = "NAME")]
    aud: Vec<String>,
    /// Who makes the token. With --inspect, who has to.
    #[arg(long, value_name = "NAME")]
    iss: Option<String>,
    /// Name of the token, to revoke it by.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// How much the user's messages matter under load: low, normal or high.
    #[arg(long, value_name = "WHICH", default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// Let the bearer use the HTTP API.
    #[arg(long)]
    api: bool,
    /// Show what a token says, and whether it is good; - reads it from standard input.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["sub", "print_jwks"])]
    inspect: Option<String>,
    /// With --inspect: file with the public keys.
    #[arg(long, value_name = "FILE", requires = "inspect", conflicts_with = "secret_file")]
    jwks: Option<PathBuf>,
    /// Print the JWKS file that verifies what the private key signs.
    #[arg(long, requires = "key", conflicts_with = "sub")]
    print_jwks: bool,
}

pub fn run(options: &TokenOptions) -> io::Result<()> {
    if let Some(token) = &options.inspect {
        return inspect(options, token);
    }
    let signer = signer(options)?;
    if options.print_jwks {
        println!("{}", signer.jwks().map_err(io::Error::other)?);
        return Ok(());
    }
    let now_s = now_unix_s();
    let claims = Claims {
        sub: options.sub.clone().unwrap_or_default(),
        iat: Some(now_s),
        exp: Some(now_s + options.ttl),
        iss: options.iss.clone(),
        aud: options.aud.clone(),
        jti: options.jti.clone(),
        rooms: (!options.room.is_empty()).then(|| options.room.clone()),
        priority: options.priority,
        api: options.api,
        ..Claims::default()
    };
    println!("{}", signer.sign(&claims).map_err(io::Error::other)?);
    Ok(())
}

fn signer(options: &TokenOptions) -> io::Result<Signer> {
    let signer = match (&options.secret_file, &options.key) {
        (Some(path), None) if options.alg == Algorithm::Hs256 => {
            let mut secret = read(path)?;
            if secret.ends_with(b"\n") {
                secret.pop();
                secret.pop_if(|byte| *byte == b'\r');
            }
            Signer::secret(&secret)
        }
        (None, Some(path)) => Signer::pem(options.alg, &read(path)?),
        (Some(_), _) => Err(AuthError::SecretAlgorithm(options.alg)),
        (None, None) => Err(AuthError::NoKeys),
    };
    let signer = signer.map_err(io::Error::other)?;
    Ok(match &options.kid {
        Some(kid) => signer.kid(kid),
        None => signer,
    })
}

/// Shows header and claims as they are written, and then the verdict.
fn inspect(options: &TokenOptions, token: &str) -> io::Result<()> {
    let mut read_in = String::new();
    let token = match token {
        "-" => {
            io::stdin().take(64 << 10).read_to_string(&mut read_in)?;
            read_in.trim()
        }
        _ => token.trim(),
    };
    for (name, part) in ["header", "claims"].into_iter().zip(token.split('.')) {
        let part = URL_SAFE_NO_PAD.decode(part).ok();
        match part.and_then(|part| serde_json::from_slice::<Value>(&part).ok()) {
            Some(value) => println!("{name} {}", printable(&format!("{value:#}"))),
            None => println!("{name} cannot be read"),
        }
    }
    let issuer = match (&options.secret_file, &options.jwks) {
        (Some(path), _) => Issuer::secret_file(path),
        (None, Some(path)) => Issuer::jwks(path),
        (None, None) => {
            println!("not verified: give --secret-file or --jwks");
            return Ok(());
        }
    };
    let issuer = match &options.iss {
        Some(name) => issuer.named(name),
        None => issuer,
    };
    let config = AuthConfig { audience: options.aud.clone(), ..AuthConfig::new(vec![issuer]) };
    let authenticator = Authenticator::new(config).map_err(io::Error::other)?;
    match authenticator.identify(token, now_unix_s()) {
        Ok(identity) => {
            println!("good: this is {}", identity.sub);
            Ok(())
        }
        Err(refusal) => {
            let (code, message) = (refusal.code(), refusal.message());
            Err(io::Error::other(format!("refused, {code}: {message}")))
        }
    }
}

/// JSON may hold controls from U+007F up as they are: none gets to the terminal.
fn printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_control() && letter != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `PATTERN:RIGHT,RIGHT`. A pattern may hold colons: the last one counts.
fn room(text: &str) -> Result<RoomClaim, &'static str> {
    let (pattern, rights) = text.rsplit_once(':').ok_or("must be PATTERN:RIGHTS")?;
    let rights = rights.split(',').map(str::parse::<Right>).collect::<Result<_, _>>()?;
    Ok(RoomClaim { pattern: Pattern::new(pattern)?, rights })
}

/// A number and a unit: at most ten years.
fn lifetime_s(text: &str) -> Result<u64, &'static str> {
    const MAX_S: u64 = 10 * 365 * 86_400;
    let unit_s = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err("must be a number and s, m, h or d"),
    };
    let number = text[..text.len() - 1].parse::<u64>().map_err(|_| "must begin with a number")?;
    let time_s = number.checked_mul(unit_s).filter(|time_s| (1..=MAX_S).contains(time_s));
    time_s.ok_or("must be more than none and at most ten years")
}

fn priority(text: &str) -> Result<Priority, &'static str> {
    match text {
        "low" => Ok(Priority::Low),
        "normal" => Ok(Priority::Normal),
        "high" => Ok(Priority::High),
        _ => Err("must be low, normal or high"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        assert_eq!(lifetime_s("90s"), Ok(90));
        assert_eq!(lifetime_s("15m"), Ok(900));
        assert_eq!(lifetime_s("2h"), Ok(7_200));
        assert_eq!(lifetime_s("7d"), Ok(604_800));
        for bad in ["", "s", "1", "0s", "-1s", "1w", "1é", "3651d", "99999999999999999999d"] {
            assert!(lifetime_s(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_plays_with_the_terminal() {
        assert_eq!(printable("{\n\u{9b}\u{7f}é}"), "{\n\\u009b\\u007fé}");
    }

    #[test]
    fn rooms_have_a_pattern_and_rights() {
        let claim = room("a:b.*:read,presence").unwrap();
        assert_eq!(claim.pattern.to_string(), "a:b.*");
        assert!(claim.rights.has(Right::Presence) && !claim.rights.has(Right::Write));
        for bad in ["team.*", "team.*:", "team.*:fly", ":read"] {
            assert!(room(bad).is_err(), "{bad}");
        }
    }
}
