//! The hub from outside: from any thread, and from its own HTTP interface.
//!
//! Owns the way in, by the mailboxes of all loops, and the checks of what comes in. Never waits.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;

use super::api::Once;
use super::broker::{Relay, ToNodes, is_for_all};
use super::command::check_name;
use super::config::Config;
use super::door::Door;
use super::handler::Session;
use super::history::Op;
use super::json;
use super::mail::{Letter, Mail, To};
use super::parts::Parts;
use super::sequencer::{Author, Outcome, Publish, home_of};
use super::task::{Gathering, Reply, Task};
use crate::http::Response;
use crate::net::{ConnectionId, MailboxFull, Mailboxes, Verdict};

/// Publishes, asks and disconnects, over all loops of a server, from any thread.
///
/// ```no_run
/// use std::sync::{Arc, Mutex};
/// use throng::hub::{Control, Hub, To};
/// use throng::net::Server;
///
/// # fn main() -> std::io::Result<()> {
/// let control = Arc::new(Mutex::new(None));
/// # let elsewhere = control.clone();
/// # std::thread::spawn(move || {
/// if let Some(control) = &*elsewhere.lock().unwrap() {
///     let control: &Control = control;
///     let _ = control.publish(vec![To::Room("lobby".into())], "clock", r#""it is noon""#);
/// }
/// # });
/// Server::builder().listen("127.0.0.1:8080").run(|loop_index, mailboxes| {
///     *control.lock().unwrap() = Some(Control::new(mailboxes.clone()));
///     Hub::new(loop_index, mailboxes.clone())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Control {
    loop_index: usize,
    mailboxes: Mailboxes<Mail>,
    /// The way to the other nodes.
    relay: Option<Relay>,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A name is empty, longer than 128 bytes, or has a control character.
    #[error("{0}")]
    Name(&'static str),
    /// The content is not a JSON value, or one that not every reader would take.
    #[error("the content is not a JSON value")]
    Content,
    /// A loop is too far behind to be told.
    #[error("the server is overloaded")]
    Overloaded,
}

impl Control {
    /// The way to the loops of these mailboxes.
    pub const fn new(mailboxes: Mailboxes<Mail>) -> Self {
        Self::of_loop(0, mailboxes, None)
    }

    /// The same, for what is done on one of the loops.
    pub(super) const fn of_loop(
        loop_index: usize,
        mailboxes: Mailboxes<Mail>,
        relay: Option<Relay>,
    ) -> Self {
        Self { loop_index, mailboxes, relay }
    }

    /// The same, for this node alone.
    pub(super) fn of_node(self) -> Self {
        Self { relay: None, ..self }
    }

