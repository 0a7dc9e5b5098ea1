//! Another process follows a server: nobody is refused meanwhile.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::common::http::{Upgrade, get};
use crate::common::procfs::is_alive;
use crate::common::server::program;
use crate::common::{Folder, RawClient, Server, eventually, free_addresses};
use crate::is_full;
use crate::lineage::Lineage;

/// Connects over and over, at so many a second, until it is told to stop: how many were served, and
/// what went wrong.
struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Crowd {
    fn start(dial: impl Fn() -> io::Result<TcpStream> + Send + 'static, per_second: u32) -> Crowd {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&served));
        let thread = thread::spawn(move || {
            let mut faults = Vec::new();
            let (mut next, step) = (Instant::now(), Duration::from_secs(1) / per_second);
            while !until.load(Ordering::Relaxed) {
                match dial().map_err(|error| format!("connect: {error}")).and_then(come_in) {
                    Ok(()) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Err(fault) => faults.push(fault),
                }
                next += step;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            faults
        });
        Crowd { stop, served, thread }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let faults = self.thread.join().expect("the crowd");
        (self.served.load(Ordering::Relaxed), faults)
    }
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One handshake, up to its 101.
fn come_in(mut stream: TcpStream) -> Result<(), String> {
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let sent = stream.write_all(&Upgrade::new("/ws?room=a").bytes());
    sent.map_err(|error| format!("send: {error}"))?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(|error| format!("answer: {error}"))?;
    match &head {
        b"HTTP/1.1 101" => Ok(()),
        other => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

fn nobody_is_refused(flags: &[&str], upgrades: usize) {
    let mut server = Lineage::new(Server::serve(flags));
    let address = server.address();
    let crowd = Crowd::start(move || TcpStream::connect_timeout(&address, PATIENCE), 200);
    for _ in 0..upgrades {
        server.upgrade();
        server.wait_for_the_old(15.0);
        thread::sleep(Duration::from_millis(50));
    }
    let (served, faults) = crowd.end();
    eprintln!("{served} served over {upgrades} upgrades with {flags:?}, {} not", faults.len());
    assert!(faults.is_empty(), "{faults:?}");
    assert!(served > upgrades * 5, "{served}");
    server.signal("TERM");
}

/// G10 of docs/reliability.md, its first half.
#[test]
fn g10_ten_upgrades_and_nobody_is_refused() {
    nobody_is_refused(&["--drain", "1"], if is_full() { 100 } else { 10 });
}

#[test]
fn g10_with_two_loops() {
    nobody_is_refused(&["--drain", "1", "--loops", "2"], 3);
}

fn by_unix(path: &str) -> io::Result<TcpStream> {
    Ok(TcpStream::from(OwnedFd::from(UnixStream::connect(path)?)))
}

#[test]
fn a_unix_socket_is_served_on_and_who_came_by_it_stays() {
    let folder = Folder::new("life-unix");
    let path = folder.file("socket");
    let listen = format!("unix:{path}");
    let mut server = Lineage::new(Server::serve(&["--drain", "1", "--listen", &listen]));
    let mut stays = RawClient::on(by_unix(&path).expect("it listens"));
    stays.send(Upgrade::new("/echo").bytes());
    stays.expect_upgrade();
    let of_crowd = path.clone();
    let crowd = Crowd::start(move || by_unix(&of_crowd), 50);
    for _ in 0..3 {
        server.upgrade();
        server.wait_for_the_old(15.0);
        stays.expect_open();
        thread::sleep(Duration::from_millis(50));
    }
    let (served, faults) = crowd.end();
    assert!(faults.is_empty() && served > 10, "{served}, {faults:?}");
    let pid = server.pid();
    server.signal("TERM");
    stays.expect_close(1001);
    eventually("the last one ends", 15.0, || !is_alive(pid));
    assert!(!Path::new(&path).exists(), "the last one removes the file");
}

#[test]
fn who_waits_to_be_accepted_is_not_lost() {
    let mut server = Lineage::new(Server::serve(&["--drain", "1"]));
    // They say nothing, so that the kernel keeps them for a second.
    let mut waiting: Vec<_> = (0..20).map(|_| RawClient::connect(&server.first)).collect();
    server.upgrade();
    for client in &mut waiting {
        client.send(Upgrade::new("/echo").bytes());
        client.expect_upgrade();
    }
    server.wait_for_the_old(15.0);
}

#[test]
fn a_program_that_does_not_start_changes_nothing() {
    let folder = std::env::temp_dir().join(format!("throng-life-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("throng");
    fs::copy(program(), &path).expect("a copy");
    let mut command = Command::new(&path);
    command.arg("serve");
    let mut server = Lineage::new(Server::start(command, &["--drain", "1"]));
    let mut client = RawClient::open(&server.first, "/echo");
    let break_it = |script: &str| {
        fs::remove_file(&path).expect("removed");
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("may be run");
    };
    break_it("#!/bin/sh\nexit 7\n");
    let said = |server: &Lineage, words: &str| server.first.errors().contains(words);
    server.signal("USR2");
    eventually("the failure is logged", 10.0, || said(&server, "it has ended: exit status: 7"));
    client.expect_open();
    break_it("no program");
    server.signal("USR2");
    eventually("it is logged", 10.0, || said(&server, "Exec format error"));
    client.expect_open();
    fs::remove_file(&path).expect("removed");
    fs::copy(program(), &path).expect("a copy");
    server.upgrade(); // a good one is taken still
    RawClient::open(&server.first, "/echo").expect_open();
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn it_may_be_stopped_while_another_starts() {
    let mut server = Lineage::new(Server::serve(&["--drain", "1"]));
    server.signal("USR2");
    server.signal("TERM");
    assert_eq!(server.first.wait_exit(20.0).code(), Some(0));
}

#[test]
fn sockets_of_a_service_manager_are_listened_on() {
    for loops in ["1", "2"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // The shell moves it to the number where the first socket has to be.
        let line =
            "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh", &program(), "serve", "--drain", "1", "--loops", loops]);
        let socket = OwnedFd::from(listener);
        let mut server = Lineage::new(Server::on(command, socket.into()));
        assert_eq!(server.address(), address, "it stands in place of --listen");
        RawClient::open(&server.first, "/echo").expect_open();
        for _ in 0..2 {
            server.upgrade();
            server.wait_for_the_old(15.0);
        }
        RawClient::open(&server.first, "/echo").expect_open();
        let mut client = RawClient::connect(&server.first);
        client.send(get("/readyz"));
        assert_eq!(client.read_answer(false).status, 200);
    }
}

#[test]
fn an_address_that_is_not_wanted_any_more_is_closed() {
    let [kept, gone] = free_addresses();
    let folder = Folder::new("listen");
    let file = folder.file("throng.toml");
    let write = |addresses: &[String]| {
        fs::write(&file, format!("listen = {addresses:?}\n")).expect("it is written");
    };
    write(&[kept.to_string(), gone.to_string()]);
    let mut command = Command::new(program());
    command.args(["serve", "--drain", "1", "--config", &file]);
    let mut server = Lineage::new(Server::on(command, Stdio::null()));
    assert!(TcpStream::connect(gone).is_ok());
    write(&[kept.to_string()]);
    server.upgrade();
    server.wait_for_the_old(15.0);
    RawClient::open(&server.first, "/echo").expect_open();
    assert!(TcpStream::connect(gone).is_err());
}
