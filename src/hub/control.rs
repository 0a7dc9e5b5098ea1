//! The hub from outside: from any thread, and from its own HTTP interface.
//!
//! Owns the way in, by the mailboxes of all loops, and the checks of what comes in. Never waits.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;

use super::command::check_name;
use super::handler::Session;
use super::json;
use super::mail::{Letter, Mail, To};
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
        Self::of_loop(0, mailboxes)
    }

    /// The same, for what is done on one of the loops.
    pub(super) const fn of_loop(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        Self { loop_index, mailboxes }
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

    /// Has every loop that is concerned carry a task out, and calls `done` once with what they say
    /// together: on the thread of the loop that was the last, or on this one. See
    /// [`Reply::is_whole`].
    pub fn ask(&self, task: Task, done: impl FnOnce(Reply) + Send + 'static) {
        let loops = match task.loop_index(self.loop_index) {
            Some(index) => index..self.mailboxes.len().min(index.saturating_add(1)),
            None => 0..self.mailboxes.len(),
        };
        let gathering = Arc::new(Gathering::new(task, loops.len(), done));
        for index in loops {
            let letter = Letter::Ask(Arc::clone(&gathering));
            if self.post(index, letter).is_err() {
                tracing::debug!(loop_index = index, "a loop is too far behind to be asked");
            }
        }
    }

    /// Answers an HTTP request of the hub's own loop with what the loops say: the verdict for now.
    pub fn respond(
        &self,
        request: ConnectionId,
        task: Task,
        render: impl FnOnce(Reply) -> Response + Send + 'static,
    ) -> Verdict<Session> {
        let (own, unsent) = (self.mailboxes.get(self.loop_index).cloned(), Arc::default());
        let slot: Arc<Mutex<Option<Response>>> = Arc::clone(&unsent);
        self.ask(task, move |reply| {
            let mail = Mail(Letter::Respond { request, response: render(reply) });
            let posted = own.map(|own| own.post(mail));
            if let Some(Err(MailboxFull(Mail(Letter::Respond { response, .. })))) = posted {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
            }
        });
        // Where no loop could be asked it is answered by now. Where this one cannot be told later,
        // the request runs into its time limit.
        let answered = unsent.lock().unwrap_or_else(PoisonError::into_inner).take();
        answered.map_or(Verdict::Pending, Verdict::Respond)
    }

    fn post(&self, loop_index: usize, letter: Letter) -> Result<(), ControlError> {
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
