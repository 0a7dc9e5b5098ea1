//! Every row of the checklist that is built has a test, and `docs/conformance.md` says which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of this test program, and those of `client`, `engine` and `tls` that show rows, as
/// they were compiled.
const SOURCES: [(&str, &str); 17] = [
    ("main.rs", include_str!("main.rs")),
    ("opening.rs", include_str!("opening.rs")),
    ("opening_lists.rs", include_str!("opening_lists.rs")),
    ("framing.rs", include_str!("framing.rs")),
    ("messages.rs", include_str!("messages.rs")),
    ("control.rs", include_str!("control.rs")),
    ("closing.rs", include_str!("closing.rs")),
    ("client/request.rs", include_str!("../client/request.rs")),
    ("client/answers.rs", include_str!("../client/answers.rs")),
    ("client/frames.rs", include_str!("../client/frames.rs")),
    ("client/closing.rs", include_str!("../client/closing.rs")),
    ("client/compression.rs", include_str!("../client/compression.rs")),
    ("engine/compression.rs", include_str!("../engine/compression.rs")),
    ("client/reconnecting.rs", include_str!("../client/reconnecting.rs")),
    ("tls/handshakes.rs", include_str!("../tls/handshakes.rs")),
    ("tls/beginnings.rs", include_str!("../tls/beginnings.rs")),
    ("tls/clients.rs", include_str!("../tls/clients.rs")),
];

/// Rows without a test so far, and what they wait for. A row leaves this list with its feature.
const NOT_BUILT: [(&str, &[u32]); 0] = [];

/// Rows whose tests do not run in three cuts, and why.
const UNCUT: [(&str, &[u32]); 3] = [
    ("of TLS: tests/tls/pieces.rs has every cut", &[15, 26, 27, 99]),
    ("nothing is received", &[23, 24]),
    ("a matter of time alone", &[91]),
];

/// What runs a stream in three cuts.
const CUTS: [&str; 4] = ["each_chunking(", "each_cut(", "exchange(", "in CHUNKINGS"];

struct Row {
    number: u32,
    role: String,
    section: String,
    requirement: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn checklist(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut field = || fields.next().unwrap_or_else(|| panic!("too short: {line:?}"));
            let number = field().parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
            let (role, section, requirement) = (field(), field(), field());
            Row { number, role, section, requirement }
        })
        .collect()
}

/// The tests in `source` that are named after a row, by row: `#[test]`, then `fn row_NNN_name()`.
fn row_tests(source: &str) -> Vec<(u32, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].trim() == "#[test]");
    pairs
        .filter_map(|pair| {
            let name = pair[1].strip_prefix("fn ")?.strip_suffix("() {")?;
            let number = name.strip_prefix("row_")?.get(..3)?.parse().ok()?;
            Some((number, name.to_owned()))
        })
        .collect()
}

/// The functions of a file: each name with its body.
fn functions(source: &str) -> Vec<(&str, &str)> {
    let starts = source.match_indices("\nfn ").chain(source.match_indices("\npub fn "));
    starts
        .filter_map(|(at, start)| {
            let rest = &source[at + start.len()..];
            let (name, _) = rest.split_once('(')?;
            let (body, _) = rest.split_once("\n}")?;
            Some((name, body))
        })
        .collect()
}

/// The tests of rows in `source` that do not run in three cuts, by themselves or by what they call.
fn uncut_tests(source: &str) -> Vec<u32> {
    let functions = functions(source);
    let mut cuts: Vec<String> = CUTS.map(String::from).into();
    loop {
        let is_new = |(name, body): &&(&str, &str)| {
            let call = format!("{name}(");
            !cuts.contains(&call) && cuts.iter().any(|cut| body.contains(&**cut))
        };
        let found: Vec<_> = functions.iter().filter(is_new).collect();
        if found.is_empty() {
            break;
        }
        cuts.extend(found.into_iter().map(|(name, _)| format!("{name}(")));
    }
    let tests = row_tests(source).into_iter();
    tests.filter(|(_, name)| !cuts.contains(&format!("{name}("))).map(|(row, _)| row).collect()
}

#[test]
fn every_row_is_shown_in_three_cuts() {
    let is_excused = |row: &u32| UNCUT.iter().any(|(_, rows)| rows.contains(row));
    let mut excused = Vec::new();
    for (file, source) in SOURCES {
        let (without_reason, with): (Vec<_>, Vec<_>) =
            uncut_tests(source).into_iter().partition(|row| !is_excused(row));
        assert!(without_reason.is_empty(), "{file}: rows {without_reason:?} in one piece only");
        excused.extend(with);
    }
    let needless = UNCUT.iter().flat_map(|(_, rows)| *rows).find(|row| !excused.contains(row));
    assert_eq!(needless, None, "this row is cut, and need not be excused");
    let source = "\n#[test]\nfn row_001_a() {\n    b(1);\n}\nfn b(x: u8) {\n    exchange(x);\n}\n\
        #[test]\nfn row_002_c() {\n    d();\n}\n";
    assert_eq!(uncut_tests(source), [2], "the check itself can fail");
}

fn all_row_tests() -> BTreeMap<u32, Vec<String>> {
    let mut tests: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (file, source) in SOURCES {
        let module = file.trim_end_matches(".rs").replace('/', "::");
        for (number, name) in row_tests(source) {
            tests.entry(number).or_default().push(format!("{module}::{name}"));
        }
    }
    tests
}

