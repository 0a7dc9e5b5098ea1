//! What is to be done, worked out.
//!
//! Owns the settings of one run as its workers get them, and how they are shared out. Never reads a
//! command line.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use throng::client::Url;
use throng::extension;
use throng::handshake::ClientRequest;
use throng::tls::Connector;

use super::clock::{now_ns, ns};
use crate::cli::tls::Trust;

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Echo,
    Fanout,
    Storm,
    Idle,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Storm => "storm",
            Self::Idle => "idle",
        }
    }
}

/// permessage-deflate: what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    Off,
    Shared,
    Dedicated,
}

impl Compress {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }

    pub const fn config(self) -> extension::Config {
        extension::Config::new(match self {
            Self::Off => extension::Mode::Off,
            Self::Shared => extension::Mode::Shared,
            Self::Dedicated => extension::Mode::Dedicated,
        })
    }
}

/// The settings of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub mode: Mode,
    pub url: String,
    pub to: SocketAddr,
    /// Host and port as the request says them.
    pub host: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub subprotocols: Vec<String>,
    /// The addresses to come from; none leaves it to the system.
    pub from: Vec<IpAddr>,
    pub connections: usize,
    /// How many connections other processes have before those of this one.
    pub first: usize,
    pub procs: usize,
    pub open_rate: Option<f64>,
    pub hello: Option<String>,
    pub size: usize,
    pub depth: usize,
    /// Messages a second in all; without one the next message follows the last one's reply.
    pub rate: Option<f64>,
    pub text: bool,
    pub wrap: Option<String>,
    /// How many send to all: the first connections of the first process.
    pub senders: usize,
    pub compress: Compress,
    pub warm_up_s: f64,
    pub duration_s: f64,
    pub timeout_s: f64,
    pub ping_every_s: Option<f64>,
    pub pid: Option<u32>,
    pub tls: Trust,
}

impl Plan {
    /// The request for one connection.
    ///
    /// # Errors
    /// A header, subprotocol or path that no client may send.
    pub fn request(&self, nonce: [u8; 16]) -> io::Result<ClientRequest> {
        self.build_request(nonce).map_err(|error| io::Error::other(error.to_string()))
    }

    fn build_request(
        &self,
        nonce: [u8; 16],
    ) -> Result<ClientRequest, throng::handshake::RequestError> {
        let mut request = ClientRequest::new(self.host.clone(), self.target.clone(), nonce)?;
        for name in &self.subprotocols {
            request = request.subprotocol(name.clone())?;
        }
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone())?;
        }
        Ok(request)
    }

    /// What opens TLS connections, where the URL asks for them. Each does a whole handshake, as
    /// that of a client does which has never been there.
    ///
    /// # Errors
    /// There is nobody to trust.
    pub fn connector(&self) -> io::Result<Option<Connector>> {
        let is_secure = Url::parse(&self.url).is_ok_and(|url| url.is_secure());
        let connector = is_secure.then(|| self.tls.connector()).transpose()?;
        Ok(connector.map(Connector::without_resumption))
    }

    /// Where the connection of this number comes from.
    pub fn from(&self, number: usize) -> Option<IpAddr> {
        let all = self.from.len();
        (all > 0).then(|| self.from[(self.first + number) % all])
    }

    /// From when to when is counted, if the run begins now.
    pub fn window_ns(&self) -> (u64, u64) {
        let from_ns = now_ns() + ns(self.warm_up_s);
        (from_ns, from_ns + ns(self.duration_s))
    }

    /// The plans of the processes that share it: as many connections each, and their part of the
    /// rates. What is sent to all comes from the first.
    pub fn share(&self) -> Vec<Self> {
        let procs = self.procs.clamp(1, self.connections.max(1));
        let mut first = 0;
        (0..procs)
            .map(|number| {
                let connections =
                    self.connections / procs + usize::from(number < self.connections % procs);
                let part = connections as f64 / self.connections.max(1) as f64;
                let plan = Self {
                    connections,
                    first,
                    rate: match self.mode {
                        Mode::Fanout => self.rate,
                        Mode::Echo | Mode::Storm | Mode::Idle => self.rate.map(|it| it * part),
                    },
                    open_rate: self.open_rate.map(|it| it * part),
                    ..self.clone()
                };
                first += connections;
                plan
            })
            .collect()
    }

    /// A plan for tests.
    #[cfg(test)]
    pub fn sample() -> Self {
        Self {
            mode: Mode::Echo,
            url: "ws://127.0.0.1:1/".into(),
            to: SocketAddr::from(([127, 0, 0, 1], 1)),
            host: "127.0.0.1:1".into(),
            target: "/".into(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            from: Vec::new(),
            connections: 10,
            first: 0,
            procs: 1,
            open_rate: None,
            hello: None,
            size: 32,
            depth: 1,
            rate: None,
            text: false,
            wrap: None,
            senders: 1,
            compress: Compress::Off,
            warm_up_s: 0.0,
            duration_s: 1.0,
            timeout_s: 1.0,
            ping_every_s: None,
            pid: None,
            tls: Trust::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_work() {
        let plan = Plan { procs: 3, rate: Some(1000.0), ..Plan::sample() };
        let plans = plan.share();
        let connections: Vec<_> = plans.iter().map(|it| (it.first, it.connections)).collect();
        assert_eq!(connections, [(0, 4), (4, 3), (7, 3)]);
        assert_eq!(plans.iter().filter_map(|it| it.rate).sum::<f64>().round(), 1000.0);
        let plan = Plan { procs: 30, ..Plan::sample() };
        assert_eq!(plan.share().len(), 10, "no process without a connection");
    }
}
