//! Each kind of mistake has its place and its words.

use std::net::TcpListener;

use crate::{SettingsFile, complaints, run};

const NEEDS_KEYS: &str = "needs keys: --jwt-secret-file or --jwks, or --api-key for tickets";

/// Text, and what is said of it after the name of the file.
const MISTAKES: [(&str, &str); 39] = [
    // No TOML.
    ("loops = 2\nmax_rooms 5\n", "2:11: key with no value, expected `=`"),
    ("loops = 1\nloops = 2\n", "2:1: duplicate key"),
    ("jwks = 'x\n", "1:10: invalid literal string, expected `'`"),
    // No such key.
    (
        "max_conections = 5\n",
        "1:1: max_conections: there is no such key, did you mean max_connections?",
    ),
    ("# one\n\n  max-rooms = 5\n", "3:3: max-rooms: there is no such key, did you mean max_rooms?"),
    ("colour = 'red'\n", "1:1: colour: there is no such key"),
    ("config = 'x'\n", "1:1: config: there is no such key"),
    (
        "[limits]\nmax_rooms = 5\n",
        "1:2: limits: there are no tables here, each key stands for itself",
    ),
    // Another kind.
    ("loops = '2'\n", "1:9: loops: expected a whole number, found a string"),
    ("loops = 2.0\n", "1:9: loops: expected a whole number, found a number with a fraction"),
    (
        "max_message = '64K'\n",
        "1:15: max_message: expected a whole number of bytes, found a string",
    ),
    ("ping_interval = '30'\n", "1:17: ping_interval: expected a number of seconds, found a string"),
    ("require_token = 'yes'\n", "1:17: require_token: expected true or false, found a string"),
    ("jwks = 7\n", "1:8: jwks: expected a string, found a whole number"),
    ("listen = ':80'\n", "1:10: listen: expected a list of strings, found a string"),
    ("host = [ 'a',\n  7 ]\n", "2:3: host: expected a string in the list, found a whole number"),
    ("max_rooms.all = 5\n", "1:1: max_rooms: expected a whole number, found a table"),
    ("drain = 07:32:00\n", "1:9: drain: expected a number of seconds, found a time"),
    // Out of bounds.
    ("loops = 0\n", "1:9: loops: 0 is not in 1..=1024"),
    (
        "loops = 65_22-05-2\n",
        "1:9: loops: expected a whole number, found what is no number, or too large for one",
    ),
    ("max_rooms = -1\n", "1:13: max_rooms: -1 is less than 0"),
    ("max_faults = 65536\n", "1:14: max_faults: 65536 is not in 0..=65535"),
    ("drain = 0\n", "1:9: drain: must be more than 0 and at most a year, found 0"),
    ("compress = 'on'\n", "1:12: compress: must be off, shared or dedicated, found \"on\""),
    ("log_format = 'xml'\n", "1:14: log_format: must be one of text, json, found \"xml\""),
    (
        "trust_proxy = ['10.0.0.0/8', 'me']\n",
        "1:30: trust_proxy: \"me\" is no address and no network, such as 10.0.0.0/8",
    ),
    // Not good together, or not there.
    (
        "loops = 1\nrequire_token = true\n",
        "2:1: require_token: needs keys: --jwt-secret-file or --jwks, or --api-key for tickets",
    ),
    (
        "durable = ['a']\nhistory_db = 'off'\n",
        "1:1: durable: needs a --history-db, and --history-messages above 0",
    ),
    ("host = ['a/b']\n", "1:1: host: \"a/b\" is no host or host:port"),
    (
        "jwt_secret_file = '/nowhere/secret'\n",
        "1:1: jwt_secret_file: /nowhere/secret: No such file or directory (os error 2)",
    ),
    (
        "max_rooms = 5\napi_key = ['too-short']\n",
        "2:1: api_key: an API key of 9 bytes: it needs at least 16 (try `openssl rand -hex 32`)",
    ),
    (
        "tls_cert = ['/nowhere/cert']\n",
        "1:1: tls_cert: each --tls-cert needs its --tls-key: there are 1 and 0",
    ),
    ("tls_client_ca = '/nowhere/ca'\n", "1:1: tls_client_ca: needs --tls-cert"),
    (
        "refuse_after_upgrade = true\nfirst_message_token = true\n",
        "2:1: first_message_token: needs --require-token",
    ),
    ("user = 'no-such'\n", "1:1: user: no-such: there is no such user on this machine"),
    (
        "user = 'root'\n",
        "1:1: user: root: that is root: name one that may do less, or leave it out",
    ),
    ("unix_mode = 0o660\n", "1:13: unix_mode: expected a string, found a whole number"),
    ("unix_mode = '888'\n", "1:13: unix_mode: must be a mode in octal, such as 660, found \"888\""),
    ("listen = []\n", "1:1: listen: needs an address, such as 127.0.0.1:8080"),
];

