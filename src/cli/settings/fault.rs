//! What is wrong with the settings, and where.
//!
//! Owns the words for whoever runs the server: one fault is one line that begins with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Position;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file, and where in it.
    File(PathBuf, Option<Position>),
    /// The environment variable of this name.
    Environment(String),
    /// The option of this name, on the command line or by default.
    Flag(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub words: String,
}

/// All that is wrong, in the order in which it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// Values of which each is right, but not together: the key to look at, and the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub key: &'static str,
    pub words: String,
}

impl Misfit {
    pub fn new(key: &'static str, words: impl ToString) -> Self {
        Self { key, words: words.to_string() }
    }
}

impl Fault {
    pub fn in_file(path: &Path, at: impl Into<Option<Position>>, words: impl Into<String>) -> Self {
        Self { place: Place::File(path.to_owned(), at.into()), words: words.into() }
    }
}

impl Faults {
    /// The same on one line, for a log.
    pub fn line(&self) -> String {
        self.0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ").replace('\n', " ")
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = &self.words;
        match &self.place {
            Place::File(path, Some(at)) => write!(f, "{}:{at}: {words}", path.display()),
            Place::File(path, None) => write!(f, "{}: {words}", path.display()),
            Place::Environment(name) => write!(f, "{name}: {words}"),
            Place::Flag(flag) => write!(f, "{flag}: {words}"),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
