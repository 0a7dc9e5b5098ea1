//! The house rules that a program can check: layers, sizes, names, `unsafe`, `unwrap`.
//!
//! Each check is a function from a file's name and text to a list of faults, and each is shown to
//! find the fault it is made for, by a test on a bad sample.

mod dependencies;
mod rust;
mod samples;

use std::path::{Path, PathBuf};

use rust::{code_only, is_test_file, is_word, item_end, line_of, without_tests, words};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
/// The one file with `unsafe`, and the module that lets it in.
const UNSAFE_ALLOWED_IN: &str = "src/frame/mask/wide.rs";
const UNSAFE_LET_IN_BY: &str = "src/frame/mask/mod.rs";

/// The layers of the design and what each may import, besides itself.
const LAYERS: [(&str, &[&str]); 10] = [
    ("http", &[]),
    ("tls", &[]),
    ("frame", &[]),
    ("extension", &["frame"]),
    ("proto", &["extension", "frame"]),
    ("handshake", &["http"]),
    ("net", &["tls", "proto", "handshake", "http", "extension", "frame"]),
    ("client", &["tls", "proto", "handshake", "http", "extension", "frame"]),
    ("hub", &["net", "tls", "proto", "handshake", "http", "extension", "frame"]),
    ("cli", &[]), // the program: it sees the library from outside, as `throng::`
];

/// A line that may break a rule: its file, what stands in it, and why it may.
type Exception = (&'static str, &'static str, &'static str);

/// Where `unwrap` and `expect` may stand outside tests.
const UNWRAPS_ALLOWED: [Exception; 1] = [(
    "src/net/os.rs",
    "expect(\"the kernel has randomness\")",
    "no peer drives it, and a server without randomness must not go on",
)];

/// Where `_ =>` may stand in `src/proto/`: matches over something else than a protocol enum.
const WILDCARDS_ALLOWED: [Exception; 0] = [];

// ---- the checks ----

fn long_files(path: &str, source: &str) -> Vec<String> {
    let lines = source.lines().count();
    let fault = || format!("{path}: {lines} lines, {FILE_LINES_MAX} are allowed");
    (lines > FILE_LINES_MAX).then(fault).into_iter().collect()
}

fn long_lines(path: &str, source: &str) -> Vec<String> {
    let lines = source.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
    lines.map(|(index, _)| format!("{path}:{}: over {COLUMNS_MAX} columns", index + 1)).collect()
}

fn long_functions(path: &str, source: &str) -> Vec<String> {
    let code = code_only(source);
    let functions = words(&code, "fn").filter_map(|at| {
        let named =
            code[at + 2..].trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_');
        let end = (item_end(&code, at) + 1).min(code.len());
        let lines = code[at..end].lines().count();
        (named && lines > FUNCTION_LINES_MAX).then(|| {
            let (line, most) = (line_of(&code, at), FUNCTION_LINES_MAX);
            format!("{path}:{line}: a function of {lines} lines, {most} are allowed")
        })
    });
    functions.collect()
}

/// `unsafe` stands in one file, each below a comment that says why it is sound.
fn unsafe_code(path: &str, source: &str) -> Vec<String> {
    let code = code_only(source);
    let lines: Vec<&str> = source.lines().collect();
    let is_argued = |at: usize| {
        let above = lines[..line_of(&code, at) - 1].iter().rev().map(|line| line.trim());
        let mut comment = above.take_while(|line| line.starts_with("// "));
        comment.any(|line| line.starts_with("// SAFETY: "))
    };
    let broken = words(&code, "unsafe").filter(|&at| path != UNSAFE_ALLOWED_IN || !is_argued(at));
    broken.map(|at| format!("{path}:{}: unsafe", line_of(&code, at))).collect()
}

/// The compiler refuses `unsafe` in the library and the program, and one module is let off.
fn unsafe_lint(path: &str, source: &str) -> Vec<String> {
    let code = code_only(source);
    let denied = match path {
        "src/lib.rs" => code.contains("#![deny(unsafe_code)]"),
        "src/main.rs" => code.contains("#![forbid(unsafe_code)]"),
        _ => true,
    };
    let missing = (!denied).then(|| format!("{path}: does not deny unsafe_code"));
    let let_in = words(&code, "unsafe_code").filter(|&at| {
        let before = code[..at].trim_end();
        let lets_in = ["allow(", "expect(", "warn("].iter().any(|level| before.ends_with(level));
        lets_in && path != UNSAFE_LET_IN_BY
    });
    let faults = let_in.map(|at| format!("{path}:{}: lets unsafe in", line_of(&code, at)));
    missing.into_iter().chain(faults).collect()
}

fn no_opening_words(path: &str, source: &str) -> Vec<String> {
    let silent = path.starts_with("src/") && !source.starts_with("//!");
    silent.then(|| format!("{path}: does not open with //!")).into_iter().collect()
}

fn names_with_get(path: &str, source: &str) -> Vec<String> {
    let code = code_only(source);
    let found = code.match_indices("fn get_");
    found.map(|(at, _)| format!("{path}:{}: a name with get_", line_of(&code, at))).collect()
}

/// The lines of `path` where one of `patterns` stands outside tests and comments, and which no
/// exception allows.
fn not_allowed(
    path: &str,
    source: &str,
    patterns: &[&str],
    exceptions: &[Exception],
) -> Vec<String> {
    let code = without_tests(&code_only(source));
    let lines = code.lines().zip(source.lines()).enumerate();
    let broken = lines.filter(|(_, (code, _))| patterns.iter().any(|one| code.contains(one)));
    let unexcused = broken.filter(|(_, (_, line))| {
        !exceptions.iter().any(|(file, text, _)| path == *file && line.contains(text))
    });
    unexcused.map(|(index, (_, line))| format!("{path}:{}: {}", index + 1, line.trim())).collect()
}

fn unwraps(path: &str, source: &str) -> Vec<String> {
    if !path.starts_with("src/") || is_test_file(path) {
        return Vec::new();
    }
    not_allowed(path, source, &[".unwrap()", ".expect("], &UNWRAPS_ALLOWED)
}

fn wildcards(path: &str, source: &str) -> Vec<String> {
    if !path.starts_with("src/proto/") || is_test_file(path) {
        return Vec::new();
    }
    let broken = not_allowed(path, source, &["_ =>"], &WILDCARDS_ALLOWED);
    // `Some(_) =>`, `(a, _) =>` and names that end in `_` are something else.
    broken
        .into_iter()
        .filter(|fault| fault.contains(": _ =>") || fault.contains("| _ =>"))
        .collect()
}

/// The layer of a file: its folder under `src/`. None for the root of the library.
fn layer_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    match inner.split_once('/') {
        Some((folder, _)) => Some(folder),
        None if inner == "main.rs" => Some("cli"),
        None if inner == "lib.rs" => None,
        None => Some(inner.trim_end_matches(".rs")),
    }
}

