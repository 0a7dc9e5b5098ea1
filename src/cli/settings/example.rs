//! The file with every setting in it.
//!
//! Owns its shape: each key with its words, its default, its flag and its variable, all behind `#`.

use super::table::{Kind, Setting};

const COLUMNS_MAX: usize = 100;

const HEAD: &str = "\
# The settings of `throng serve`: a file for --config FILE, made by `throng check --example`.
#
# A line that begins with `#` and a key says the default: take the `#` away to change it. Each key
# is also a flag and an environment variable. A flag overrules a variable, a variable overrules this
# file, and what is said nowhere is as it stands here. `throng check FILE` says what is wrong.
";

/// The file.
pub fn text(table: &[Setting]) -> String {
    let mut text = HEAD.to_owned();
    let mut headings: Vec<&str> = Vec::new();
    for setting in table {
        if !headings.contains(&&*setting.heading) {
            headings.push(&setting.heading);
        }
    }
    for heading in headings {
        text.push_str(&format!("\n# ---- {heading} ----\n"));
        for setting in table.iter().filter(|setting| setting.heading == heading) {
            text.push('\n');
            add(&mut text, setting);
        }
    }
    text
}

fn add(text: &mut String, setting: &Setting) {
    let Setting { key, flag, env, value_name, help, .. } = setting;
    let end = if help.ends_with('.') { "" } else { "." };
    wrap(text, &format!("{help}{end}"));
    let value = match setting.kind {
        Kind::Bool => format!("[={value_name}]"),
        Kind::Whole | Kind::Seconds | Kind::Text | Kind::List => format!(" {value_name}"),
    };
    let changes = if setting.is_changeable { "changed by SIGHUP" } else { "needs a restart" };
    let unset = if setting.default.is_empty() { " Not set by default." } else { "" };
    wrap(text, &format!("{flag}{value}, {env}; {changes}.{unset}"));
    text.push_str(&format!("#{key} = {}\n", value_of(setting)));
}

/// The default, else something of the right kind.
fn value_of(setting: &Setting) -> String {
    let first = setting.default.first();
    let number = || first.cloned().unwrap_or_else(|| "100".into());
    let one = |value: &String| format!("\"{}\"", value.escape_default());
    match setting.kind {
        Kind::Bool | Kind::Whole | Kind::Seconds => number(),
        Kind::Text => one(first.unwrap_or(&setting.value_name)),
        Kind::List => {
            let values: Vec<_> = setting.default.iter().map(one).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// Adds words as lines of comment.
fn wrap(text: &mut String, words: &str) {
    let mut column = COLUMNS_MAX;
    for word in words.split_whitespace() {
        let len = word.chars().count();
        if column + 1 + len > COLUMNS_MAX {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            text.push_str(end);
            text.push('#');
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + len;
    }
    text.push('\n');
}
