//! The sentinels that watch a Redis and its replicas.
//!
//! Owns how they are asked where the master is, and how it is made sure that it is one. Never
//! remembers it: after a failover it is another.

use std::fmt;
use std::time::Duration;

use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, Value,
};

/// How long one of them may take to be connected to, and as long again to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Those that watch one master.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sentinels {
    master: Box<str>,
    addresses: Vec<ConnectionAddr>,
}

impl Sentinels {
    /// None where no master can have such a name.
    pub(super) fn new(master: &str, addresses: Vec<ConnectionAddr>) -> Option<Self> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_name = !master.is_empty() && master.bytes().all(is_of_name);
        is_name.then(|| Self { master: master.into(), addresses })
    }

    /// The server that one of them names and that says of itself that it is the master. `server` is
    /// how one logs in there.
    pub(super) fn master(&self, server: &ConnectionInfo) -> Result<ConnectionInfo, String> {
        let mut faults = Vec::new();
        for sentinel in &self.addresses {
            match self.told_by(sentinel, server) {
                Ok(info) => return Ok(info),
                Err(fault) => faults.push(format!("{sentinel}: {fault}")),
            }
        }
        Err(faults.join("; "))
    }

    fn told_by(
        &self,
        sentinel: &ConnectionAddr,
        server: &ConnectionInfo,
    ) -> Result<ConnectionInfo, String> {
        let login = server.redis_settings();
        let ask = |settings: RedisConnectionInfo| {
            let info = server.clone().set_addr(sentinel.clone()).set_redis_settings(settings);
            let mut cmd = redis::cmd("SENTINEL");
            query(info, cmd.arg("get-master-addr-by-name").arg(&*self.master))
        };
        // Most sentinels want no password, and refuse one; those that do have the same.
        let told = match ask(RedisConnectionInfo::default()) {
            Err(error) if error.code() == Some("NOAUTH") => ask(login.clone().set_db(0)),
            told => told,
        };
        let told: Option<(String, u16)> = told.map_err(|error| error.to_string())?;
        let (host, port) = told.ok_or_else(|| format!("it knows no {}", self.master))?;
        let is_secure = matches!(server.addr(), ConnectionAddr::TcpTls { .. });
        let address = if is_secure {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        // It may have been one until a moment ago.
        let info = server.clone().set_addr(address);
        let role: Result<Vec<Value>, _> = query(info.clone(), &redis::cmd("ROLE"));
        match role.as_ref().map(|role| role.first()) {
            Ok(Some(Value::BulkString(role))) if role == b"master" => Ok(info),
            Ok(_) => Err(format!("{} is no master", info.addr())),
            Err(error) => Err(format!("{}, which it names: {error}", info.addr())),
        }
    }
}

fn query<T: FromRedisValue>(info: impl IntoConnectionInfo, cmd: &Cmd) -> Result<T, RedisError> {
    let mut connection = Client::open(info)?.get_connection_with_timeout(TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    cmd.query(&mut connection)
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by ", self.master)?;
        for (number, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if number == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
