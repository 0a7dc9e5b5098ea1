//! What becomes of a request.
//!
//! Owns the meaning of each path, and what is said to who may not come in. Who may is for the door.

use super::admin;
use super::api;
use super::auth::Refusal;
use super::door::Standing;
use super::handler::{Hub, Kind, Session};
use super::newcomer::Newcomer;
use super::pages;
use super::trace::Trace;
use super::wire::Wire;
use crate::handshake::Acceptance;
use crate::http::Response;
use crate::net::{Request, Verdict};

impl Hub {
    /// What becomes of a request: each path has its meaning here.
    pub(super) fn receive_request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        let Some(offer) = request.offer() else {
            let head = request.head();
            if api::owns(head.path()) {
                return self.api(request);
            }
            if let Some(response) = self.door.answer_access(request) {
                self.note_request(request, &response);
                return Verdict::Respond(response);
            }
            return Verdict::Respond(self.respond(request));
        };
        let path = request.head().path();
        if path == admin::PATH {
            return self.viewer(request);
        }
        if !matches!(path, "/" | "/ws" | "/echo") {
            return self.refuse_entry(request, pages::not_found());
        }
        if let Some(response) = self.refusal() {
            return self.refuse_entry(request, response);
        }
        let newcomer = match Newcomer::of(request) {
            Ok(newcomer) => newcomer,
            Err(fault) => {
                let response = Response::text(400, format!("{}\n", fault.content));
                return self.refuse_entry(request, response.because(fault.code));
            }
        };
        let pass = match self.door.admit(request) {
            Ok(pass) => pass,
            Err(response) => return self.refuse_entry(request, response),
        };
        let chosen = offer.choose(&Wire::ALL.map(Wire::subprotocol));
        let wire = chosen.and_then(Wire::of_subprotocol).unwrap_or_default();
        let mut acceptance = acceptance(chosen);
        let newcomer = Newcomer { pass, wire, ..newcomer };
        match newcomer.standing() {
            Standing::Known if path == "/echo" => {
                return Verdict::Accept(acceptance, Session(Kind::Echo(newcomer.pass)));
            }
            Standing::Known => {}
            // There are no messages there to say it in.
            Standing::Unknown if path == "/echo" => {
                return self.refuse_entry(request, Refusal::Missing.response());
            }
            // Nothing is inflated for it, and little is held.
            Standing::Unknown | Standing::Refused(_) => {
                acceptance = acceptance.without_extensions().limited();
            }
        }
        Verdict::Accept(acceptance, Session(Kind::Newcomer(Box::new(newcomer))))
    }

    /// Says in a refusal which trace it belongs to, for the client and for the log.
    fn refuse_entry(&self, request: &Request<'_>, response: Response) -> Verdict<Session> {
        let sent = Trace::of(request.head());
        let trace = self.traces.of_connection(request.id(), sent.as_ref());
        Verdict::Respond(response.header("traceresponse", trace.to_string()))
    }

    /// Answers what is no handshake. A page is not told why its handshake was refused: it may ask
    /// without one, where it would have been.
    fn respond(&self, request: &Request<'_>) -> Response {
        let head = request.head();
        if (head.method(), head.path()) == ("GET", "/ws") {
            match self.door.admit(request).map(|pass| pass.map(|pass| pass.standing)) {
                Ok(Some(Standing::Refused(refusal))) => return refusal.response(),
                Ok(_) => {}
                Err(response) => return response,
            }
        }
        let gate = self.door.gate.as_deref();
        let response = self.metrics.respond(request, &self.guard, gate);
        response.unwrap_or_else(|| pages::respond(head))
    }

    /// A handshake of who wants to look.
    fn viewer(&self, request: &Request<'_>) -> Verdict<Session> {
        let Some(offer) = request.offer() else { return Verdict::Respond(pages::not_found()) };
        match self.door.admit_viewer(request) {
            Ok(place) => {
                let session = Session(Kind::Viewer { _place: place.map(Box::new) });
                Verdict::Accept(acceptance(offer.choose(&[admin::SUBPROTOCOL])), session)
            }
            Err(response) => self.refuse_entry(request, response),
        }
    }
}

/// The answer to a handshake. A browser fails where it offered subprotocols and none was chosen;
/// its token is never the one.
fn acceptance(chosen: Option<&'static str>) -> Acceptance {
    match chosen {
        Some(subprotocol) => Acceptance::new().subprotocol(subprotocol),
        None => Acceptance::new(),
    }
}
