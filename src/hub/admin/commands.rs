//! What a viewer may ask for: one JSON object a message.
//!
//! Owns the commands, and who is told what comes of them. The loops answer as they do to anybody
//! who has a [`Control`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::snapshot::text;
use super::survey::Slip;
use crate::frame::CloseCode;
use crate::hub::command::{Fault, check_name};
use crate::hub::control::Control;
use crate::hub::handler::{Hub, Session};
use crate::hub::mail::Letter;
use crate::hub::task::{MemberId, Reply, Task, Who};
use crate::net::{ConnectionId, Particulars, Peers, Platform};

/// How many connections or rooms an answer lists.
const LISTED_MAX: usize = 100;

/// What who is disconnected is told. 1008 says that to come back at once is of no use.
const REASON: &str = "disconnected by an administrator";

const BAD_ID: Fault = Fault::new("bad_command", "connection is missing, or no id");

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// Comes back in the answer.
    id: u64,
    #[serde(borrow)]
    connection: Option<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "answer")]
struct Answer {
    id: u64,
    #[serde(flatten)]
    reply: Reply,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "error")]
struct Error {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    code: &'static str,
    content: &'static str,
}

impl Command<'_> {
    fn task(&self) -> Result<Task, Fault> {
        let connection = || {
            let id = self.connection.as_deref().and_then(|text| text.parse::<MemberId>().ok());
            id.ok_or(BAD_ID)
        };
        let name = |field: &Option<Cow<'_, str>>| {
            let name = field.as_deref().ok_or(Fault::new("bad_command", "a name is missing"))?;
            check_name(name).map(Box::<str>::from)
        };
        Ok(match &*self.kind {
            "connection" => Task::Connection(connection()?),
            "room" => Task::Members { room: name(&self.room)?, max: LISTED_MAX },
            "user" => Task::Connections { user: Some(name(&self.user)?), max: LISTED_MAX },
            "disconnect" => Task::Disconnect {
                who: Who::Connection(connection()?),
                code: CloseCode::POLICY_VIOLATION,
                reason: REASON.into(),
            },
            _ => return Err(Fault::new("unknown_type", "there is no such command")),
        })
    }
}

impl Hub {
    /// A viewer has written.
    pub(in crate::hub) fn hear_viewer<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        viewer: ConnectionId,
        message: &[u8],
    ) {
        let Ok(command) = serde_json::from_slice::<Command<'_>>(message) else {
            let fault = Fault::new("bad_json", "this is no command");
            return self.deny(peers, viewer, None, fault);
        };
        let task = match command.task() {
            Ok(task) => task,
            Err(fault) => return self.deny(peers, viewer, Some(command.id), fault),
        };
        if let Task::Disconnect { who: Who::Connection(connection), .. } = &task {
            let (of, client) = self.known(peers, viewer);
            let Particulars { origin, trace, .. } = of;
            tracing::info!(%connection, client, origin, trace, "disconnected from the dashboard");
        }
        answer(self.others.control(), viewer, command.id, task);
    }

    fn deny<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        viewer: ConnectionId,
        id: Option<u64>,
        Fault { code, content, .. }: Fault,
    ) {
        self.tell_viewer(peers, viewer, &text(&Error { id, code, content }));
    }
}

/// Has the loops carry a task out, and the viewer told.
fn answer(control: Control, viewer: ConnectionId, id: u64, task: Task) {
    let own = control.clone();
    control.ask(task, move |reply| {
        let text = text(&Answer { id, reply });
        // Where the loop is too far behind, the page says that no answer has come.
        let _ = own.post_own(Letter::Admin(Slip::Tell { viewer, text }));
    });
}
