//! What the HTTP API answers.
//!
//! Owns the shape of good and bad answers. Never decides which.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::http::{HttpError, Response};
use crate::hub::auth::Refusal;
use crate::hub::command::Fault;
use crate::hub::control::ControlError;

/// What is wrong with a request: its status, a code that stays the same, and words.
#[derive(Debug)]
pub(super) struct Problem {
    status: u16,
    code: &'static str,
    content: Cow<'static, str>,
    /// The header that goes with the status.
    header: Option<(&'static str, Cow<'static, str>)>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    content: &'a str,
}

impl Problem {
    pub(super) fn new(
        status: u16,
        code: &'static str,
        content: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, content: content.into(), header: None }
    }

    pub(super) const OVERLOADED: Self = Self {
        status: 503,
        code: "overloaded",
        content: Cow::Borrowed("the server is behind: not all of it was done"),
        header: Some(("Retry-After", Cow::Borrowed("1"))),
    };

    pub(super) const SHED: Self = Self {
        status: 503,
        code: "overloaded",
        content: Cow::Borrowed("the server sheds what is of low priority: nobody got it"),
        header: Some(("Retry-After", Cow::Borrowed("5"))),
    };

    pub(super) const NOT_FOUND: Self = Self {
        status: 404,
        code: "not_found",
        content: Cow::Borrowed("there is nothing here"),
        header: None,
    };

    pub(super) const FORBIDDEN: Self = Self {
        status: 403,
        code: "forbidden",
        content: Cow::Borrowed("the token has no right to this"),
        header: None,
    };

    pub(super) fn method(allow: &'static str) -> Self {
        let problem = Self::new(405, "method_not_allowed", "this method is not for this path");
        Self { header: Some(("Allow", allow.into())), ..problem }
    }

    /// Nobody has said who asks, or who says so is not believed (RFC 6750 section 3).
    pub(super) fn unauthorised(code: &'static str, content: &'static str) -> Self {
        let challenge = ("WWW-Authenticate", "Bearer realm=\"throng\"".into());
        Self { header: Some(challenge), ..Self::new(401, code, content) }
    }

    /// What the home of a room has to say of a message that it could not publish.
    pub(super) fn unavailable(fault: Fault) -> Self {
        Self { code: fault.code, content: fault.content.into(), ..Self::OVERLOADED }
    }

    pub(super) fn too_fast(retry_after: Duration) -> Self {
        let seconds = retry_after.as_nanos().div_ceil(1_000_000_000).max(1);
        let problem = Self::new(429, "rate_limited", "the API is asked for too much at once");
        Self { header: Some(("Retry-After", seconds.to_string().into())), ..problem }
    }

    pub(super) fn response(self) -> Response {
        let body = Body { code: self.code, content: &self.content };
        let response = write(self.status, &body).because(self.code);
        match self.header {
            Some((name, value)) => response.header(name, value),
            None => response,
        }
    }
}

/// Writes a good answer.
pub(super) fn ok(body: &impl Serialize) -> Response {
    write(200, body)
}

fn write(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => Response::json(status, text + "\n"),
        Err(error) => {
            // Text and numbers always can be written.
            tracing::error!(%error, "an answer was not written");
            Response::new(500)
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal.status() {
            401 => Self::unauthorised(refusal.code(), refusal.message()),
            status => Self::new(status, refusal.code(), refusal.message()),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::new(400, fault.code, fault.content)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Name(content) => Self::new(400, "bad_name", content),
            ControlError::Content => Self::new(400, "bad_json", "the content is no JSON value"),
            ControlError::Overloaded => Self::OVERLOADED,
        }
    }
}

impl From<HttpError> for Problem {
    fn from(error: HttpError) -> Self {
        let code = match error.status() {
            411 => "length_required",
            413 => "too_large",
            _ => "bad_request",
        };
        Self::new(error.status(), code, error.to_string())
    }
}
