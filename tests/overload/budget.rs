//! What does not start.

use std::process::{Command, Output};

use crate::common::{RawClient, Server};

fn serve(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags);
    command.output().expect("the program ends")
}

#[test]
fn limits_that_come_to_more_than_the_budget_are_refused_with_the_arithmetic() {
    for (flags, words) in [
        (&["--memory-budget", "1G"][..], "1000000 connections x 44.8 KiB: up to 100 rooms"),
        (
            &["--memory-budget", "1G", "--max-connections", "1000", "--max-message", "1073741824"],
            "a message",
        ),
        (
            &["--memory-budget", "4G", "--max-connections", "1000", "--backlogs-bytes", "1M"],
            "slow peers: 1.0 MiB owed a loop",
        ),
    ] {
        let output = serve(flags);
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success(), "{flags:?}: {error}");
        assert_eq!(output.stdout, b"", "it does not listen: {flags:?}");
        assert!(
            error.contains("throng: --memory-budget: the limits come to "),
            "{flags:?}: {error}"
        );
        assert!(error.contains(words), "{flags:?}: {error}");
        assert!(error.contains("lower a limit"), "{flags:?}: {error}");
    }
}

#[test]
fn rules_and_sizes_are_checked() {
    for flags in [
        &["--memory-budget", "1X"][..],
        &["--memory-budget", "0"],
        &["--room-priority", "a=lowest"],
        &["--room-backlog", "a"],
    ] {
        let output = serve(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn limits_that_fit_are_said_and_served() {
    let flags =
        ["--memory-budget", "512M", "--max-connections", "1000", "--max-message", "1048576"];
    let server = Server::serve(&flags);
    RawClient::open(&server, "/echo").expect_open();
    assert!(server.errors().contains("the memory budget is 512.0 MiB"), "{}", server.errors());
}
