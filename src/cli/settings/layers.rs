//! What the file and the environment say, one over the other.
//!
//! Owns the check of each value by itself, by the parser that its flag has, and the way of the
//! values into the options: as their defaults, so that a flag overrules them.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use super::document::{Entry, Position, Value};
use super::fault::{Fault, Place};
use super::table::{Kind, Setting};

/// How alike two keys are of which one may be meant for the other: from 0 to 1.
const ALIKE_MIN: f64 = 0.8;

/// The values of both, and where each stands.
#[derive(Debug)]
pub struct Layers<'a> {
    serve: &'a Command,
    table: &'a [Setting],
    given: BTreeMap<String, (Vec<String>, Place)>,
}

impl<'a> Layers<'a> {
    /// Nothing yet. `serve` are the options as they are without a file.
    pub fn new(serve: &'a Command, table: &'a [Setting]) -> Self {
        Self { serve, table, given: BTreeMap::new() }
    }

    /// Takes one key of the file.
    pub fn take_entry(&mut self, path: &Path, entry: Entry) -> Result<(), Fault> {
        let Some(setting) = self.table.iter().find(|setting| setting.key == entry.key) else {
            return Err(Fault::in_file(path, entry.at, self.unknown(&entry)));
        };
        let fault = |(at, words): (Position, String)| {
            Fault::in_file(path, at, format!("{}: {words}", setting.key))
        };
        let values = texts(setting, entry.value, entry.value_at).map_err(fault)?;
        for (at, value) in &values {
            self.check(setting, value).map_err(|words| fault((*at, words)))?;
        }
        let values = values.into_iter().map(|(_, value)| value).collect();
        let place = Place::File(path.to_owned(), Some(entry.at));
        self.given.insert(setting.key.clone(), (values, place));
        Ok(())
    }

    /// Takes one variable of the environment, over what the file says. Of a list, commas part the
    /// values.
    pub fn take_variable(&mut self, setting: &Setting, value: &str) -> Result<(), Fault> {
        let values: Vec<String> = match setting.kind {
            Kind::List => value.split(',').map(|part| part.trim().to_owned()).collect(),
            Kind::Bool | Kind::Whole | Kind::Seconds | Kind::Text => vec![value.to_owned()],
        };
        let place = Place::Environment(setting.env.clone());
        for value in &values {
            let fault = |words| Fault { place: place.clone(), words };
            self.check(setting, value).map_err(fault)?;
        }
        self.given.insert(setting.key.clone(), (values, place));
        Ok(())
    }

    /// The options, with these values for defaults.
    pub fn apply(&self, serve: Command) -> Command {
        self.given.iter().fold(serve, |serve, (key, (values, _))| {
            serve.mut_arg(key, |arg| arg.default_values(values))
        })
    }

    /// Where each value stands.
    pub fn into_places(self) -> BTreeMap<String, Place> {
        self.given.into_iter().map(|(key, (_, place))| (key, place)).collect()
    }

    /// What is said of a key that there is not.
    fn unknown(&self, entry: &Entry) -> String {
        let key = &entry.key;
        if entry.value == Value::Table {
            return format!("{key}: there are no tables here, each key stands for itself");
        }
        let likeness = |setting: &'a Setting| {
            (strsim::jaro_winkler(&setting.key, &key.to_lowercase()), &setting.key)
        };
        let nearest =
            self.table.iter().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0));
        match nearest.filter(|(likeness, _)| *likeness >= ALIKE_MIN) {
            Some((_, nearest)) => format!("{key}: there is no such key, did you mean {nearest}?"),
            None => format!("{key}: there is no such key"),
        }
    }

    /// What the flag's own parser says of a value.
    fn check(&self, setting: &Setting, value: &str) -> Result<(), String> {
        let line = ["throng", &format!("{}={value}", setting.flag)];
        let Err(error) = self.serve.clone().try_get_matches_from(line) else { return Ok(()) };
        // What it wants beside this one is seen when all are together.
        let is_of_this = matches!(error.get(ContextKind::InvalidArg),
            Some(ContextValue::String(arg)) if arg.starts_with(&setting.flag));
        if !is_of_this {
            return Ok(());
        }
        let words = match (error.get(ContextKind::ValidValue), error.source()) {
            (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => {
                format!("must be one of {}", valid.join(", "))
            }
            (_, Some(source)) => source.to_string(),
            (_, None) => "is not taken".to_owned(),
        };
        Err(match setting.kind {
            Kind::Whole if words.starts_with("invalid digit") && value.parse::<i128>().is_err() => {
                format!("expected a whole number, found {value:?}")
            }
            // A parser of numbers without a sign has nothing better to say.
            Kind::Whole if value.starts_with('-') => format!("{value} is less than 0"),
            _ if !value.is_empty() && words.trim_start_matches('"').starts_with(value) => words,
            Kind::Whole | Kind::Seconds => format!("{words}, found {value}"),
            Kind::Bool | Kind::Text | Kind::List => format!("{words}, found {value:?}"),
        })
    }
}

/// A value of the file as the flag would be given it.
fn texts(
    setting: &Setting,
    value: Value,
    at: Position,
) -> Result<Vec<(Position, String)>, (Position, String)> {
    let one = match (setting.kind, value) {
        (Kind::Bool, Value::Bool(value)) => value.to_string(),
        (Kind::Whole | Kind::Seconds, Value::Whole(value)) => value,
        (Kind::Seconds, Value::Fraction(value)) => value,
        (Kind::Text, Value::Text(value)) => value,
        (Kind::List, Value::List(values)) => {
            let text = |(at, value)| match value {
                Value::Text(value) => Ok((at, value)),
                other => {
                    Err((at, format!("expected a string in the list, found {}", other.name())))
                }
            };
            return values.into_iter().map(text).collect();
        }
        (kind, other) => {
            let unit = setting.unit.filter(|_| kind == Kind::Whole);
            let of = unit.map(|unit| format!(" of {unit}")).unwrap_or_default();
            let (expected, found) = (kind.name(), other.name());
            return Err((at, format!("expected {expected}{of}, found {found}")));
        }
    };
    Ok(vec![(at, one)])
}
