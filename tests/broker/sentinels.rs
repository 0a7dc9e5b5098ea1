//! Nodes over a Redis that sentinels watch: the master is killed, or another becomes it.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use throng::hub::broker::Redis as Broker;
use throng::hub::history::History;

use crate::common::process::Process;
use crate::common::{Server, eventually, free_addresses};
use crate::nodes::{Person, Place, heard, history, offsets};
use crate::program::{complaint, person};
use crate::redis::{Redis, ask};

/// A failover takes some seconds; on a busy machine a sentinel may rest for half a minute first.
const FAILOVER_S: f64 = 90.0;

/// A master, its replica, and those that watch them.
struct Watched {
    servers: [Redis; 2],
    sentinels: Vec<SocketAddr>,
    _processes: Vec<Process>,
}

impl Watched {
    fn start() -> Self {
        let addresses: [SocketAddr; 5] = free_addresses();
        let (ip, port) = (addresses[0].ip().to_string(), addresses[0].port().to_string());
        let own = ["--replica-announce-ip", &ip];
        let follows = ["--replicaof", &ip, &port];
        let servers = [
            Redis::start_at(addresses[0], &own),
            Redis::start_at(addresses[1], &[&own[..], &follows].concat()),
        ];
        let sentinels = addresses[2..].to_vec();
        let start = |address: &SocketAddr| sentinel(*address, addresses[0], 2, "");
        let processes = sentinels.iter().map(start).collect();
        let watched = Self { servers, sentinels, _processes: processes };
        eventually("the sentinels know each other and the replica", FAILOVER_S, || {
            watched.sentinels.iter().all(|sentinel| {
                let told = ask(*sentinel, &["INFO", "sentinel"]);
                told.contains("status=ok") && told.contains("slaves=1,sentinels=3")
            })
        });
        watched
    }

    fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(ToString::to_string).collect();
        format!("redis+sentinel://{}/mymaster", sentinels.join(","))
    }

    fn place(&self, loops: usize, history: History) -> Place {
        let address = self.url().parse().expect("an address");
        Place::new(loops, history, Broker::new(address))
    }

    /// Waits until this server has as many messages of a room.
    fn wait_for_copy(&self, server: usize, room: &str, offset: u64) {
        let words = ["HGET", &format!("throng:{{{room}}}:head"), "o"];
        let offset = offset.to_string();
        eventually("the replica has it", 30.0, || self.servers[server].ask(&words) == offset);
    }

    fn wait_for_role(&self, server: usize, role: &str) {
        eventually(role, FAILOVER_S, || self.servers[server].ask(&["ROLE"]).starts_with(role));
    }
}

/// A sentinel at this address.
fn sentinel(address: SocketAddr, master: SocketAddr, quorum: usize, more: &str) -> Process {
    Process::start("redis-server", |folder| {
        let file = folder.join("sentinel.conf");
        let (ip, port, dir) = (address.ip(), address.port(), folder.display());
        let (master_ip, master_port) = (master.ip(), master.port());
        let lines = format!(
            "port {port}\nbind {ip}\ndir {dir}\nsentinel announce-ip {ip}\n\
             sentinel monitor mymaster {master_ip} {master_port} {quorum}\n\
             sentinel down-after-milliseconds mymaster 2000\n\
             sentinel failover-timeout mymaster 5000\n{more}\n"
        );
        fs::write(&file, lines).expect("a file");
        vec![file.display().to_string(), "--sentinel".into()]
    })
}

/// Says something until it is taken: its place.
fn say_until_taken(person: &mut Person, content: &str) -> Value {
    let mut answer = Value::Null;
    eventually("the nodes go on", FAILOVER_S, || {
        answer = person.say("d.1", content);
        answer["type"] == "ok"
    });
    answer["offset"].clone()
}

