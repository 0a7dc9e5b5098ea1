//! Where the sink is.
//!
//! Owns how it is written. It may hold a password: it is printed nowhere.

use std::fmt;

/// Where events go.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A URL that takes POST requests.
    Webhook(String),
    /// A stream of a Redis.
    Stream { url: String, stream: String },
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|letter| letter.is_control() || letter == ' ') {
            return Err("a URL has no blanks".into());
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.split(['?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err("must be a URL such as https://example.com/events".into());
        }
        match scheme {
            "http" | "https" if authority.contains('@') => {
                Err("takes no user or password: requests are signed, see --sink-secret-file".into())
            }
            "http" | "https" => Ok(Self::Webhook(text.into())),
            "redis" | "rediss" => {
                let (stream, query) = path.split_once('?').unwrap_or((path, ""));
                if stream.is_empty() || stream.contains('/') {
                    return Err("needs the name of a stream: redis://HOST/STREAM".into());
                }
                let database = match query.split_once('=') {
                    None if query.is_empty() => "0",
                    Some(("db", number)) if number.parse::<u16>().is_ok() => number,
                    _ => return Err("takes ?db=N and nothing else behind the stream".into()),
                };
                let url = format!("{scheme}://{authority}/{database}");
                Ok(Self::Stream { url, stream: stream.into() })
            }
            _ => Err("must begin with http://, https://, redis:// or rediss://".into()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["http://a", "https://a.example:8443/x?y=1", "http://[::1]:9/"] {
            assert_eq!(Address::parse(good), Ok(Address::Webhook(good.into())));
        }
        let stream = |url: &str| Ok(Address::Stream { url: url.into(), stream: "s".into() });
        assert_eq!(Address::parse("redis://h:1/s"), stream("redis://h:1/0"));
        assert_eq!(Address::parse("rediss://u:p@h/s?db=3"), stream("rediss://u:p@h/3"));
        for bad in [
            "",
            "a.example",
            "http://",
            "http://:80/",
            "http://u:p@h/",
            "ftp://h/s",
            "redis://h",
            "redis://h/",
            "redis://h/a/b",
            "redis://h/s?x=1",
            "http://a b/",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
