//! Debian's RabbitMQ. It takes long to start, so there is one for all cases, and each has a virtual
//! host of its own; who kills it or has it stall has it alone.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::sync::{RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use throng::hub::broker::{Broker as _, Link, Rabbit as Broker};
use throng::hub::history::History;

use crate::amqp::Amqp;
use crate::common::eventually;
use crate::common::process::{Process, free_address};
use crate::nodes::Place;
use crate::servers::Kind;

/// How many cases may run at once.
const VHOSTS: usize = 6;

/// The streams.
const STREAMS: [&str; 2] = ["throng.fields", "throng.rooms"];

/// Runs until who has started it is gone, and then nothing of it is left.
const SCRIPT: &str = "epmd -port $ERL_EPMD_PORT -address 127.0.0.1 &
    epmd=$!
    /usr/lib/rabbitmq/bin/rabbitmq-server &
    cat >/dev/null
    kill -s KILL $! $epmd
    wait
    rm -rf $HOME";

/// The server of all cases.
static SERVER: RwLock<Option<Server>> = RwLock::new(None);

/// Virtual hosts that nobody uses.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static FREED: Condvar = Condvar::new();

/// A running server.
struct Server {
    process: Process,
    address: SocketAddr,
    tls_port: u16,
}

/// A virtual host of a running RabbitMQ, in which there is nothing.
pub struct Rabbit {
    address: SocketAddr,
    vhost: usize,
    hold: Hold,
}

