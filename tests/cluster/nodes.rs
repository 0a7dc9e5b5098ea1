//! A Redis, and nodes that each have their own way to it.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use crate::common::{Answer, RawClient, Server, eventually, free_addresses};
use crate::record::Person;
use crate::redis::Redis;
use crate::relay::{Mode, Relay};

/// The key of the HTTP API, where a test has it.
pub const API_KEY: &str = "key-of-these-tests-0123456789";

/// A Redis, and nodes over it.
pub struct Cluster {
    pub nodes: Vec<Node>,
    /// It goes after the nodes.
    redis: Mutex<Redis>,
}

/// One `throng serve`, which can be killed and started again.
pub struct Node {
    pub relay: Relay,
    flags: Vec<String>,
    /// `None` while it is down.
    server: Mutex<Option<Server>>,
}

impl Cluster {
    /// So many nodes, with these flags: rooms of `d.*` are durable, and all is kept.
    pub fn start(count: usize, flags: &[&str]) -> Cluster {
        // A port that nobody else takes while it is away.
        let [address] = free_addresses();
        Cluster::over(Redis::start_at(address, &[]), count, flags)
    }

    /// The same, over this Redis.
    pub fn over(redis: Redis, count: usize, flags: &[&str]) -> Cluster {
        let nodes = (0..count).map(|number| Node::start(&redis, number, flags)).collect();
        Cluster { nodes, redis: Mutex::new(redis) }
    }

    pub fn redis(&self) -> MutexGuard<'_, Redis> {
        self.redis.lock().expect("not poisoned")
    }

    /// Lets all bytes pass, and waits until every node has found Redis.
    pub fn heal(&self) {
        self.nodes.iter().for_each(|node| node.relay.set(Mode::Pass));
        for node in &self.nodes {
            eventually("the node is one of several again", 5.0, || !node.is_alone());
        }
    }
}

impl Node {
    fn start(redis: &Redis, number: usize, flags: &[&str]) -> Node {
        let relay = Relay::start(redis.address());
        let url = format!("redis://{}/0", relay.address());
        let name = format!("node-{number}");
        let own = ["--redis", &url, "--node", &name];
        let keeps = ["--history-messages", "1000000", "--durable", "d.*"];
        let is_said = flags.contains(&keeps[0]);
        let own = own.into_iter().chain(keeps.into_iter().filter(|_| !is_said));
        let flags = own.chain(flags.iter().copied()).map(Into::into).collect();
        let node = Node { relay, flags, server: Mutex::default() };
        node.start_again();
        node
    }

    /// Where it is, if it is up.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.lock().expect("not poisoned").as_ref().map(Server::address)
    }

    /// A connection, if it is up.
    pub fn try_dial(&self) -> Option<RawClient> {
        TcpStream::connect(self.address()?).ok().map(RawClient::on)
    }

    pub fn dial(&self) -> RawClient {
        self.try_dial().expect("the node is up")
    }

    /// Connects, and takes the welcome.
    pub fn person(&self, target: &str) -> Person {
        Person::open(self.dial(), target).0
    }

    /// Whether it says that it cannot reach Redis.
    pub fn is_alone(&self) -> bool {
        self.metric("throng_broker_connected") == 0.0
    }

    /// As by `kill -9`.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// As it should.
    pub fn stop(&self) {
        self.end("TERM");
    }

    fn end(&self, signal: &str) {
        let server = self.server.lock().expect("not poisoned").take();
        let mut server = server.expect("the node is up");
        server.signal(signal);
        server.wait_exit(10.0);
    }

    /// Starts it, or starts it again under its name.
    pub fn start_again(&self) {
        let flags: Vec<&str> = self.flags.iter().map(|flag| &**flag).collect();
        *self.server.lock().expect("not poisoned") = Some(Server::serve(&flags));
    }

    /// A request to its HTTP API, and the answer with its body.
    pub fn request(&self, method: &str, target: &str, body: &str) -> (Answer, Value) {
        let length = body.len();
        let mut client = self.dial();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let answer = client.read_answer(false);
        let body = serde_json::from_slice(&answer.body).expect("JSON");
        (answer, body)
    }

    /// The same, answered with 200.
    pub fn api(&self, method: &str, target: &str, body: &str) -> Value {
        let (answer, value) = self.request(method, target, body);
        assert_eq!(answer.status, 200, "{method} {target}: {value}");
        value
    }

    /// What it counts under this name, all labels together.
    pub fn metric(&self, name: &str) -> f64 {
        let mut client = self.dial();
        client.send(crate::common::http::get("/metrics"));
        let answer = client.read_answer(false);
        let text = String::from_utf8(answer.body).expect("words");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}
