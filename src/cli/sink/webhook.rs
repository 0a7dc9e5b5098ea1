//! A webhook: each batch is a POST request, a JSON array.
//!
//! Owns the request, and what an answer means. Never follows a redirect: what was signed for one
//! receiver goes to no other.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use throng::hub::sink::{Batch, Courier, Failure};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::signature::Secret;

/// As much of an answer is read, so that the connection can be used again.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The other side of a webhook.
pub struct Webhook {
    agent: Agent,
    url: String,
    secret: Option<Secret>,
}

impl Webhook {
    pub fn new(url: &str, secret: Option<Secret>, timeout: Duration) -> Self {
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("throng/", env!("CARGO_PKG_VERSION")));
        if url.starts_with("https:") {
            config = config.tls_config(tls());
        }
        Self { agent: config.build().into(), url: url.into(), secret }
    }

    fn post(&self, batch: &Batch) -> Result<(u16, Option<Duration>), ureq::Error> {
        let body = body(batch);
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &batch.id)
            .header("webhook-timestamp", now_s.to_string());
        if let Some(secret) = &self.secret {
            let signature = secret.sign(&batch.id, now_s, body.as_bytes());
            request = request.header("webhook-signature", signature);
        }
        let mut response = request.send(body.as_bytes())?;
        let after = response.headers().get("retry-after");
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        // What it says beside the status is of no interest, nor whether that came.
        let _ = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok((status, after.map(Duration::from_secs)))
    }
}

impl Courier for Webhook {
    fn hand_over(&mut self, batch: &Batch) -> Result<(), Failure> {
        match self.post(batch) {
            Ok((status, after)) => judge(status, after),
            // Its words can name the URL, which is nobody's business in a log of faults.
            Err(error) => Err(Failure::Later { reason: words(&error), after: None }),
        }
    }
}

/// What a status means. Who says that the address is wrong, or that it does not know us, has not
/// looked at the events: they wait until somebody has put it right.
fn judge(status: u16, after: Option<Duration>) -> Result<(), Failure> {
    let reason = format!("it answers with status {status}");
    match status {
        200..=299 => Ok(()),
        400..=499 if ![401, 403, 404, 405, 407, 408, 410, 421, 425, 429].contains(&status) => {
            Err(Failure::Refused { reason })
        }
        _ => Err(Failure::Later { reason, after }),
    }
}

fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "it does not answer in time".into(),
        ureq::Error::Io(error) => format!("it cannot be reached: {}", error.kind()),
        ureq::Error::HostNotFound => "its name is not known".into(),
        ureq::Error::ConnectionFailed => "it cannot be reached".into(),
        ureq::Error::Tls(words) => format!("TLS: {words}"),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        _ => "its answer is no HTTP".into(),
    }
}

fn body(batch: &Batch) -> String {
    let events: Vec<&str> = batch.events.iter().map(|event| &*event.json).collect();
    format!("[{}]", events.join(","))
}

/// Trusts whom the system trusts.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate that the system trusts cannot be used");
    }
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build()
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_becomes_of_the_events() {
        let of = |status| match judge(status, None) {
            Ok(()) => "taken",
            Err(Failure::Later { .. }) => "later",
            Err(Failure::Refused { .. }) => "refused",
        };
        for (statuses, meaning) in [
            (&[200, 201, 202, 204][..], "taken"),
            (&[301, 302, 307, 308, 500, 502, 503, 504], "later"),
            (&[401, 403, 404, 405, 408, 410, 421, 425, 429], "later"),
            (&[400, 402, 406, 409, 411, 413, 415, 422], "refused"),
        ] {
            statuses.iter().for_each(|status| assert_eq!(of(*status), meaning, "{status}"));
        }
    }
}
