//! What the tests of history share: a hub in this process that keeps something.

use std::path::PathBuf;

use throng::hub::history::{History, Keep, Keeper, Rule, SqliteStore};
use throng::hub::{Config, Hub};
use throng::net;

use crate::common::{Folder, RawClient};
use crate::record::Person;
use crate::running::Running;

/// The file of durable rooms.
pub fn store_of(folder: &Folder) -> PathBuf {
    folder.path().join("throng.db")
}

/// A hub that keeps something.
pub struct Place {
    server: Running,
    /// It goes after the server.
    _keeper: Option<Keeper>,
}

/// Rules by which rooms of `d.*` are durable, and each keeps so many messages.
pub fn history(messages_max: usize) -> History {
    let otherwise = Keep { messages_max, ..Keep::default() };
    let keep = Keep { is_durable: true, ..otherwise.clone() };
    let pattern = throng::hub::auth::Pattern::new("d.*").expect("a pattern");
    History { rules: vec![Rule { pattern, keep }], otherwise, ..History::default() }
}

impl Place {
    pub fn new(loops: usize, history: History) -> Self {
        Self::with(loops, history, None)
    }

    /// With a store in this folder.
    pub fn durable(loops: usize, history: History, folder: &Folder) -> Self {
        let file = store_of(folder);
        let open = move || SqliteStore::open(&file);
        let keeper = Keeper::start(history.clone(), Default::default(), open).expect("a thread");
        Self::with(loops, history, Some(keeper))
    }

    pub fn with(loops: usize, history: History, keeper: Option<Keeper>) -> Self {
        Self::on(net::Config::default(), loops, history, keeper)
    }

    pub fn on(engine: net::Config, loops: usize, history: History, keeper: Option<Keeper>) -> Self {
        let of_hubs = keeper.clone();
        let server = Running::start(engine, loops, move |index, mailboxes| {
            let config = Config { history: history.clone(), ..Config::default() };
            let hub = Hub::with_config(index, mailboxes.clone(), config);
            match &of_hubs {
                Some(keeper) => hub.keeping(keeper),
                None => hub,
            }
        });
        Self { server, _keeper: keeper }
    }

    /// Connects, and takes the welcome.
    pub fn person(&self, target: &str) -> Person {
        let mut person = Person(self.server.open(target));
        assert_eq!(person.read()["type"], "welcome");
        person
    }

    pub fn client(&self) -> RawClient {
        self.server.client()
    }
}