/// How the server is held.
enum Hold {
    Shared(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'static, Option<Server>>),
    Alone(RwLockWriteGuard<'static, Option<Server>>),
}

impl Server {
    fn start() -> Self {
        let address = free_address();
        let ports = [free_address(), free_address(), free_address()].map(|free| free.port());
        let [tls_port, epmd_port, dist_port] = ports;
        let process = Process::start_family("sh", &["-c", SCRIPT], |folder| {
            let path = |name: &str| folder.join(name).display().to_string();
            // And the one that is meant where a URL names none.
            let vhosts: Vec<_> = (0..VHOSTS).map(name).chain(["/".into()]).collect();
            fs::write(path("vhosts.json"), definitions(&vhosts)).expect("a file");
            ["cert", "key", "ca"]
                .iter()
                .for_each(|name| fs::write(path(name), "").expect("a file"));
            let config = format!(
                "listeners.tcp.1 = {address}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
                 ssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\nssl_options.verify = verify_none\n\
                 ssl_options.fail_if_no_peer_cert = false\nload_definitions = {}\n\
                 log.console = false\n",
                path("ca"),
                path("cert"),
                path("key"),
                path("vhosts.json"),
            );
            fs::write(path("rabbitmq.conf"), config).expect("a file");
            fs::write(path("plugins"), "[].").expect("a file");
            vec![
                ("HOME", path("")),
                ("ERL_EPMD_PORT", epmd_port.to_string()),
                ("RABBITMQ_NODENAME", "throng@localhost".into()),
                ("RABBITMQ_NODE_PORT", address.port().to_string()),
                ("RABBITMQ_DIST_PORT", dist_port.to_string()),
                ("RABBITMQ_MNESIA_BASE", path("data")),
                ("RABBITMQ_LOG_BASE", path("log")),
                ("RABBITMQ_PID_FILE", path("pid")),
                ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
                ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
                ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
                ("RABBITMQ_ALLOW_INPUT", "1".into()),
                ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput +S 1:1".into()),
            ]
        });
        let server = Self { process, address, tls_port };
        server.wait();
        server.settle();
        server
    }

    /// Makes a first stream, and waits until that is on the disk: a RabbitMQ that is killed before
    /// has lost who looks after its streams, and never finds one again.
    fn settle(&self) {
        let mut amqp = Amqp::open(self.address, "/").expect("RabbitMQ is there");
        amqp.make_again(&[], Some("first"), 0, &[]);
        let folder = self.process.folder().path().join("data/throng@localhost/coordination");
        let names = folder.join("throng@localhost/names.dets");
        let wanted = b"rabbit_stream_coordinator";
        eventually("RabbitMQ knows who looks after its streams", 60.0, || {
            let names = fs::read(&names).unwrap_or_default();
            names.windows(wanted.len()).any(|window| window == wanted)
        });
    }

    fn wait(&self) {
        let is_there = || (0..VHOSTS).all(|vhost| Amqp::open(self.address, &name(vhost)).is_some());
        eventually("RabbitMQ answers", 120.0, is_there);
    }
}

/// What is made when the server starts: two who may do all, and virtual hosts.
fn definitions(vhosts: &[String]) -> String {
    let users = [("guest", "guest"), ("ann", "opensesame")];
    let rights = users.iter().flat_map(|(user, _)| {
        vhosts.iter().map(move |name| {
            json!({"user": user, "vhost": name, "configure": ".*", "write": ".*", "read": ".*"})
        })
    });
    let rights: Vec<_> = rights.collect();
    let vhosts: Vec<_> = vhosts.iter().map(|name| json!({ "name": name })).collect();
    let users =
        users.map(|(name, password)| json!({"name": name, "password": password, "tags": []}));
    json!({ "users": users, "vhosts": vhosts, "permissions": rights }).to_string()
}

fn name(vhost: usize) -> String {
    format!("v{vhost}")
}

fn free() -> MutexGuard<'static, Vec<usize>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, Option<Server>> {
    let mut server = SERVER.write().unwrap_or_else(PoisonError::into_inner);
    if server.as_ref().is_none_or(|server| Amqp::open(server.address, "/").is_none()) {
        *server = Some(Server::start());
        *free() = (0..VHOSTS).collect();
    }
    server
}

impl Rabbit {
    fn new(hold: Hold, address: SocketAddr) -> Self {
        let mut free = free();
        let vhost = loop {
            match free.pop() {
                Some(vhost) => break vhost,
                None => free = FREED.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(free);
        let rabbit = Self { address, vhost, hold };
        rabbit.ask().make_again(&STREAMS, None, 0, &[]);
        rabbit
    }

    fn ask(&self) -> Amqp {
        Amqp::open(self.address, &name(self.vhost)).expect("RabbitMQ is there")
    }

    /// A way to it for one more node.
    fn broker(&self) -> Broker {
        Broker::new(self.url().parse().expect("an address"))
    }

    /// A URL with another login.
    pub fn url_as(&self, login: &str) -> String {
        format!("amqp://{login}@{}/{}", self.address, name(self.vhost))
    }

    /// Makes a log of rooms that keeps about so many bytes, before there is a node.
    pub fn make_small(&self, bytes_max: u64) {
        self.ask().make_again(&STREAMS, Some("throng.rooms"), bytes_max, &[]);
    }

    /// Whether the log of rooms has something of a room.
    pub fn has_kept(&self, room: &str) -> bool {
        self.read("throng.rooms").iter().any(|entry| head(entry).0["r"] == room)
    }

    /// Makes the log of rooms anew, of entries that were there, and waits for all nodes to be back.
    fn make_again(&self, keep: impl Fn(&str, u64) -> bool) {
        let nodes = beating(&self.read("throng.fields"));
        assert!(!nodes.is_empty());
        let mut entries = Vec::new();
        for entry in self.read("throng.rooms") {
            let (mut head, body) = head(&entry);
            let offset = head["b"][1].as_u64().map_or(1, |before| before + 1);
            let is_kept = keep(head["r"].as_str().unwrap_or_default(), offset);
            if head["k"] == "message" && is_kept {
                // Who has written it had read all that is there now.
                head["l"] = entries.len().into();
                entries.push([head.to_string().as_bytes(), b"\n", body].concat());
            }
        }
        let made = (!entries.is_empty()).then_some("throng.rooms");
        self.ask().make_again(&STREAMS, made, 0, &entries);
        eventually("the stream is there again", 30.0, || self.ask().exists("throng.fields"));
        // Each says that it lives when it has a link.
        self.ask().read_while("throng.fields", |entries| !nodes.is_subset(&beating(entries)));
    }

    /// All that a stream has, up to now.
    fn read(&self, stream: &str) -> Vec<Vec<u8>> {
        let (key, end) = (&stream["throng.".len()..], b"the end");
        let mut amqp = self.ask();
        amqp.write("throng", key, end);
        let is_end = |entry: &Vec<u8>| entry == end;
        let mut entries = amqp.read_while(stream, |entries| !entries.last().is_some_and(is_end));
        entries.pop();
        entries
    }
}

/// The nodes that say that they live.
fn beating(entries: &[Vec<u8>]) -> BTreeSet<u64> {
    let heads = entries.iter().map(|entry| head(entry).0);
    let beats = heads.filter(|head| head["k"] == "put" && head["r"] == "nodes");
    beats.filter_map(|head| head["n"].as_u64()).collect()
}

/// An entry: its line, and what comes after it.
fn head(entry: &[u8]) -> (Value, &[u8]) {
    let end = entry.iter().position(|byte| *byte == b'\n').unwrap_or(entry.len());
    let body = entry.get(end + 1..).unwrap_or_default();
    (serde_json::from_slice(&entry[..end]).unwrap_or_default(), body)
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        free().push(self.vhost);
        FREED.notify_one();
    }
}

impl Kind for Rabbit {
    const FLAG: &'static str = "--rabbitmq";
    const NAME: &'static str = "RabbitMQ at";
    const SCHEMES: [&'static str; 2] = ["amqp://", "amqps://"];

    fn start() -> Self {
        loop {
            let server = SERVER.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(address) = server.as_ref().map(|server| server.address) {
                return Self::new(Hold::Shared(server), address);
            }
            drop(server);
            drop(alone());
        }
    }

    fn start_alone() -> Self {
        let server = alone();
        let address = server.as_ref().expect("a server").address;
        Self::new(Hold::Alone(server), address)
    }

    fn start_with_tls(certificate: &str, key: &str, ca: &str) -> (Self, u16) {
        let mut rabbit = Self::start_alone();
        let Hold::Alone(server) = &mut rabbit.hold else { unreachable!() };
        let server = server.as_ref().expect("a server");
        // It reads them when somebody comes.
        for (from, to) in [(certificate, "cert"), (key, "key"), (ca, "ca")] {
            fs::copy(from, server.process.folder().file(to)).expect("a copy");
        }
        let port = server.tls_port;
        (rabbit, port)
    }

    fn process(&mut self) -> &mut Process {
        match &mut self.hold {
            Hold::Alone(server) => &mut server.as_mut().expect("a server").process,
            Hold::Shared(_) => panic!("others use it"),
        }
    }

    fn url(&self) -> String {
        format!("amqp://{}/{}", self.address, name(self.vhost))
    }

    fn link(&self) -> Box<dyn Link + Send> {
        Box::new(self.broker().connect().expect("it is there"))
    }

    fn place(&self, loops: usize, history: History) -> Place {
        Place::new(loops, history, self.broker())
    }

    fn start_again(&mut self) {
        let Hold::Alone(server) = &mut self.hold else { panic!("others use it") };
        let server = server.as_mut().expect("a server");
        server.process.start_again();
        server.wait();
    }

    fn empty(&self) {
        self.make_again(|_, _| false);
    }

    fn trim(&self, room: &str, count: usize) {
        let entries = self.read("throng.rooms");
        let is_message = |entry: &&Vec<u8>| {
            let head = head(entry).0;
            head["k"] == "message" && head["r"] == room
        };
        let last = entries.iter().filter(is_message).count() as u64;
        self.make_again(|of, offset| of != room || offset + count as u64 > last);
    }

    fn lose_end(&self, room: &str, last: u64) {
        self.make_again(|of, offset| of != room || offset <= last);
    }

    fn refuse(&self, refuses: bool) {
        self.ask().bind("throng.rooms", "throng", "rooms", !refuses);
    }
}
