//! `--user`, with the real binary as root: what is given up, what goes on to work, what is refused.
//!
//! Where the tests do not run as root each says so and ends.

#[path = "common/mod.rs"]
mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use common::http::get;
use common::server::program;
use common::{Folder, RawClient, Server, eventually};

/// A user of every Debian, and its numbers there.
const USER: &str = "nobody";
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        eprintln!("skipped: only root can show this");
    }
    is_root
}

/// The values of a line of `/proc/PID/status`, of each thread.
fn threads(server: &Server, field: &str) -> Vec<Vec<String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it lives").flatten();
    let status = tasks.map(|task| fs::read_to_string(task.path().join("status")).expect("a file"));
    let line = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.split_whitespace().map(str::to_owned).collect()
    };
    status.map(line).collect()
}

fn owned_by_nobody(name: &str) -> Folder {
    let folder = Folder::new(name);
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    folder
}

fn answer(server: &Server, target: &str) -> (u16, String) {
    let mut client = RawClient::connect(server);
    client.send(get(target));
    let answer = client.read_answer(false);
    (answer.status, String::from_utf8(answer.body).expect("UTF-8"))
}

/// What `throng` says on standard error when it does not start.
fn complaint(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8").trim_end().to_owned()
}

/// In all threads, also those that come later; with a port that is for root.
#[test]
fn all_rights_of_root_are_given_up_for_good() {
    if !is_root() {
        return;
    }
    let [.., high, low] = std::process::id().to_be_bytes();
    let listen = format!("127.{}.{low}.1:443", 128 + high % 100);
    let server = Server::serve(&["--listen", &listen, "--loops", "3", "--user", USER]);
    eventually("it says so", 5.0, || server.errors().contains("root's rights are given up"));
    eventually("its threads are there", 5.0, || threads(&server, "Uid:").len() >= 4);
    let nobody = NOBODY.to_string();
    for field in ["Uid:", "Gid:"] {
        for ids in threads(&server, field) {
            assert_eq!(ids, [(); 4].map(|()| nobody.clone()), "{field}");
        }
    }
    for field in ["CapEff:", "CapPrm:", "CapAmb:"] {
        assert!(threads(&server, field).iter().all(|caps| caps == &["0000000000000000"]));
    }
    assert!(threads(&server, "NoNewPrivs:").iter().all(|on| on == &["1"]));
    assert!(threads(&server, "Groups:").iter().flatten().all(|group| *group == nobody));
    std::net::TcpStream::connect(&listen).expect("it listens there");
    assert_eq!(answer(&server, "/healthz").0, 200);
    let metrics = answer(&server, "/metrics").1;
    let open = metrics.lines().find_map(|line| line.strip_prefix("process_open_fds "));
    assert!(open.is_some_and(|count| count.parse().is_ok_and(|count: u32| count > 5)), "{metrics}");
}

#[test]
fn files_are_the_users_and_go_with_it() {
    if !is_root() {
        return;
    }
    let folder = owned_by_nobody("user");
    let [path, store] = ["socket", "history.db"].map(|name| folder.file(name));
    let listen = format!("unix:{path}");
    let flags = ["--listen", &listen, "--durable", "*", "--history-db", &store, "--user", USER];
    let mut server = Server::serve(&flags);
    eventually("the store is open", 5.0, || answer(&server, "/readyz").0 == 200);
    for path in [&path, &store] {
        let metadata = fs::metadata(path).expect("a file");
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{path}");
    }
    server.signal("TERM");
    assert!(server.wait_exit(10.0).success());
    assert!(!fs::exists(&path).expect("a folder"));
}

#[test]
fn a_store_that_the_user_may_not_write_is_said() {
    if !is_root() {
        return;
    }
    let folder = Folder::new("user-store");
    let store = folder.file("history.db");
    let server = Server::serve(&["--durable", "*", "--history-db", &store, "--user", USER]);
    eventually("it says which file, and what to do", 5.0, || {
        let errors = server.errors();
        let words = "see to the file, its folder and its owner";
        errors.lines().any(|line| line.contains(&store) && line.contains(words))
    });
    assert_eq!(answer(&server, "/readyz").0, 503);
    assert!(!fs::exists(&store).expect("a folder"));
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    eventually("it is tried again", 5.0, || answer(&server, "/readyz").0 == 200);
}

/// What root has read is in use; what the user may read is read again.
#[test]
fn keys_and_settings_are_read_again_as_that_user() {
    if !is_root() {
        return;
    }
    let folder = owned_by_nobody("user-keys");
    let [secret, settings] = ["secret", "throng.toml"].map(|name| folder.file(name));
    fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("a file");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("root may");
    fs::write(&settings, "max_rooms = 5\n").expect("a file");
    let flags = ["--jwt-secret-file", &secret, "--config", &settings, "--user", USER];
    let server = Server::serve(&flags);
    let warned = |path: &str| {
        let errors = server.errors();
        errors
            .lines()
            .any(|line| line.contains("the user may not read this") && line.contains(path))
    };
    eventually("it is said", 5.0, || warned(&secret));
    assert!(!warned(&settings), "{}", server.errors());
    // From here on the user may.
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).expect("root may");
    fs::write(&settings, "max_rooms = 6\n").expect("a file");
    server.hang_up();
    eventually("the settings are read again", 5.0, || {
        server.errors().contains("these settings have changed")
    });
    assert!(server.errors().contains("max_rooms"), "{}", server.errors());
}

#[test]
fn who_is_no_good_user_is_refused() {
    if !is_root() {
        return;
    }
    for (user, words) in [
        ("no-such-user", "there is no such user on this machine"),
        ("root", "that is root: name one that may do less, or leave it out"),
    ] {
        let mut command = Command::new(program());
        let said = complaint(command.args(["echo", "--listen", "127.0.0.1:0", "--user", user]));
        assert_eq!(said.lines().last(), Some(&*format!("throng: --user {user}: {words}")));
    }
}

/// Who is not root cannot become another; who is that user already stays so.
#[test]
fn it_takes_root() {
    if !is_root() {
        return;
    }
    let folder = owned_by_nobody("user-copy");
    let copy = folder.file("throng");
    fs::copy(program(), &copy).expect("a copy that nobody can reach");
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups", &copy]);
        command
    };
    let mut other = as_nobody();
    let said = complaint(other.args(["echo", "--listen", "127.0.0.1:0", "--user", "daemon"]));
    let expected = "throng: --user daemon: only root can become another user: start it as root, or \
        as them";
    assert_eq!(said.lines().last(), Some(expected));
    let mut same = as_nobody();
    same.arg("serve");
    let server = Server::start(same, &["--user", USER]);
    assert_eq!(answer(&server, "/healthz").0, 200);
}
