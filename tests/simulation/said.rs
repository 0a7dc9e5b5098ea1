//! What the hub says, as a client reads it: written a second time, from docs/hub.md.

use std::borrow::Cow;

use serde::Deserialize;

/// A message of the hub.
#[derive(Debug, Deserialize)]
pub struct Said<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub id: Option<u64>,
    pub seq: Option<u64>,
    #[serde(borrow)]
    pub room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    epoch: Option<Cow<'a, str>>,
    pub offset: Option<u64>,
    #[serde(borrow)]
    pub content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub sender: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub event: Option<Cow<'a, str>>,
    pub recovered: Option<bool>,
    pub more: Option<bool>,
    #[serde(borrow)]
    pub members: Option<Vec<Cow<'a, str>>>,
    pub count: Option<u64>,
    #[serde(borrow)]
    pub messages: Option<Vec<Said<'a>>>,
}

impl<'a> Said<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(payload)
            .map_err(|error| format!("{error}: {:?}", String::from_utf8_lossy(payload)))
    }

    /// The number of the message that this is.
    pub fn number(&self) -> Result<u64, String> {
        let content = self.content.as_deref().and_then(number);
        content.ok_or_else(|| format!("no number: {:.80?}", self.content))
    }

    pub fn epoch(&self) -> Result<Option<u64>, String> {
        let Some(epoch) = &self.epoch else { return Ok(None) };
        u64::from_str_radix(epoch, 16).map(Some).map_err(|error| format!("{epoch}: {error}"))
    }
}

/// The number that a message begins with, as JSON or without its quotes.
pub fn number(content: &str) -> Option<u64> {
    content.trim_matches('"').split(':').next()?.parse().ok()
}
