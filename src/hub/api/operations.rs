//! What each request to the HTTP API does.
//!
//! Owns how it becomes a message or a task, and how what the loops say becomes an answer.

use matchit::Params;
use serde::Serialize;

use super::access::Access;
use super::answer::{Problem, ok};
use super::input::{self, Query};
use super::routes::Operation;
use super::{Answer, Render};
use crate::frame::CloseCode;
use crate::http;
use crate::hub::control::Control;
use crate::hub::handler::Hub;
use crate::hub::task::{ConnectionInfo, MemberId, Reply, RoomInfo, Task, Who};

/// A request of somebody who may ask.
pub(super) struct Call<'a> {
    pub(super) hub: &'a Hub,
    pub(super) control: &'a Control,
    pub(super) head: &'a http::Request<'a>,
    pub(super) body: &'a [u8],
    pub(super) params: &'a Params<'a, 'a>,
    pub(super) access: Access,
    /// Milliseconds since 1970.
    pub(super) now_ms: u64,
}

#[derive(Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Done {
    pub(super) ok: bool,
}

#[derive(Serialize)]
struct Count {
    count: usize,
}

#[derive(Serialize)]
struct Rooms {
    rooms: Vec<RoomInfo>,
    count: usize,
    complete: bool,
}

#[derive(Serialize)]
struct Room<'a> {
    room: &'a str,
    /// The names, as the hub's own messages list them.
    members: Vec<&'a str>,
    connections: &'a [ConnectionInfo],
    count: usize,
    complete: bool,
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<ConnectionInfo>,
    count: usize,
    complete: bool,
}

impl Call<'_> {
    pub(super) fn carry_out(&self, operation: Operation) -> Result<Answer, Problem> {
        // A token with rooms of its own may publish there, and do nothing else; but every token
        // may ask for its own tickets.
        match operation {
            Operation::Publish => return self.publish(),
            Operation::PublishToUser => return self.publish_to_user(),
            Operation::Ticket => return self.ticket(),
            _ => self.access.everything()?,
        }
        match operation {
            Operation::Broadcast => self.broadcast(),
            Operation::Rooms => self.rooms(),
            Operation::Members => self.members(),
            Operation::Unsubscribe => self.unsubscribe(),
            Operation::Connections => self.connections(),
            Operation::Disconnect => self.disconnect(),
            Operation::DisconnectUser => self.disconnect_user(),
            Operation::Revoke => self.revoke(),
            Operation::Revocations => self.revocations(),
            Operation::Unrevoke => self.unrevoke(),
            // Answered before anybody was asked who it is.
            Operation::Health
            | Operation::Document
            | Operation::Publish
            | Operation::PublishToUser
            | Operation::Ticket => Err(Problem::NOT_FOUND),
        }
    }

    pub(super) const fn now_s(&self) -> u64 {
        self.now_ms / 1000
    }

    /// A name in the path, which the route has.
    pub(super) fn name(&self, key: &str) -> Result<String, Problem> {
        input::name(self.params.get(key).ok_or(Problem::NOT_FOUND)?)
    }

    fn rooms(&self) -> Result<Answer, Problem> {
        let query = Query::of(self.head);
        let prefix = query.text("prefix")?.unwrap_or_default().into();
        let task = Task::Rooms { prefix, max: query.limit()? };
        Ok(ask(task, |reply| {
            let Reply { rooms, count, is_whole, .. } = reply;
            Ok(ok(&Rooms { rooms, count, complete: is_whole }))
        }))
    }

    fn members(&self) -> Result<Answer, Problem> {
        let room = self.name("room")?;
        let max = Query::of(self.head).limit()?;
        let task = Task::Members { room: room.as_str().into(), max };
        Ok(ask(task, move |reply| {
            let Reply { connections, count, is_whole, .. } = &reply;
            let members = connections.iter().map(|one| &*one.user).collect();
            let (room, complete) = (&*room, *is_whole);
            Ok(ok(&Room { room, members, connections, count: *count, complete }))
        }))
    }

    fn connections(&self) -> Result<Answer, Problem> {
        let query = Query::of(self.head);
        let task = Task::Connections { user: query.name("user")?, max: query.limit()? };
        Ok(ask(task, |reply| {
            let Reply { connections, count, is_whole, .. } = reply;
            Ok(ok(&Connections { connections, count, complete: is_whole }))
        }))
    }

    fn disconnect(&self) -> Result<Answer, Problem> {
        let id = self.params.get("id").and_then(|id| id.parse::<MemberId>().ok());
        let bad = || Problem::new(400, "bad_path", "an id is LOOP.INDEX.GENERATION");
        let task = disconnect(Who::Connection(id.ok_or_else(bad)?));
        Ok(ask(task, |reply| match reply.count {
            0 if reply.is_whole => {
                Err(Problem::new(404, "no_such_connection", "there is no such connection"))
            }
            _ => count(reply),
        }))
    }

    fn disconnect_user(&self) -> Result<Answer, Problem> {
        Ok(ask(disconnect(Who::User(self.name("user")?.into())), count))
    }

    fn unsubscribe(&self) -> Result<Answer, Problem> {
        let (user, room) = (self.name("user")?.into(), self.name("room")?.into());
        Ok(ask(Task::Unsubscribe { user, room }, count))
    }
}

pub(super) fn ask(
    task: Task,
    render: impl FnOnce(Reply) -> Result<http::Response, Problem> + Send + 'static,
) -> Answer {
    let render: Render = Box::new(render);
    Answer::Ask(task, render)
}

/// How many connections it was about. Where a loop has not answered, it has to be asked again.
pub(super) fn count(reply: Reply) -> Result<http::Response, Problem> {
    if reply.is_whole { Ok(ok(&Count { count: reply.count })) } else { Err(Problem::OVERLOADED) }
}

fn disconnect(who: Who) -> Task {
    Task::Disconnect { who, code: CloseCode::POLICY_VIOLATION, reason: "disconnected".into() }
}
