//! Tables in NATS: a field is the last message of its subject.
//!
//! Owns how a lease is written and when it is over, by the clock of NATS alone: it stamps the
//! message, and says when a reader was made. What is taken out is a field whose lease is over.

use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, message::Info};

use super::names;
use super::streams::{Streams, Trouble};
use crate::hub::broker::{Answer, Field};

/// The header that says for how many milliseconds a field is there.
const LEASE: &str = "Throng-Lease";

impl Streams {
    /// Puts a field into a table; with a lease of no length takes it out.
    pub(super) async fn put_field(
        &self,
        table: &str,
        field: &str,
        value: &[u8],
        lease: Duration,
    ) -> Result<Answer, Trouble> {
        let lease = lease.as_millis().to_string();
        let message = PublishMessage::build().payload(value.to_vec().into());
        self.put(names::field(table, field), message.header(LEASE, lease.as_str())).await?;
        Ok(Answer::Done)
    }

    pub(super) async fn list(&self, table: &str) -> Result<Answer, Trouble> {
        let mut found = Vec::new();
        let take = |message| found.push(message);
        let now_ns = self.deliver(&self.fields, names::fields(table), u64::MAX, take).await?;
        Ok(Answer::Fields(found.iter().filter_map(|one| field(one, now_ns)).collect()))
    }
}

/// A field that is there now.
fn field(message: &jetstream::Message, now_ns: i128) -> Option<Field> {
    let lease: u64 = message.headers.as_ref()?.get(LEASE)?.as_str().parse().ok()?;
    let info: Info<'_> = message.info().ok()?;
    let end_ns = info.published.unix_timestamp_nanos() + i128::from(lease) * 1_000_000;
    let name = names::field_of(&message.subject)?;
    (end_ns > now_ns).then(|| (name.into(), message.payload.as_ref().into()))
}
