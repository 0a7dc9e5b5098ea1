//! Commands that make no sense.

use crate::run::load;

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    let url = "ws://127.0.0.1:1/";
    let table: [(&[&str], &str); 13] = [
        (&[], "Usage"),
        (&["echo"], "URL"),
        (&["echo", "ftp://a"], "ws://"),
        (&["echo", "wss://127.0.0.1:1/", "--ca", "missing.pem"], "cannot read missing.pem"),
        (&["echo", url, "-c", "0"], "at least 1"),
        (&["echo", url, "-t", "0"], "number of seconds"),
        (&["echo", url, "--rate", "5", "--depth", "2"], "cannot be used with"),
        (&["echo", url, "--text", "--binary"], "cannot be used with"),
        (&["echo", url, "--from", "127.0.0.9-2"], "higher number"),
        (&["echo", url, "--wrap", "no place"], "{}"),
        (&["echo", url, "-H", "Host: other"], "belongs to the handshake"),
        (&["fanout", url, "-s", "10"], "22 bytes at least"),
        (&["ramp", url, "--raise", "rate"], "needs a --rate"),
    ];
    for (args, words) in table {
        let done = load(args);
        assert_eq!(done.status, 2, "{args:?}: {}", done.errors);
        assert!(done.errors.contains(words), "{args:?}: {words:?} in\n{}", done.errors);
        assert_eq!(done.out, "", "{args:?}");
    }
}

#[test]
fn a_process_that_is_not_there_cannot_be_watched() {
    let done = load(&["echo", "ws://127.0.0.1:1/", "--pid", "4000000000"]);
    assert_eq!(done.status, 1);
    assert!(done.errors.contains("no process 4000000000"), "{}", done.errors);
}

#[test]
fn the_help_tells_the_exit_statuses() {
    for command in ["echo", "fanout", "storm", "idle", "ramp"] {
        let done = load(&[command, "--help"]);
        assert_eq!(done.status, 0);
        assert!(done.out.contains("3  wrong bytes came back"), "{}", done.out);
    }
}
