//! Where a Redis is.
//!
//! Owns how an address is written, and which server it means at a moment. Never keeps a connection.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo};

use super::sentinels::Sentinels;
use crate::hub::broker::BrokerError;

const WANTED: &str = "this is not redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], nor \
                      redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]..]\
                      /MASTER[/DATABASE]; with TLS rediss";

/// Where a Redis is: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or the master that sentinels
/// watch: `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]..]/MASTER[/DATABASE]`; with
/// TLS `rediss`. Shown without the password.
///
/// ```
/// use throng::hub::broker::RedisAddress;
///
/// let address: RedisAddress = "redis://:secret@127.0.0.1:6379/2".parse()?;
/// assert_eq!(address.to_string(), "127.0.0.1:6379");
/// let watched: RedisAddress = "redis+sentinel://:secret@one,two:7000/mymaster".parse()?;
/// assert_eq!(watched.to_string(), "mymaster by one:26379,two:7000");
/// assert!("127.0.0.1:6379".parse::<RedisAddress>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct RedisAddress {
    /// Of one behind sentinels all but where it is.
    server: ConnectionInfo,
    sentinels: Option<Sentinels>,
}

impl RedisAddress {
    /// How the server is reached now. Where there are sentinels they are asked, which may take some
    /// seconds.
    ///
    /// # Errors
    /// No sentinel knows a master that is one.
    pub fn server(&self) -> Result<ConnectionInfo, BrokerError> {
        let Some(sentinels) = &self.sentinels else { return Ok(self.server.clone()) };
        let found = sentinels.master(&self.server);
        found.map_err(|words| BrokerError(format!("Redis at {self}: {words}")))
    }

    /// Which database of the server.
    pub(super) fn database(&self) -> i64 {
        self.server.redis_settings().db()
    }

    fn direct(url: &str) -> Option<Self> {
        Some(Self { server: url.into_connection_info().ok()?, sentinels: None })
    }

    /// What stands behind `redis+sentinel://`.
    fn watched(scheme: &str, rest: &str) -> Option<Self> {
        let (authority, path) = rest.split_once('/')?;
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        database.parse::<u16>().ok()?;
        let info = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { "" } else { ":26379" };
            format!("{scheme}://{login}{host}{port}/{database}").into_connection_info().ok()
        };
        let sentinels = hosts.split(',').map(info).collect::<Option<Vec<_>>>()?;
        let addresses = sentinels.iter().map(|info| info.addr().clone()).collect();
        let server = sentinels.into_iter().next()?;
        Some(Self { server, sentinels: Some(Sentinels::new(master, addresses)?) })
    }
}

impl FromStr for RedisAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let address = match scheme {
            "redis" | "rediss" => Self::direct(url),
            "redis+sentinel" => Self::watched("redis", rest),
            "rediss+sentinel" => Self::watched("rediss", rest),
            _ => None,
        };
        // The fault of the library could show the password.
        address.ok_or_else(|| WANTED.into())
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sentinels {
            Some(sentinels) => sentinels.fmt(f),
            None => self.server.addr().fmt(f),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_hides_its_password() {
        for good in
            ["rediss://ann:hush@example.com:7000/1", "rediss+sentinel://ann:hush@a,[::1],b:1/m/1"]
        {
            let address: RedisAddress = good.parse().unwrap();
            assert!(!format!("{address} {address:?}").contains("hush"));
            assert_eq!(address.database(), 1);
            assert_eq!(address.server.redis_settings().password(), Some("hush"));
        }
        for bad in [
            "",
            "example.com",
            "http://example.com",
            "redis://",
            "redis://:hush@h:x/",
            "redis+sentinel://:hush@h:1",
            "redis+sentinel://:hush@h:1/",
            "redis+sentinel://:hush@h,/m",
            "redis+sentinel://:hush@h:1/m m",
            "redis+sentinel://:hush@h:1/m/x",
            "redis+sentinel://:hush@h:1/m/0/1",
        ] {
            let error = bad.parse::<RedisAddress>().map(|_| ()).unwrap_err();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
    }

    #[test]
    fn sentinels_have_a_port_of_their_own() {
        let address: RedisAddress = "redis+sentinel://a,[::1],[::2]:7,b:1/my.m".parse().unwrap();
        assert_eq!(address.to_string(), "my.m by a:26379,::1:26379,::2:7,b:1");
    }
}
