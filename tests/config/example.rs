//! The example is what the code says, and it is good.

use std::collections::BTreeSet;
use std::fs;

use crate::{SettingsFile, run};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/throng.example.toml");

fn example() -> String {
    let output = run(&["check", "--example"], &[]);
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The keys that stand there behind a `#`.
fn keys(example: &str) -> BTreeSet<String> {
    let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
    let keys = lines.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
    keys.filter(|key| !key.contains(' ')).map(str::to_owned).collect()
}

/// `BLESS=1` writes it anew.
#[test]
fn the_example_in_the_docs_is_not_stale() {
    let example = example();
    if std::env::var_os("BLESS").is_some() {
        fs::write(PATH, &example).expect("the docs can be written");
    }
    let docs = fs::read_to_string(PATH).expect("an example in the docs");
    assert!(docs == example, "docs/throng.example.toml is stale: run this test with BLESS=1");
    assert!(example.lines().all(|line| line.chars().count() <= 100), "a line is too long");
}

#[test]
fn every_flag_is_in_it() {
    let help = run(&["serve", "--help"], &[]);
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag = line.strip_prefix("-h, ").unwrap_or(line).strip_prefix("--")?;
        flag.split([' ', '[', '=']).next()
    });
    let flags: BTreeSet<_> = flags.map(|flag| flag.replace('-', "_")).collect();
    let mut keys = keys(&example());
    assert!(keys.len() > 35, "{keys:?}");
    keys.extend(["config".to_owned(), "help".to_owned()]);
    assert_eq!(flags, keys);
}

#[test]
fn as_it_stands_and_with_its_defaults_it_is_good() {
    let example = example();
    let file = SettingsFile::new(&example);
    assert!(file.check().status.success());
    // Every key with a default, and then every one that is a number.
    let (mut all, mut count, mut has_default) = (String::new(), 0, true);
    for line in example.lines() {
        has_default &= !line.contains("Not set by default.");
        let set = line.strip_prefix('#').filter(|line| !line.starts_with(' '));
        let Some(set) = set.filter(|line| line.contains(" = ")) else { continue };
        let is_number = set.ends_with(|end: char| end.is_ascii_digit());
        // A budget that is too small is refused, with its arithmetic.
        let is_number = is_number && !set.starts_with("memory_budget");
        if has_default || is_number {
            all.push_str(&format!("{set}\n"));
            count += 1;
        }
        has_default = true;
    }
    assert!(count > 30, "{all}");
    file.write(&all);
    let output = file.check();
    assert!(output.status.success(), "{all}{}", String::from_utf8_lossy(&output.stderr));
}
