//! Web rules 8 and 9: no token gets into a log, at whatever level.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng::http::{HeadLimits, HeaderSlots, Request};
use throng::hub::auth::{
    AuthConfig, Authenticator, Issuer, redact_header, redact_target, token_of, watch,
};
use throng::hub::origin::{Origins, Scheme};

use crate::support::{NOW_S, SECRET, Scratch, ann, token};

/// All that was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each way in, with a good token and a bad one; what a server logs of it at most: the target, all
/// headers, the verdict, and the configuration.
#[test]
fn rule_8_no_token_in_any_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let file = Scratch::new(SECRET);
    let good = token(&ann());
    let bad = good.replace("eyJ", "eyJ1");
    tracing::subscriber::with_default(subscriber, || {
        let config =
            AuthConfig::new(vec![Issuer::secret(SECRET), Issuer::secret_file(&file.0).named("i")]);
        tracing::info!(?config, "start");
        let authenticator = Arc::new(Authenticator::new(config).expect("good keys"));
        tracing::info!(?authenticator, "start");
        watch(&authenticator, Duration::from_secs(60)).expect("a thread");
        for token in [&good, &bad] {
            for (target, line) in [
                ("/ws".to_owned(), format!("Authorization: Bearer {token}")),
                ("/ws".to_owned(), format!("Cookie: a=b; token={token}")),
                ("/ws".to_owned(), format!("Sec-WebSocket-Protocol: x, bearer.{token}")),
                (format!("/ws?room=a&token={token}"), "X-Nothing: at all".to_owned()),
                (format!("/ws?room=a&%74oken={token}"), "X-Nothing: at all".to_owned()),
            ] {
                one(&authenticator, &target, &line);
            }
        }
    });
    let lines = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("UTF-8");
    assert!(lines.matches("refused").count() >= 5 && lines.matches("welcome").count() >= 4);
    let signature = good.rsplit('.').next().expect("a signature");
    let secret = str::from_utf8(SECRET).expect("ASCII");
    for canary in [good.as_str(), bad.as_str(), signature, "eyJ", secret] {
        assert!(!lines.contains(canary), "{canary} is in {lines}");
    }
    // The numbers of the secret, as a list of bytes would show them.
    assert!(!lines.contains("48, 49, 50"), "{lines}");
}

fn one(authenticator: &Authenticator, target: &str, line: &str) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n{line}\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let limits = HeadLimits::default();
    let head = Request::parse(head.as_bytes(), &mut slots, &limits).expect("a request");
    tracing::debug!(target = %redact_target(target), "request");
    for (name, value) in head.all_headers().iter() {
        tracing::trace!(name, value = %redact_header(name, value), "header");
    }
    tracing::trace!(token = ?token_of(&head, throng::hub::auth::Sources::ALL), "token");
    let provenance = Origins::default().check(&head, Scheme::Http).expect("the same origin");
    match authenticator.authenticate(&head, provenance, NOW_S) {
        Ok(identity) => tracing::info!(?identity, "welcome"),
        Err(refusal) => {
            let answer = String::from_utf8_lossy(refusal.response().body_bytes()).into_owned();
            tracing::info!(?refusal, answer, "refused");
        }
    }
}