/// What is wrong with the tests as a set: rows with none, and rows that should have none.
fn faults(
    rows: &[Row],
    tests: &BTreeMap<u32, Vec<String>>,
    not_built: &[(&str, &[u32])],
) -> Vec<String> {
    let waits = |number: u32| not_built.iter().any(|(_, rows)| rows.contains(&number));
    let mut faults = Vec::new();
    for row in rows {
        match (tests.contains_key(&row.number), waits(row.number)) {
            (false, false) => faults.push(format!("row {}: no test", row.number)),
            (true, true) => faults.push(format!("row {}: tested, yet not built?", row.number)),
            (true, false) | (false, true) => {}
        }
        let names = tests.get(&row.number).map_or(&[][..], Vec::as_slice);
        let of_clients = ["client::", "tls::clients::"];
        let is_of_client = |name: &String| of_clients.iter().any(|it| name.starts_with(it));
        let at_a_server = !names.iter().all(is_of_client);
        if row.role == "C" && at_a_server {
            faults.push(format!("row {}: the client's, tested at a server?", row.number));
        }
    }
    for number in tests.keys() {
        if rows.iter().all(|row| row.number != *number) {
            faults.push(format!("row {number}: not in the checklist"));
        }
    }
    faults
}

#[test]
fn every_built_row_has_a_test() {
    let rows = checklist(&read("docs/rfc-checklist.tsv"));
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=120).collect::<Vec<u32>>(), "rows 1 to 120, in order");
    let faults = faults(&rows, &all_row_tests(), &NOT_BUILT);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_source_file_is_looked_at() {
    let listed: Vec<&str> = SOURCES.iter().map(|(file, _)| *file).collect();
    for (folder, prefix) in [("tests/rfc6455", ""), ("tests/client", "client/")] {
        for entry in std::fs::read_dir(root().join(folder)).expect("the folder").flatten() {
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let shows =
                name != "coverage.rs" && !row_tests(&read(&format!("{folder}/{name}"))).is_empty();
            let name = format!("{prefix}{name}");
            assert!(!shows || listed.contains(&name.as_str()), "{name} is not listed");
        }
    }
}

/// The check itself can fail.
#[test]
fn the_coverage_check_finds_what_is_missing() {
    let text = "# row\n1\tS\t4.2\tone\tN\t\n2\tB\t5.1\ttwo\tN\t\n3\tC\t4.1\tthree\tN\t\n";
    let rows = checklist(text);
    let source = "#[test]\nfn row_001_one() {\n}\nfn row_002_not_a_test() {\n}\n";
    let tests: BTreeMap<u32, Vec<String>> =
        row_tests(source).into_iter().map(|(number, name)| (number, vec![name])).collect();
    assert_eq!(faults(&rows, &tests, &[("client", &[3])]), ["row 2: no test"]);
    assert_eq!(faults(&rows, &tests, &[("client", &[2, 3])]), [""; 0]);
    let both = faults(&rows, &tests, &[("client", &[1, 2, 3])]);
    assert_eq!(both, ["row 1: tested, yet not built?"]);
    assert_eq!(faults(&rows[1..2], &tests, &[("", &[2])]), ["row 1: not in the checklist"]);
    let of_row_3 = |name: &str| BTreeMap::from([(3, vec![name.to_owned()])]);
    let elsewhere = faults(&rows[2..], &of_row_3("opening::row_003_three"), &[]);
    assert_eq!(elsewhere, ["row 3: the client's, tested at a server?"]);
    assert_eq!(faults(&rows[2..], &of_row_3("client::request::row_003_three"), &[]), [""; 0]);
}

/// The table of `docs/conformance.md`, from the checklist and the names of the tests.
fn table() -> String {
    let tests = all_row_tests();
    let mut out = String::from("| row | role | section | requirement | shown by | state |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for row in checklist(&read("docs/rfc-checklist.tsv")) {
        let names = tests.get(&row.number).map(|names| names.join("`, `"));
        let waits = NOT_BUILT.iter().find(|(_, rows)| rows.contains(&row.number));
        let state = waits.map_or("built", |(reason, _)| reason);
        let names = names.map_or(String::new(), |names| format!("`{names}`"));
        let Row { number, role, section, requirement } = row;
        let requirement = requirement.replace('|', "\\|");
        let line = format!("| {number} | {role} | {section} | {requirement} | {names} | {state} |");
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// `BLESS=1 cargo test --test rfc6455 conformance` writes the table anew.
#[test]
fn the_conformance_page_is_not_stale() {
    const START: &str = "<!-- rows: written by tests/rfc6455/coverage.rs -->\n";
    const END: &str = "<!-- end of rows -->\n";
    let page = read("docs/conformance.md");
    let (before, rest) = page.split_once(START).expect("the mark where the rows start");
    let (written, after) = rest.split_once(END).expect("the mark where the rows end");
    let due = table();
    if std::env::var_os("BLESS").is_some() {
        let page = format!("{before}{START}{due}{END}{after}");
        std::fs::write(Path::new(&root()).join("docs/conformance.md"), page).expect("written");
        return;
    }
    let differing = due.lines().zip(written.lines()).find(|(due, written)| due != written);
    assert!(due == written, "run with BLESS=1; the first difference: {differing:#?}");
}
