//! The list of revocations, by the HTTP API.
//!
//! Owns how an entry is read and shown. Who is connected by a revoked token is closed by a task.

use serde::Serialize;

use super::Answer;
use super::answer::{Problem, ok};
use super::input::{self, Query, Revoke};
use super::operations::{Call, Done, ask, count};
use crate::hub::auth::{Authenticator, Revocation, RevokedName};
use crate::hub::command::check_name;
use crate::hub::task::Task;

#[derive(Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_until_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_s: Option<u64>,
}

#[derive(Serialize)]
struct Revocations {
    revocations: Vec<Entry>,
    count: usize,
}

impl Call<'_> {
    pub(super) fn revoke(&self) -> Result<Answer, Problem> {
        let Revoke { jti, sub, issued_until_s, ends_s } = input::body(self.head, self.body)?;
        let revocation = match (jti, sub, issued_until_s) {
            (Some(id), None, None) => Revocation::Token { id: check_name(&id)?.into(), ends_s },
            (None, Some(sub), until) => {
                let issued_until_s = until.unwrap_or(self.now_s());
                Revocation::User { sub: check_name(&sub)?.into(), issued_until_s, ends_s }
            }
            (_, _, _) => {
                let content = "either jti, or sub with or without issued_until_s, has to be there";
                return Err(Problem::new(400, "bad_request", content));
            }
        };
        let revoked = self.authenticator()?.revoke(revocation.clone(), self.now_s());
        revoked.map_err(|full| Problem::new(503, "revocations_full", full.to_string()))?;
        Ok(ask(Task::Revoke(revocation), count))
    }

    pub(super) fn revocations(&self) -> Result<Answer, Problem> {
        let (authenticator, max) = (self.authenticator()?, Query::of(self.head).limit()?);
        let (found, count) = match self.named()? {
            Some(name) => {
                let found = authenticator.revocation(name.of(), self.now_s());
                let count = usize::from(found.is_some());
                (found.into_iter().collect(), count)
            }
            None => authenticator.revocations(max, self.now_s()),
        };
        let revocations = found.into_iter().map(Entry::from).collect();
        Ok(Answer::Now(ok(&Revocations { revocations, count })))
    }

    pub(super) fn unrevoke(&self) -> Result<Answer, Problem> {
        let authenticator = self.authenticator()?;
        let missing = || Problem::new(400, "bad_query", "either jti or sub has to be there");
        let name = self.named()?.ok_or_else(missing)?;
        if authenticator.unrevoke(name.of()) {
            Ok(ask(Task::Unrevoke(name), |reply| {
                // Where another node has not answered, it may still have the entry.
                if reply.is_whole { Ok(ok(&Done { ok: true })) } else { Err(Problem::OVERLOADED) }
            }))
        } else {
            Err(Problem::new(404, "not_revoked", "there is no such entry"))
        }
    }

    fn authenticator(&self) -> Result<&Authenticator, Problem> {
        let missing = || Problem::new(404, "no_tokens", "this server takes no tokens");
        self.hub.door.authenticator.as_deref().ok_or_else(missing)
    }

    /// The entry that the query names, if it names one.
    fn named(&self) -> Result<Option<RevokedName>, Problem> {
        let query = Query::of(self.head);
        match (query.name("jti")?, query.name("sub")?) {
            (Some(id), None) => Ok(Some(RevokedName::Token(id))),
            (None, Some(sub)) => Ok(Some(RevokedName::User(sub))),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(Problem::new(400, "bad_query", "jti and sub name two entries"))
            }
        }
    }
}

impl From<Revocation> for Entry {
    fn from(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Token { id, ends_s } => {
                Self { jti: Some(id), sub: None, issued_until_s: None, ends_s }
            }
            Revocation::User { sub, issued_until_s, ends_s } => {
                let issued_until_s = Some(issued_until_s);
                Self { jti: None, sub: Some(sub), issued_until_s, ends_s }
            }
        }
    }
}