    /// Publishes a JSON value to rooms, to users, or to all. It arrives as any message does, with
    /// the time at which the loop has taken it.
    ///
    /// # Errors
    /// [`ControlError`]: then nobody gets it.
    pub fn publish(&self, to: Vec<To>, sender: &str, content: &str) -> Result<(), ControlError> {
        let names = to.iter().filter_map(To::name).chain([sender]);
        names
            .map(check_name)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| ControlError::Name(fault.content))?;
        if !json::is_valid(content.as_bytes()) {
            return Err(ControlError::Content);
        }
        let content = RawValue::from_string(content.into()).map_err(|_| ControlError::Content)?;
        self.post(self.loop_index, Letter::Say { to, sender: sender.into(), content })
    }

    /// Has every loop that is concerned carry a task out, on all nodes if it is not about one
    /// connection, nor about the rooms that there are, and calls `done` once with what they say
    /// together: on the thread of the loop that was the last, or on this one. See
    /// [`Reply::is_whole`].
    pub fn ask(&self, task: Task, done: impl FnOnce(Reply) + Send + 'static) {
        let loops = match task.loop_index(self.loop_index) {
            Some(index) => index..self.mailboxes.len().min(index.saturating_add(1)),
            None => 0..self.mailboxes.len(),
        };
        let relay = self.relay.as_ref().filter(|_| is_for_all(&task));
        let asked = loops.len() + usize::from(relay.is_some());
        let gathering = Arc::new(Gathering::new(task, asked, done));
        if let Some(relay) = relay {
            let op = Op::Nodes(ToNodes::Ask(Arc::clone(&gathering)));
            if relay.put(self.loop_index, op).is_err() {
                tracing::debug!("too much waits for the broker: the other nodes are not asked");
            }
        }
        for index in loops {
            let letter = Letter::Ask(Arc::clone(&gathering));
            if self.post(index, letter).is_err() {
                tracing::debug!(loop_index = index, "a loop is too far behind to be asked");
            }
        }
    }

    /// Has every loop go on with these limits and this door, for those who are in and those who
    /// come. See [`Door::replacing`].
    ///
    /// # Errors
    /// [`ControlError::Overloaded`]: some loops may have taken them; try again.
    pub fn change(&self, config: &Config, door: &Arc<Door>) -> Result<(), ControlError> {
        (0..self.mailboxes.len()).try_for_each(|index| {
            let (config, door) = (Box::new(config.clone()), Arc::clone(door));
            self.post(index, Letter::Change { config, door })
        })
    }

    /// Answers an HTTP request of the hub's own loop with what the loops say: the verdict for now.
    pub fn respond(
        &self,
        request: ConnectionId,
        task: Task,
        render: impl FnOnce(Reply) -> Response + Send + 'static,
    ) -> Verdict<Session> {
        self.respond_later(request, |answer| self.ask(task, |reply| answer(render(reply))))
    }

    /// Answers an HTTP request of the hub's own loop when `begin` calls what it is given: on
    /// whatever thread, and at once too. The verdict for now.
    pub(super) fn respond_later(
        &self,
        request: ConnectionId,
        begin: impl FnOnce(Box<dyn FnOnce(Response) + Send>),
    ) -> Verdict<Session> {
        let (own, unsent) = (self.mailboxes.get(self.loop_index).cloned(), Arc::default());
        let slot: Arc<Mutex<Option<Response>>> = Arc::clone(&unsent);
        begin(Box::new(move |response| {
            let mail = Mail(Letter::Respond { request, response });
            let posted = own.map(|own| own.post(mail));
            if let Some(Err(MailboxFull(Mail(Letter::Respond { response, .. })))) = posted {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
            }
        }));
        // Where no loop could be asked it is answered by now. Where this one cannot be told later,
        // the request runs into its time limit.
        let answered = unsent.lock().unwrap_or_else(PoisonError::into_inner).take();
        answered.map_or(Verdict::Pending, Verdict::Respond)
    }

    /// Publishes a message in each of its rooms where it has not come yet, and calls `done` once
    /// with what became of it there: of rooms whose loop was too far behind to be told, nothing.
    pub(super) fn publish_once(
        &self,
        once: Once,
        done: impl FnOnce(Vec<Outcome>) + Send + 'static,
    ) {
        let Once { rooms, sender, content, message_id } = once;
        let outcomes = Arc::new(Parts::new(done));
        for room in rooms {
            let home = home_of(&room, self.mailboxes.len());
            let outcomes = Arc::clone(&outcomes);
            let publish = Publish {
                room: Arc::clone(&room),
                sender: sender.clone(),
                content: content.clone(),
                timestamp: 0, // the home of the room sets it
                key: None,
                message_id: Some(message_id.clone()),
                by: Some(Author::Request { room, outcomes }),
                is_counted: false,
            };
            if self.post(home, Letter::Publish(Box::new(publish))).is_err() {
                tracing::debug!(loop_index = home, "a loop is too far behind to be told");
            }
        }
    }

    /// How many loops there are.
    pub(super) fn loops(&self) -> usize {
        self.mailboxes.len()
    }

    /// Writes to the loop on which this was made.
    pub(super) fn post_own(&self, letter: Letter) -> Result<(), ControlError> {
        self.post(self.loop_index, letter)
    }

    pub(super) fn post(&self, loop_index: usize, letter: Letter) -> Result<(), ControlError> {
        let mailbox = self.mailboxes.get(loop_index).ok_or(ControlError::Overloaded)?;
        mailbox.post(Mail(letter)).map_err(|_| ControlError::Overloaded)
    }
}

impl To {
    /// The name of the room or the user.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Room(name) | Self::User(name) => Some(name),
            Self::All => None,
        }
    }
}
