//! The settings of `throng serve`: flags, environment, one file.
//!
//! Owns their table, the reading of the file, what is said of a bad one, and which of the three
//! counts: a flag over a variable over the file over the default. Never knows what a setting does.

mod document;
mod example;
mod fault;
mod layers;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, FromArgMatches};

use document::{Entry, Position};
use layers::Layers;

pub use fault::{Fault, Faults, Misfit, Place};
pub use table::adapt;

use crate::cli::serve::ServeOptions;

/// What a file may measure: more is no file of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where settings are read from: as often as is wanted, since a file may change.
#[derive(Debug)]
pub struct Sources {
    program: Command,
    line: Vec<OsString>,
}

/// Settings that were read, and are right each by itself.
#[derive(Debug)]
pub struct Loaded {
    pub options: ServeOptions,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Each key with its value as text.
    pub values: BTreeMap<String, Vec<OsString>>,
    places: BTreeMap<String, Place>,
}

impl Sources {
    /// The command line of this process, and what that names.
    pub fn of_process(program: Command) -> Self {
        Self { program, line: std::env::args_os().collect() }
    }

    /// `throng serve --config FILE`.
    pub fn of_file(program: Command, file: &Path) -> Self {
        let line = ["throng".into(), "serve".into(), "--config".into(), file.into()];
        Self { program, line: line.into() }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong with single values.
    pub fn load(&self) -> Result<Loaded, Faults> {
        let first = self.matches(self.program.clone())?;
        let file = match first.get_one::<PathBuf>("config") {
            Some(file) => Some(file.clone()),
            None => {
                std::env::var_os("THRONG_CONFIG").filter(|name| !name.is_empty()).map(Into::into)
            }
        };
        let serve = serve_of(&self.program);
        let table = table::of(&serve);
        let mut layers = Layers::new(&serve, &table);
        let mut faults = Vec::new();
        if let Some(file) = &file {
            let entries = read(file)?;
            let taken = entries.into_iter().map(|entry| layers.take_entry(file, entry));
            faults.extend(taken.filter_map(Result::err));
        }
        for setting in &table {
            let Some(value) = std::env::var_os(&setting.env).filter(|value| !value.is_empty())
            else {
                continue;
            };
            let taken = match value.to_str() {
                Some(value) => layers.take_variable(setting, value),
                None => Err(Fault {
                    place: Place::Environment(setting.env.clone()),
                    words: "is not UTF-8".into(),
                }),
            };
            faults.extend(taken.err());
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let program = self.program.clone();
        let matches = self.matches(program.mut_subcommand("serve", |serve| layers.apply(serve)))?;
        let value =
            |key: &str| matches.get_raw(key).into_iter().flatten().map(Into::into).collect();
        let values = table.iter().map(|setting| (setting.key.clone(), value(&setting.key)));
        let values = values.collect();
        let options = ServeOptions::from_arg_matches(&matches).map_err(by_flag)?;
        let mut places = layers.into_places();
        for setting in &table {
            if matches.value_source(&setting.key) == Some(clap::parser::ValueSource::CommandLine) {
                places.remove(&setting.key);
            }
        }
        Ok(Loaded { options, file, values, places })
    }

    /// What the parser makes of the command line.
    fn matches(&self, program: Command) -> Result<ArgMatches, Faults> {
        let matches = program.try_get_matches_from(&self.line).map_err(by_flag)?;
        match matches.subcommand() {
            Some(("serve", serve)) => Ok(serve.clone()),
            _ => Err(Faults(Vec::new())), // nobody asks for the settings of another command
        }
    }
}

impl Loaded {
    /// What is said of values that do not go together, with the place of the one to look at.
    pub fn fault(&self, misfit: Misfit) -> Fault {
        let Misfit { key, words } = misfit;
        let place = self.places.get(key).cloned();
        match place {
            Some(place @ Place::File(..)) => Fault { place, words: format!("{key}: {words}") },
            Some(place) => Fault { place, words },
            None => Fault { place: Place::Flag(format!("--{}", key.replace('_', "-"))), words },
        }
    }

    /// The keys whose values are others.
    pub fn changes(&self, values: &BTreeMap<String, Vec<OsString>>) -> Vec<&str> {
        let changed = self.values.iter().filter(|(key, value)| values.get(*key) != Some(value));
        changed.map(|(key, _)| key.as_str()).collect()
    }
}

/// The example of a file.
pub fn example(program: &Command) -> String {
    example::text(&table::of(&serve_of(program)))
}

/// The options of `throng serve` alone.
fn serve_of(program: &Command) -> Command {
    program.find_subcommand("serve").cloned().unwrap_or_default()
}

fn by_flag(error: clap::Error) -> Faults {
    // Its first line; the rest is about usage.
    let words = error.to_string();
    let words = words.lines().next().unwrap_or_default();
    let words = words.strip_prefix("error: ").unwrap_or(words).to_owned();
    Fault { place: Place::Flag("command line".into()), words }.into()
}

/// Reads the file: its keys.
fn read(path: &Path) -> Result<Vec<Entry>, Faults> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX + 1;
    let done = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = done {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; `throng check --example` prints one to begin with",
            _ => "",
        };
        let words = format!("the settings cannot be read: {error}{advice}");
        return Err(Fault::in_file(path, None, words).into());
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Fault::in_file(path, None, "over 1 MiB: this is no file of settings").into());
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        Fault::in_file(path, Position::of(&good, good.len()), "this is not UTF-8")
    })?;
    document::read(text).map_err(|fault| Fault::in_file(path, fault.at, fault.words).into())
}
