//! Every web rule, every class of defects and every goal has a test that exists, or a reason why it
//! has none yet: `docs/web-rules.md` and `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A page with a table: its first column is the name of a row, its last the tests.
struct Page {
    path: &'static str,
    /// Which of its tables, from 0.
    table: usize,
    rows: &'static [&'static str],
    /// Rows without a test so far, and what they wait for. A row leaves this list with its feature.
    not_built: &'static [(&'static str, &'static str)],
}

const RULES: Page = Page {
    path: "docs/web-rules.md",
    table: 0,
    rows: &[
        "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23", "24", "25", "26",
    ],
    not_built: &[],
};

const CLASSES: Page = Page {
    path: "docs/reliability.md",
    table: 0,
    rows: &[
        "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13", "A14",
        "A15", "A16", "A17", "A18",
    ],
    not_built: &[],
};

const GOALS: Page = Page {
    path: "docs/reliability.md",
    table: 1,
    rows: &[
        "G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G11", "G12", "G13", "G14",
        "G15",
    ],
    not_built: &[],
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The rows of one of the tables: what each names between backquotes in its last column.
fn table(text: &str, number: usize) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    let tables = text.split("\n\n").filter(|block| block.starts_with('|'));
    let lines = tables.skip(number).take(1).flat_map(str::lines);
    let lines = lines.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    for line in lines.skip(1) {
        let mut cells = line.split(" | ");
        let name = cells.next().unwrap_or_default().trim().to_owned();
        let shown_by = cells.last().unwrap_or_default();
        let tests = shown_by.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(rows.insert(name.clone(), tests).is_none(), "row {name} stands there twice");
    }
    rows
}

/// Whether a Rust file has this test.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let start = format!("fn {name}(");
    let found = lines.iter().position(|line| line.starts_with(&start));
    found.is_some_and(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        above.into_iter().any(|line| *line == "#[test]")
    })
}

/// Whether a file of the browser tests has this test.
fn has_browser_test(source: &str, name: &str) -> bool {
    let start = format!("async '{name}'(");
    source.lines().any(|line| line.trim().starts_with(&start))
}

/// What is wrong with a test that a page names: `path::name`, or the path of a fuzz target.
fn fault(test: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (path, name) = test.split_once("::").unwrap_or((test, ""));
    let Some(source) = read(path) else { return Some(format!("{path} is not there")) };
    let is_there = if name.is_empty() {
        path.starts_with("fuzz/targets/") && source.contains("fuzz_target!")
    } else if path.ends_with(".js") {
        has_browser_test(&source, name)
    } else {
        has_test(&source, name)
    };
    (!is_there).then(|| format!("{test} is no test"))
}

fn faults(page: &Page, text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let table = table(text, page.table);
    let mut faults = Vec::new();
    for row in page.rows {
        let waits = page.not_built.iter().any(|(name, _)| name == row);
        match table.get(*row).map(Vec::as_slice) {
            None => faults.push(format!("row {row}: not in the table")),
            Some([]) if !waits => faults.push(format!("row {row}: no test")),
            Some([_, ..]) if waits => faults.push(format!("row {row}: tested, yet not built?")),
            Some(tests) => faults.extend(
                tests.iter().filter_map(|test| Some(format!("row {row}: {}", fault(test, &read)?))),
            ),
        }
    }
    let unknown = table.keys().filter(|name| !page.rows.contains(&name.as_str()));
    faults.extend(unknown.map(|name| format!("row {name}: nobody asked for it")));
    for (row, reason) in page.not_built {
        if !text.contains(reason) {
            faults.push(format!("row {row}: the page does not say why it has no test: {reason}"));
        }
    }
    faults
}

fn holds(page: &Page) {
    let text = read(page.path).unwrap_or_else(|| panic!("{} is not there", page.path));
    let faults = faults(page, &text, read);
    assert!(faults.is_empty(), "{}:\n{}", page.path, faults.join("\n"));
}

#[test]
fn every_web_rule_has_a_test() {
    holds(&RULES);
}

#[test]
fn every_class_of_defects_has_a_test() {
    holds(&CLASSES);
}

#[test]
fn every_goal_is_shown_or_is_said_to_be_short() {
    holds(&GOALS);
}

/// The check itself can fail.
#[test]
fn the_check_finds_what_is_missing() {
    let page =
        Page { path: "", table: 0, rows: &["1", "2", "3"], not_built: &[("3", "no reason")] };
    let read = |path: &str| {
        (path == "tests/a.rs")
            .then(|| "#[test]\n#[ignore]\nfn one() {\n}\nfn two() {}\n".to_owned())
    };
    let faults_of = |rows: &str| {
        let head = "| row | what | shown by |\n|---|---|---|\n";
        faults(&page, &format!("{head}{rows}\nno reason\n"), read)
    };
    let good = "| 1 | a | `tests/a.rs::one` |\n| 2 | b | `tests/a.rs::one` |\n| 3 | c | not yet |";
    assert_eq!(faults_of(good), [""; 0]);
    assert_eq!(faults_of(&good.replace("| 1 | a", "| 4 | a")).len(), 2);
    assert_eq!(faults_of(&good.replace("not yet", "`tests/a.rs::one`")).len(), 1);
    for bad in ["nothing", "`tests/a.rs::two`", "`tests/b.rs::one`", "`tests/a.rs::on`"] {
        let rows = good.replacen("`tests/a.rs::one`", bad, 1);
        assert_eq!(faults_of(&rows).len(), 1, "{bad}");
    }
    assert_eq!(faults_of(&good.replacen("`tests/a.rs::one`", "`tests/a.rs`", 1)).len(), 1);
    let page = "export const a = {\n  async 'a page opens'({ tabs }) {\n  },\n}\n";
    assert!(has_browser_test(page, "a page opens") && !has_browser_test(page, "a page"));
}
