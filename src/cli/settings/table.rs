//! The table of settings.
//!
//! Owns what is known of each: its key, flag and environment variable, its kind, unit and default,
//! and its words. All of it is read out of the options of `throng serve`, so that a new option is
//! a new key and a new variable by itself.

use std::any::TypeId;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{Arg, ArgAction, Command, Id};

use crate::cli::serve::CHANGEABLE;

/// Options that are no setting.
const NO_SETTINGS: [&str; 1] = ["config"];

/// One setting of `throng serve`.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `max_rooms`, as in the file.
    pub key: String,
    /// `--max-rooms`
    pub flag: String,
    /// `THRONG_MAX_ROOMS`
    pub env: String,
    pub kind: Kind,
    /// What a number counts, where that is not the things themselves.
    pub unit: Option<&'static str>,
    /// As text; empty where there is none.
    pub default: Vec<String>,
    /// What stands for the value in the help: `N`, `FILE`.
    pub value_name: String,
    /// The group that it stands in.
    pub heading: String,
    /// What it is.
    pub help: String,
    /// Whether SIGHUP can change it.
    pub is_changeable: bool,
}

/// What a setting is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Whole,
    Seconds,
    Text,
    List,
}

impl Kind {
    fn of(arg: &Arg) -> Self {
        let of = arg.get_value_parser().type_id();
        let is = |other: &TypeId| of == *other;
        let whole = [
            TypeId::of::<i64>(),
            TypeId::of::<u64>(),
            TypeId::of::<u32>(),
            TypeId::of::<u16>(),
            TypeId::of::<usize>(),
        ];
        if matches!(arg.get_action(), ArgAction::Append) {
            Self::List
        } else if is(&TypeId::of::<bool>()) {
            Self::Bool
        } else if is(&TypeId::of::<Duration>()) {
            Self::Seconds
        } else if whole.iter().any(is) {
            Self::Whole
        } else {
            Self::Text
        }
    }

    /// What is expected in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Whole => "a whole number",
            Self::Seconds => "a number of seconds",
            Self::Text => "a string",
            Self::List => "a list of strings",
        }
    }
}

impl Setting {
    fn of(arg: &Arg) -> Option<Self> {
        let key = arg.get_id().as_str();
        let flag = arg.get_long().filter(|_| !NO_SETTINGS.contains(&key))?;
        let value_name = arg.get_value_names().and_then(|names| names.first());
        let value_name = value_name.map_or("", |name| name.as_str());
        let unit = match value_name {
            "BYTES" => Some("bytes"),
            "BITS" => Some("bits"),
            "S" => Some("seconds"),
            _ => None,
        };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        let default = arg.get_default_values().iter();
        Some(Self {
            key: key.to_owned(),
            flag: format!("--{flag}"),
            env: format!("THRONG_{}", key.to_uppercase()),
            kind: Kind::of(arg),
            unit,
            default: default.map(|value| value.to_string_lossy().into_owned()).collect(),
            value_name: value_name.to_owned(),
            heading: arg.get_help_heading().unwrap_or("Server").to_owned(),
            help: help.unwrap_or_default(),
            is_changeable: CHANGEABLE.contains(&key),
        })
    }
}

/// The settings that these options are, in their order.
pub fn of(serve: &Command) -> Vec<Setting> {
    serve.get_arguments().filter_map(Setting::of).collect()
}

/// Options as settings: what is on or off can also be said to be off, so that a flag can overrule
/// the file.
pub fn adapt(serve: Command) -> Command {
    serve.mut_args(|arg| {
        // What needs another may find it in the file: that is seen when all are read.
        let arg = arg.requires(Resettable::<Id>::Reset);
        if !matches!(arg.get_action(), ArgAction::SetTrue) {
            return arg;
        }
        arg.action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .value_name("BOOL")
            .value_parser(BoolishValueParser::new())
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cli::program;

    fn table() -> Vec<Setting> {
        of(program().find_subcommand("serve").expect("a command"))
    }

    fn find(key: &str) -> Setting {
        table().into_iter().find(|setting| setting.key == key).expect(key)
    }

    #[test]
    fn every_flag_is_a_key_and_every_key_a_flag() {
        let program = program();
        let serve = program.find_subcommand("serve").expect("a command");
        let flags: HashSet<_> = serve.get_arguments().filter_map(Arg::get_long).collect();
        let keys: HashSet<_> = table().into_iter().map(|setting| setting.key).collect();
        for flag in &flags {
            let key = flag.replace('-', "_");
            assert_eq!(keys.contains(&key), !NO_SETTINGS.contains(&&*key), "{flag}");
        }
        for setting in table() {
            assert_eq!(setting.flag[2..].replace('-', "_"), setting.key);
            assert!(flags.contains(&setting.flag[2..]), "{}", setting.key);
            assert!(!setting.help.is_empty() && !setting.value_name.is_empty(), "{}", setting.key);
        }
        assert_eq!(keys.len(), table().len(), "a key is there twice");
    }

    #[test]
    fn kinds_are_those_of_the_code() {
        for (key, kind) in [
            ("require_token", Kind::Bool),
            ("loops", Kind::Whole),
            ("max_message", Kind::Whole),
            ("max_rooms", Kind::Whole),
            ("ping_interval", Kind::Seconds),
            ("jwks", Kind::Text),
            ("log_format", Kind::Text),
            ("allow_origin", Kind::List),
        ] {
            assert_eq!(find(key).kind, kind, "{key}");
        }
        assert_eq!(find("max_message").unit, Some("bytes"));
        assert_eq!(find("require_token").default, ["false"]);
        assert_eq!(find("listen").env, "THRONG_LISTEN");
    }

    #[test]
    fn what_can_change_is_a_setting() {
        CHANGEABLE.iter().for_each(|key| assert!(find(key).is_changeable));
        assert!(!find("loops").is_changeable);
    }
}
