//! Whether what a request shows could be read on its way (web rule 19).
//!
//! Owns the one question that is asked of a key, a token, a cookie or a ticket before it is looked
//! at: did it come by TLS, or over this machine only? Never looks into it.

use super::address::Client;
use super::auth::Refusal;
use super::door::Door;
use crate::net::Request;

/// Whether a request has crossed a network in the clear. `is_tls` is about the connection to this
/// server; without a client it came over a Unix socket. A proxy that is trusted has to say that
/// its own client spoke TLS.
fn is_exposed(is_tls: bool, client: Option<Client>) -> bool {
    let Some(client) = client.filter(|_| !is_tls) else { return false };
    client.is_secure != Some(true) && client.ip.is_some_and(|ip| !ip.is_loopback())
}

impl Door {
    /// Whether something that nobody else may know can be taken from a request.
    ///
    /// # Errors
    /// It could have been read on its way.
    pub(super) fn check_exposure(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if self.allows_insecure_credentials
            || !is_exposed(request.is_secure(), self.client(request))
        {
            return Ok(());
        }
        Err(Refusal::Insecure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client at `ip`; `by` is what a trusted proxy says of its way there, if one speaks.
    fn client(ip: &str, by: Option<&str>) -> Option<Client> {
        Some(Client {
            ip: Some(ip.parse().unwrap()),
            is_secure: by.map(|scheme| scheme == "https"),
        })
    }

    #[test]
    fn rule_19_what_came_in_the_clear_from_elsewhere_is_exposed() {
        let plain = [
            // On this machine.
            (None, false),
            (Some(Client { ip: None, is_secure: None }), false),
            (client("127.0.0.1", None), false),
            (client("127.9.8.7", None), false),
            (client("::1", None), false),
            (client("127.0.0.1", Some("https")), false),
            // What a proxy on this machine was asked by a program on this machine.
            (client("127.0.0.1", Some("http")), false),
            // From elsewhere, or through a proxy that does not say how.
            (client("192.0.2.7", None), true),
            (client("10.0.0.1", None), true),
            (client("0.0.0.0", None), true),
            (client("2001:db8::7", None), true),
            (client("fe80::1", None), true),
            (client("192.0.2.7", Some("http")), true),
            // Through a proxy that says that it was TLS up to there.
            (client("192.0.2.7", Some("https")), false),
            (client("2001:db8::7", Some("https")), false),
        ];
        for (client, expected) in plain {
            assert_eq!(is_exposed(false, client), expected, "{client:?}");
            assert!(!is_exposed(true, client), "{client:?}: by TLS it is nobody else's");
        }
    }
}