/// How many modules down from the root a file is: 1 for `src/net/mod.rs`, 2 for `src/net/id.rs`.
fn depth_of(path: &str) -> usize {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.trim_end_matches("/mod");
    if matches!(inner, "lib" | "main") { 0 } else { inner.split('/').count() }
}

/// The names that directly follow `crate::` or enough `super::` to reach the root, with their
/// places; every name of a group `crate::{a::X, b}`.
fn names_at_the_root(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = code[at + 5..].strip_prefix("::") {
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    for at in words(code, "super") {
        let rest = &code[at..];
        let supers = rest.split("::").take_while(|part| part.trim() == "super").count();
        let starts = !code[..at].ends_with("::");
        if starts && depth > 0 && supers >= depth {
            let after = rest.splitn(supers + 1, "::").last().unwrap_or_default();
            let names = first_names(after).into_iter();
            let layers = names.filter(|name| LAYERS.iter().any(|(layer, _)| layer == name));
            found.extend(layers.map(|name| (at, name)));
        }
    }
    found
}

fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().bytes().take_while(|&byte| is_word(byte)).map(char::from).collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn breaches_of_layers(path: &str, source: &str) -> Vec<String> {
    let Some(layer) = layer_of(path) else {
        return Vec::new(); // the root names its parts
    };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{path}: {layer} is no layer of the design")];
    };
    let code = code_only(source);
    let mut faults = Vec::new();
    for (at, name) in names_at_the_root(&code, depth_of(path)) {
        if name != layer && !allowed.contains(&name.as_str()) {
            faults.push(format!("{path}:{}: {layer} uses crate::{name}", line_of(&code, at)));
        }
    }
    if layer != "cli" {
        let outside = words(&code, "throng").filter(|at| code[at + 6..].starts_with("::"));
        faults.extend(outside.map(|at| {
            format!("{path}:{}: the library names itself from outside", line_of(&code, at))
        }));
    }
    faults
}

// ---- the checks, over the project ----

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    const NOT_OURS: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", "venv"];
    let Ok(entries) = std::fs::read_dir(folder) else {
        return; // not every folder exists from the first day
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !NOT_OURS.iter().any(|other| name == *other) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file in UTF-8");
            let path = path.strip_prefix(root()).expect("inside the project").to_owned();
            files.push((path.to_string_lossy().replace('\\', "/"), source));
        }
    }
}

fn all_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz", "examples"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.iter().any(|(path, _)| path == "tests/tidy/main.rs"), "the files were found");
    files
}

fn holds_everywhere(check: fn(&str, &str) -> Vec<String>) {
    let files = all_files();
    let faults: Vec<String> = files.iter().flat_map(|(path, source)| check(path, source)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn layers_point_down() {
    holds_everywhere(breaches_of_layers);
}

#[test]
fn files_are_of_600_lines_at_most() {
    holds_everywhere(long_files);
}

#[test]
fn functions_are_of_70_lines_at_most() {
    holds_everywhere(long_functions);
}

#[test]
fn lines_are_of_100_columns_at_most() {
    holds_everywhere(long_lines);
}

#[test]
fn unsafe_stands_in_one_file_only() {
    holds_everywhere(unsafe_code);
    holds_everywhere(unsafe_lint);
}

#[test]
fn source_files_open_with_what_they_own() {
    holds_everywhere(no_opening_words);
}

#[test]
fn no_name_starts_with_get() {
    holds_everywhere(names_with_get);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    holds_everywhere(unwraps);
}

#[test]
fn matches_in_proto_have_no_wildcard() {
    holds_everywhere(wildcards);
}

#[test]
fn every_exception_is_needed() {
    let files = all_files();
    for (file, text, reason) in UNWRAPS_ALLOWED.iter().chain(&WILDCARDS_ALLOWED) {
        let source = files.iter().find(|(path, _)| path == file).map(|(_, source)| source);
        let needed = source.is_some_and(|source| source.contains(text));
        assert!(needed, "{file}: {text:?} is gone, its exception can go too");
        assert!(!reason.is_empty(), "{file}: an exception without a reason");
    }
}