#[test]
fn each_mistake_has_its_place_and_its_words() {
    for (text, expected) in MISTAKES {
        let file = SettingsFile::new(text);
        let said = complaints(&file.check());
        assert_eq!(said, [format!("throng: {}:{expected}", file.name())], "{text}");
    }
}

#[test]
fn the_server_says_the_same_and_does_not_start() {
    for (text, expected) in MISTAKES {
        if text.starts_with("listen") {
            continue; // the flag below overrules it
        }
        let file = SettingsFile::new(text);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--config", file.name()];
        let said = complaints(&run(&serve, &[]));
        assert_eq!(said, [format!("throng: {}:{expected}", file.name())], "{text}");
    }
}

#[test]
fn all_mistakes_are_said_at_once() {
    let file = SettingsFile::new("loops = 0\nmax_rooms = 5\ncolour = 1\ndrain = 'x'\n");
    let output = run(&["check", file.name()], &[("THRONG_MAX_FAULTS", "many")]);
    let said = complaints(&output);
    let name = file.name();
    assert_eq!(
        said,
        [
            format!("throng: {name}:1:9: loops: 0 is not in 1..=1024"),
            format!("{name}:3:1: colour: there is no such key"),
            format!("{name}:4:9: drain: expected a number of seconds, found a string"),
            "THRONG_MAX_FAULTS: expected a whole number, found \"many\"".to_owned(),
        ]
    );
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, expected) in [
        ("THRONG_LOOPS", "0", "0 is not in 1..=1024"),
        ("THRONG_LOOPS", "two", "expected a whole number, found \"two\""),
        (
            "THRONG_REQUIRE_TOKEN",
            "true",
            "needs keys: --jwt-secret-file or --jwks, or --api-key for tickets",
        ),
        (
            "THRONG_TRUST_PROXY",
            "10.0.0.1,me",
            "\"me\" is no address and no network, such as 10.0.0.0/8",
        ),
        ("THRONG_DRAIN", "soon", "must be a number of seconds, found soon"),
    ] {
        let said = complaints(&run(&["serve", "--listen", "127.0.0.1:0"], &[(name, value)]));
        assert_eq!(said, [format!("throng: {name}: {expected}")]);
    }
}

#[test]
fn a_flag_that_does_not_fit_is_named() {
    let said = complaints(&run(&["serve", "--listen", "127.0.0.1:0", "--require-token"], &[]));
    assert_eq!(said, [format!("throng: --require-token: {NEEDS_KEYS}")]);
    let usage = run(&["serve", "--loops", "0"], &[]);
    assert_eq!(usage.status.code(), Some(2), "what every wrong command line gets");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for command in [&["serve", "--config"][..], &["check"]] {
        let said = complaints(&run(&[command, &["/nowhere/throng.toml"]].concat(), &[]));
        let expected = "throng: /nowhere/throng.toml: the settings cannot be read: No such file or \
            directory (os error 2); `throng check --example` prints one to begin with";
        assert_eq!(said, [expected]);
    }
    let said = complaints(&run(&["check", "/"], &[]));
    assert_eq!(said, ["throng: /: the settings cannot be read: Is a directory (os error 21)"]);
    let endless = complaints(&run(&["check", "/dev/zero"], &[]));
    assert_eq!(endless, ["throng: /dev/zero: over 1 MiB: this is no file of settings"]);
    let file = SettingsFile::new("");
    std::fs::write(file.name(), b"loops = 1\n# \xc3\xa9 \xff\n").expect("it was there");
    let said = complaints(&file.check());
    assert_eq!(said, [format!("throng: {}:2:5: this is not UTF-8", file.name())]);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let said = complaints(&run(&["serve", "--listen", &addr], &[]));
    let expected = format!(
        "throng: cannot listen on {addr}: Address already in use (os error 98); stop who listens \
         there, or take another port by --listen"
    );
    assert_eq!(said, [expected]);
    let said = complaints(&run(&["serve", "--listen", "nothing"], &[]));
    assert!(said[0].starts_with("throng: --listen: nothing is no address such as"), "{said:?}");
}
