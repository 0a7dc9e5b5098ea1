//! What the service manager hears: a socket of our own takes its place.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::{RawClient, Server};
use crate::lineage::Lineage;

struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let path = std::env::temp_dir().join(format!("throng-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Manager { socket, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("a plain path")
    }

    /// What is said next, but for the watchdog.
    fn next(&self) -> String {
        loop {
            let said = self.hear(Duration::from_secs(10)).expect("something is said");
            if said != "WATCHDOG=1\n" {
                return said;
            }
        }
    }

    fn hear(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).expect("a time");
        let mut buffer = [0; 1024];
        let count = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn it_is_told_of_every_step() {
    let manager = Manager::new("steps");
    let file = std::env::temp_dir().join(format!("throng-steps-{}.toml", std::process::id()));
    std::fs::write(&file, "max_rooms = 5\n").expect("written");
    let file_name = file.to_str().expect("a plain path");
    let variables = [("NOTIFY_SOCKET", manager.path())];
    let flags = ["--drain", "1", "--config", file_name];
    let mut server = Lineage::new(Server::serve_with(&variables, &flags));
    assert_eq!(manager.next(), "READY=1\n");
    let is_reloading = |said: &str| said.starts_with("RELOADING=1\nMONOTONIC_USEC=");
    server.first.hang_up();
    let said = manager.next();
    assert!(is_reloading(&said), "{said}");
    assert_eq!(manager.next(), "READY=1\n");
    server.upgrade();
    let said = manager.next();
    assert!(is_reloading(&said), "{said}");
    assert_eq!(manager.next(), format!("MAINPID={}\n", server.pid()));
    assert_eq!(manager.next(), "READY=1\n");
    server.wait_for_the_old(10.0);
    server.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1\n");
    let _ = std::fs::remove_file(file);
}

#[test]
fn the_watchdog_is_fed_as_long_as_all_loops_turn() {
    let manager = Manager::new("watchdog");
    let variables = [("NOTIFY_SOCKET", manager.path()), ("WATCHDOG_USEC", "400000")];
    let mut server = Lineage::new(Server::serve_with(&variables, &["--loops", "2"]));
    let fed = |count: usize| {
        let started = Instant::now();
        (0..count).for_each(|_| {
            while manager.hear(Duration::from_secs(5)).expect("fed") != "WATCHDOG=1\n" {}
        });
        started.elapsed()
    };
    fed(1);
    let took = fed(10); // at rest, with nobody there
    assert!(took > Duration::from_millis(500), "{took:?}: too often");
    let mut client = RawClient::open(&server.first, "/echo");
    fed(5);
    client.expect_open();
    server.upgrade();
    server.wait_for_the_old(10.0);
    fed(5);
}
