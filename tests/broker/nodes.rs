//! What the tests share: nodes in this process.

use std::time::Duration;

use serde_json::{Value, json};

use throng::hub::broker::{Broker, Node, Relay};
use throng::hub::history::{History, Keep, KeeperLimits, Rule};
use throng::hub::{Config, Hub, Metrics};
use throng::net;

use crate::common::{eventually, http};
pub use crate::record::{Person, offsets};
use crate::running::Running;

/// One node of several.
pub struct Place {
    server: Running,
    pub relay: Relay,
}

/// Rules by which rooms of `d.*` are durable, those of `n.*` keep nothing, and each other keeps so
/// many messages.
pub fn history(messages_max: usize) -> History {
    let otherwise = Keep { messages_max, ..Keep::default() };
    let rule = |pattern: &str, keep| Rule {
        pattern: throng::hub::auth::Pattern::new(pattern).expect("a pattern"),
        keep,
    };
    let durable = Keep { is_durable: true, ..otherwise.clone() };
    let rules = vec![rule("d.*", durable), rule("n.*", Keep::NOTHING)];
    History { rules, otherwise, ..History::default() }
}

impl Place {
    pub fn new(loops: usize, history: History, broker: impl Broker) -> Self {
        Self::limited(loops, history, broker, KeeperLimits::default())
    }

    pub fn limited(
        loops: usize,
        history: History,
        broker: impl Broker,
        limits: KeeperLimits,
    ) -> Self {
        let relay = Relay::start(Node::new("node"), history.clone(), limits, broker);
        let relay = relay.expect("the broker is there");
        let (of_hubs, metrics) = (relay.clone(), Metrics::default());
        metrics.watch_relay(&relay);
        // Some wait long for a server that starts, and read nothing meanwhile.
        let engine =
            net::Config { ping_interval: Duration::from_secs(600), ..net::Config::default() };
        let server = Running::start(engine, loops, move |index, mailboxes| {
            let config = Config { history: history.clone(), ..Config::default() };
            let hub = Hub::with_config(index, mailboxes.clone(), config);
            hub.metrics(&metrics).relaying(&of_hubs)
        });
        Self { server, relay }
    }

    /// Connects, and takes the welcome.
    pub fn person(&self, target: &str) -> Person {
        let mut person = Person(self.server.open(target));
        assert_eq!(person.read()["type"], "welcome");
        person
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> (u16, String) {
        self.get("/readyz")
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut client = self.server.client();
        client.send(http::get(path));
        let answer = client.read_answer(false);
        (answer.status, String::from_utf8(answer.body).expect("words"))
    }

    /// Waits until the broker can be used, or cannot.
    pub fn wait_connected(&self, is_connected: bool) {
        let what = if is_connected { "the broker is back" } else { "the broker is away" };
        eventually(what, 10.0, || self.relay.stats().is_connected == is_connected);
    }
}

/// An offset and a content, as [`Person::hear`] gives them.
pub fn heard(offset: u64, content: impl Into<Value>) -> (Value, Value) {
    (json!(offset), content.into())
}
