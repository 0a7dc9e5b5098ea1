//! The HTTP API: what back ends ask of the hub, as JSON, on the same port, under `/api`.
//!
//! Owns the way of a request: the route, the origin, who asks, what is answered, and what goes with
//! every answer. Never touches a room: [`Control`] and its tasks do.

mod access;
mod answer;
mod counts;
mod input;
mod operations;
mod publishing;
mod revoking;
mod routes;
mod ticketing;

use std::sync::Arc;

use matchit::Params;
use serde_json::value::RawValue;

pub use access::ApiPace;
pub(super) use counts::Counts;

use access::Access;
use answer::{Problem, ok};
use operations::Call;
use routes::{Operation, Route};

use super::control::Control;
use super::door::Door;
use super::handler::{Hub, Session};
use super::origin::Scheme;
use super::task::{Reply, Task};
use super::trace::Trace;
use crate::http::{self, HttpError, Response};
use crate::net::{Request, Verdict};

/// What the API is, for programs: OpenAPI 3.1.
const DOCUMENT: &[u8] = include_bytes!("openapi.json");

/// The headers of an answer that a page of another origin may read.
const EXPOSED_HEADERS: &str = "retry-after, traceresponse";

/// What becomes of a request.
enum Answer {
    Now(Response),
    /// What the loops say.
    Ask(Task, Render),
    /// What the homes of the rooms say of a message.
    Once(Once),
}

/// A message that is published once in each room, however often it is sent.
pub(super) struct Once {
    pub(super) rooms: Vec<Arc<str>>,
    pub(super) sender: Box<str>,
    pub(super) content: Box<RawValue>,
    pub(super) message_id: Box<str>,
}

/// How an answer of the loops is written.
type Render = Box<dyn FnOnce(Reply) -> Result<Response, Problem> + Send>;

/// What goes with every answer.
struct Exit {
    operation: Option<Operation>,
    trace: Trace,
    /// The page that may read it.
    origin: Option<Box<str>>,
    counts: Arc<Counts>,
}

/// Whether a path is one of the API's.
pub(super) fn owns(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether somebody may send a long body: who asks is known before it is held.
pub(super) fn may_send(request: &Request<'_>, door: &Door) -> bool {
    owns(request.head().path()) && Access::of(request, door).is_ok()
}

impl Hub {
    /// Answers a request to the API.
    pub(super) fn api(&mut self, request: &Request<'_>) -> Verdict<Session> {
        let head = request.head();
        let found = routes::find(head.path());
        let mut exit = self.exit(head, found.as_ref().map(|(route, _)| *route));
        let scheme = self.door.scheme(request);
        exit.origin = self.door.origins.reader(head, scheme).map(Into::into);
        let control = self.control();
        let answer = match &found {
            Some((route, params)) => serve(self, request, scheme, &control, route, params, &exit),
            None => Err(Problem::NOT_FOUND),
        };
        match answer {
            Ok(Answer::Now(response)) => Verdict::Respond(exit.finish(response)),
            Ok(Answer::Ask(task, render)) => control.respond(request.id(), task, |reply| {
                exit.finish(render(reply).unwrap_or_else(Problem::response))
            }),
            Ok(Answer::Once(once)) => control.respond_later(request.id(), |answer| {
                let asked = once.rooms.len();
                control.publish_once(once, move |outcomes| {
                    let response = publishing::answer(outcomes, asked);
                    answer(exit.finish(response.unwrap_or_else(Problem::response)));
                });
            }),
            Err(problem) => {
                let response = exit.finish(problem.response());
                self.note_request(request, &response);
                Verdict::Respond(response)
            }
        }
    }

    /// Answers a request to the API whose body is not taken.
    pub(super) fn api_unread(&mut self, head: &http::Request<'_>, error: HttpError) -> Response {
        let route = routes::find(head.path()).map(|(route, _)| route);
        self.exit(head, route).finish(Problem::from(error).response())
    }

    fn exit(&mut self, head: &http::Request<'_>, route: Option<&Route>) -> Exit {
        Exit {
            operation: route.and_then(|route| route.operation(head.method())),
            trace: self.traces.of_request(head),
            origin: None,
            counts: self.metrics.api(),
        }
    }
}

fn serve(
    hub: &Hub,
    request: &Request<'_>,
    scheme: Scheme,
    control: &Control,
    route: &Route,
    params: &Params<'_, '_>,
    exit: &Exit,
) -> Result<Answer, Problem> {
    let (head, door) = (request.head(), &*hub.door);
    if let Some(hosts) = &door.hosts {
        hosts.check(head)?;
    }
    if head.method() == "OPTIONS" {
        door.origins.check(head, scheme)?;
        return Ok(Answer::Now(door.origins.preflight(head, scheme, route.allow)));
    }
    let operation = exit.operation.ok_or_else(|| Problem::method(route.allow))?;
    if operation.is_open() {
        return Ok(Answer::Now(match operation {
            Operation::Document => Response::new(200).body("application/json", DOCUMENT),
            _ => ok(&operations::Health { status: "ok" }),
        }));
    }
    if operation.changes() {
        door.origins.check(head, scheme)?;
    }
    let access = match operation {
        Operation::Ticket => Access::of_anybody(request, door)?,
        _ => Access::of(request, door)?,
    };
    if operation.changes() {
        let (name, who) = (operation.name(), access.name());
        tracing::debug!(trace = %exit.trace, operation = name, who, "asked of the API");
    }
    let now_ms = request.unix_ms();
    Call { hub, control, head, body: request.body(), params, access, now_ms }.carry_out(operation)
}

impl Exit {
    fn finish(self, response: Response) -> Response {
        let (operation, status) = (self.operation.map(Operation::name), response.status());
        self.counts.add(operation, status);
        tracing::debug!(trace = %self.trace, operation, status, "answered by the API");
        let response = response
            .header("Cache-Control", "no-store")
            .header("X-Content-Type-Options", "nosniff")
            .header("traceresponse", self.trace.to_string());
        if response.header_lines().contains("Vary") {
            return response; // a preflight says itself who may read it
        }
        let response = response.header("Vary", "Origin");
        match self.origin {
            Some(origin) => response
                .header("Access-Control-Allow-Origin", String::from(origin))
                .header("Access-Control-Expose-Headers", EXPOSED_HEADERS),
            None => response,
        }
    }
}