#[test]
fn nodes_go_on_with_the_replica_when_the_master_is_killed_and_back_when_it_is_asked_for() {
    let mut watched = Watched::start();
    let (one, other) = (watched.place(1, history(5000)), watched.place(2, history(5000)));
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let epoch = ann.join("d.1", None)["epoch"].clone();
    bob.join("d.1", None);
    for n in 1..=20 {
        assert_eq!(ann.publish("d.1", &n.to_string()), n);
        assert_eq!(bob.hear(), heard(n, n));
    }
    watched.wait_for_copy(1, "d.1", 20);
    watched.servers[0].kill();
    assert_eq!(say_until_taken(&mut ann, "21"), 21, "what was replicated is there");
    assert_eq!(bob.hear(), heard(21, 21));
    let kept = bob.history("d.1", r#","limit":100"#);
    assert_eq!(kept["epoch"], epoch);
    assert_eq!(offsets(&kept["messages"]), (1..=21).collect::<Vec<_>>());
    // The old master comes back as one that follows, and nobody takes it for more.
    watched.servers[0].start_again();
    watched.wait_for_role(0, "slave");
    assert_eq!(ann.publish("d.1", "22"), 22);
    assert_eq!(bob.hear(), heard(22, 22));
    watched.wait_for_copy(0, "d.1", 22);
    // A master that becomes a replica is left, though it lives.
    eventually("another failover may begin", FAILOVER_S, || {
        ask(watched.sentinels[0], &["SENTINEL", "FAILOVER", "mymaster"]) == "OK"
    });
    watched.wait_for_role(1, "slave");
    assert_eq!(say_until_taken(&mut bob, "23"), 23);
    assert_eq!(ann.hear(), heard(23, 23));
    assert!(watched.servers[0].ask(&["ROLE"]).starts_with("master"));
}

#[test]
fn sessions_are_found_at_the_new_master() {
    let mut watched = Watched::start();
    let url = watched.url();
    let flags = ["--redis", &url, "--sessions", "--history-db", "off", "--durable", "d.*"];
    let (one, other) = (Server::serve(&flags), Server::serve(&flags));
    let mut ann = Person(crate::common::RawClient::open(&one, "/ws?name=ann"));
    let session = ann.read()["session"].clone();
    ann.join("d.1", None);
    assert_eq!(ann.publish("d.1", "1"), 1);
    watched.wait_for_copy(1, "d.1", 1);
    let key = format!("throng:session:{}", session.as_str().expect("a session"));
    eventually("the session is copied", 30.0, || {
        watched.servers[1].ask(&["HEXISTS", &key, "room:d.1"]) == "1"
    });
    watched.servers[0].kill();
    drop(one);
    let mut bob = person(&other, "/ws");
    bob.join("d.1", None);
    say_until_taken(&mut bob, "2");
    let resume = json!({"type": "resume", "id": 7, "session": session, "rooms": []}).to_string();
    eventually("the session is found", FAILOVER_S, || {
        let mut ann = person(&other, "/ws");
        let answer = ann.ask(&resume);
        answer["type"] == "ok" && answer["room"] == "d.1"
    });
}

#[test]
fn a_master_that_no_sentinel_knows_is_one_line() {
    let redis = Redis::start_at(free_addresses::<1>()[0], &[]);
    let [address, nobody] = free_addresses();
    let _sentinel = sentinel(address, redis.address(), 1, "");
    eventually("the sentinel answers", 30.0, || ask(address, &["PING"]) == "PONG");
    let said = |hosts: &str, name: &str| {
        complaint(&["--redis", &format!("redis+sentinel://:hush@{hosts}/{name}")])
    };
    let errors = said(&format!("{nobody},{address}"), "other");
    assert!(errors.contains(&format!("Redis at other by {nobody},{address}: ")), "{errors}");
    assert!(errors.contains("it knows no other"), "{errors}");
    let errors = said(&address.to_string(), "mymaster/1/2");
    assert!(errors.contains("redis: this is not redis://"), "{errors}");
    // The master wants no password.
    let errors = said(&address.to_string(), "mymaster");
    assert!(errors.contains(&format!("{}, which it names", redis.address())), "{errors}");
    assert!(!errors.contains("hush"), "{errors}");
    // It follows another now, and no sentinel knows yet.
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let errors = complaint(&["--redis", &format!("redis+sentinel://{address}/mymaster")]);
    assert!(errors.contains(&format!("{} is no master", redis.address())), "{errors}");
}

#[test]
fn sentinels_may_want_the_password_of_the_master() {
    let redis = Redis::start_at(free_addresses::<1>()[0], &[]);
    assert_eq!(redis.ask(&["CONFIG", "SET", "requirepass", "opensesame"]), "OK");
    for of_sentinel in ["", "requirepass opensesame\n"] {
        let [address] = free_addresses();
        let more = format!("{of_sentinel}sentinel auth-pass mymaster opensesame");
        let _sentinel = sentinel(address, redis.address(), 1, &more);
        eventually("the sentinel answers", 30.0, || !ask(address, &["PING"]).is_empty());
        let url = format!("redis+sentinel://:opensesame@{address}/mymaster/3");
        let server = Server::serve_logging("trace", &["--redis", &url]);
        let mut ann = person(&server, "/ws");
        ann.join("a", None);
        assert_eq!(ann.publish("a", "1"), 1);
        let login = ["-a", "opensesame", "--no-auth-warning", "-n", "3"];
        let words = [&login[..], &["HGET", "throng3:{a}:head", "o"]].concat();
        assert_eq!(redis.ask(&words), "1");
        assert!(!server.errors().contains("opensesame"), "no password in the log");
        redis.ask(&[&login[..], &["FLUSHALL"]].concat());
    }
}
