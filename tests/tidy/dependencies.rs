//! What the program is built of, by `deny.toml`: each licence is allowed, nothing is banned, and
//! all of it comes from crates.io. `cargo deny` reads the same file and knows more; to build it
//! takes longer than all that is here.

use std::process::Command;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

/// Where a package may come from, as `cargo metadata` says it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What `deny.toml` allows and bans.
struct Rules {
    licences: Vec<String>,
    banned: Vec<String>,
}

impl Rules {
    fn read(text: &str) -> Rules {
        let root = DeValue::Table(DeTable::parse(text).expect("TOML").into_inner());
        let list = |table: &str, key: &str| -> Vec<String> {
            let list = root[table].get_ref()[key].get_ref().as_array().expect("a list").iter();
            // A ban is a table with a name, an allowed licence is the name itself.
            let name = |value: &DeValue<'_>| match value.as_str() {
                Some(name) => name.to_owned(),
                None => value["name"].get_ref().as_str().expect("a name").to_owned(),
            };
            list.map(|value| name(value.get_ref())).collect()
        };
        Rules { licences: list("licenses", "allow"), banned: list("bans", "deny") }
    }

    /// Whether an expression of SPDX leaves a choice of allowed licences: OR is any, AND is all.
    fn allows(&self, expression: &str) -> bool {
        // What older packages write for OR; and words of their own for the brackets.
        let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut rest = words.as_slice();
        self.any(&mut rest) && rest.is_empty()
    }

    fn any(&self, rest: &mut &[&str]) -> bool {
        let mut is_allowed = self.all(rest);
        while take(rest, "OR") {
            is_allowed |= self.all(rest);
        }
        is_allowed
    }

    fn all(&self, rest: &mut &[&str]) -> bool {
        let mut is_allowed = self.one(rest);
        while take(rest, "AND") {
            is_allowed &= self.one(rest);
        }
        is_allowed
    }

    fn one(&self, rest: &mut &[&str]) -> bool {
        if take(rest, "(") {
            let is_allowed = self.any(rest);
            return take(rest, ")") && is_allowed;
        }
        let Some((name, more)) = rest.split_first() else { return false };
        *rest = more;
        let mut name = (*name).to_owned();
        if take(rest, "WITH")
            && let Some((exception, more)) = rest.split_first()
        {
            *rest = more;
            name = format!("{name} WITH {exception}");
        }
        self.licences.contains(&name)
    }

    /// What is wrong with a package, as `cargo metadata` describes it.
    fn faults(&self, package: &Value) -> Vec<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let mut faults = Vec::new();
        let Some(source) = package["source"].as_str() else {
            return faults; // of this workspace
        };
        if source != REGISTRY {
            faults.push(format!("{name}: comes from {source}"));
        }
        if self.banned.iter().any(|banned| banned == name) {
            faults.push(format!("{name}: is banned"));
        }
        match package["license"].as_str() {
            Some(licence) if self.allows(licence) => {}
            licence => faults.push(format!("{name}: the licence {licence:?} is not allowed")),
        }
        faults
    }
}

/// Takes the next word, if it is this one.
fn take(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

fn rules() -> Rules {
    Rules::read(include_str!("../../deny.toml"))
}

/// Web rule 26, as far as it needs nobody from outside.
#[test]
fn rule_26_licences_bans_and_sources() {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args(["metadata", "--locked", "--format-version", "1", "--all-features"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 100, "{}", packages.len());
    let rules = rules();
    let faults: Vec<_> = packages.iter().flat_map(|package| rules.faults(package)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_licence_is_one_of_those_that_are_allowed() {
    let rules = rules();
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 / MIT",
        "GPL-3.0 OR MIT",
        "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
        "Apache-2.0 WITH LLVM-exception",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "MIT AND (GPL-3.0 OR (ISC AND BSD-3-Clause))",
    ] {
        assert!(rules.allows(good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT",
        "MIT)",
        "MIT MIT",
        "GPL-3.0 OR MIT AND GPL-3.0",
        "MIT WITH LLVM-exception",
        "(MIT OR Apache-2.0) AND GPL-3.0",
    ] {
        assert!(!rules.allows(bad), "{bad}");
    }
}

#[test]
fn each_fault_of_a_package_is_found() {
    let package = |name: &str, licence: Value, source: &str| {
        let json = serde_json::json!({ "name": name, "license": licence, "source": source });
        rules().faults(&json)
    };
    assert!(package("a", "MIT".into(), REGISTRY).is_empty());
    assert_eq!(package("a", "GPL-3.0".into(), REGISTRY).len(), 1);
    assert_eq!(package("a", Value::Null, REGISTRY).len(), 1);
    assert_eq!(package("openssl", "MIT".into(), REGISTRY), ["openssl: is banned"]);
    assert_eq!(package("a", "MIT".into(), "git+https://example.com/a").len(), 1);
}
