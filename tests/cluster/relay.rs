//! What is between a node and Redis: it passes bytes on, or holds them, loses them, or cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What becomes of bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are passed on.
    Pass,
    /// There is no connection, and none comes to be.
    Cut,
    /// They wait, in both directions.
    Hold,
    /// What Redis answers waits: what it was told to do is done.
    HoldAnswers,
    /// They are lost, and so is their connection when they pass again.
    Lose,
}

/// One way to Redis. It goes with its connections when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    mode: Mutex<Mode>,
    changed: Condvar,
    links: Mutex<Vec<Arc<Link>>>,
    is_over: AtomicBool,
}

/// A connection, in two halves.
struct Link {
    client: TcpStream,
    server: TcpStream,
    has_lost: AtomicBool,
}

impl Relay {
    pub fn start(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target,
            mode: Mutex::new(Mode::Pass),
            changed: Condvar::new(),
            links: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || of_thread.listen(&listener));
        Relay { address, shared }
    }

    /// Where a node finds Redis.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("not poisoned") = mode;
        match mode {
            Mode::Cut => self.shared.end_links(|_| true),
            Mode::Pass => self.shared.end_links(|link| link.has_lost.load(Ordering::SeqCst)),
            Mode::Hold | Mode::HoldAnswers | Mode::Lose => {}
        }
        self.shared.changed.notify_all();
    }

    /// Ends the connections there are; the next may come at once.
    pub fn reset(&self) {
        self.shared.end_links(|_| true);
    }
}

impl Shared {
    fn listen(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            if *self.mode.lock().expect("not poisoned") == Mode::Cut {
                continue;
            }
            // Where Redis is away, the connection ends.
            let Ok(server) = TcpStream::connect(self.target) else { continue };
            let link = Arc::new(Link { client, server, has_lost: AtomicBool::new(false) });
            for stream in [&link.client, &link.server] {
                stream.set_nodelay(true).expect("TCP_NODELAY");
            }
            self.links.lock().expect("not poisoned").push(Arc::clone(&link));
            for is_answer in [false, true] {
                let (shared, link) = (Arc::clone(&self), Arc::clone(&link));
                thread::spawn(move || shared.pump(&link, is_answer));
            }
        }
    }

    fn pump(&self, link: &Link, is_answer: bool) {
        let (mut from, mut to) = (&link.client, &link.server);
        if is_answer {
            (from, to) = (to, from);
        }
        let mut block = [0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut block) {
            let mode = self.wait(is_answer);
            if mode == Mode::Lose {
                link.has_lost.store(true, Ordering::SeqCst);
            }
            if mode == Mode::Cut || link.has_lost.load(Ordering::SeqCst) && mode == Mode::Pass {
                break;
            }
            if !link.has_lost.load(Ordering::SeqCst) && to.write_all(&block[..count]).is_err() {
                break;
            }
        }
        link.end();
    }

    /// Waits while bytes of this direction are held.
    fn wait(&self, is_answer: bool) -> Mode {
        let mode = self.mode.lock().expect("not poisoned");
        let is_held = |mode: &mut Mode| match mode {
            Mode::Hold => true,
            Mode::HoldAnswers => is_answer,
            Mode::Pass | Mode::Cut | Mode::Lose => false,
        };
        *self.changed.wait_while(mode, is_held).expect("not poisoned")
    }

    fn end_links(&self, which: impl Fn(&Link) -> bool) {
        let mut links = self.links.lock().expect("not poisoned");
        links.retain(|link| {
            let ends = which(link);
            if ends {
                link.end();
            }
            !ends
        });
    }
}

impl Link {
    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both); // it may have ended
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.set(Mode::Cut);
        drop(TcpStream::connect(self.address)); // so that its thread looks
    }
}

#[test]
fn a_relay_does_what_it_is_told() {
    let redis = crate::redis::Redis::start();
    let relay = Relay::start(redis.address());
    let patience = std::time::Duration::from_millis(300);
    let dial = || {
        let stream = TcpStream::connect(relay.address()).expect("it listens");
        stream.set_read_timeout(Some(patience)).expect("a read timeout");
        stream
    };
    let count = |mut stream: &TcpStream| {
        stream.write_all(b"INCR count\r\n").expect("it is open");
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).ok()?; // none in time
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let stream = dial();
    assert_eq!(count(&stream).as_deref(), Some(":1\r\n"));
    relay.set(Mode::Hold);
    assert_eq!((count(&stream), &*redis.ask(&["GET", "count"])), (None, "1"));
    relay.set(Mode::HoldAnswers);
    assert_eq!((count(&stream), &*redis.ask(&["GET", "count"])), (None, "3"));
    relay.set(Mode::Pass);
    let mut held = [0; 8];
    (&stream).read_exact(&mut held).expect("what was held comes");
    assert_eq!(&held, b":2\r\n:3\r\n");
    relay.set(Mode::Lose);
    assert_eq!((count(&stream), &*redis.ask(&["GET", "count"])), (None, "3"));
    relay.set(Mode::Pass);
    assert_eq!((&stream).read(&mut held).ok(), Some(0), "it has lost something, and ends");
    let stream = dial();
    assert_eq!(count(&stream).as_deref(), Some(":4\r\n"));
    relay.set(Mode::Cut);
    assert_eq!((&stream).read(&mut held).ok(), Some(0));
    assert_ne!((&dial()).read(&mut held).ok(), Some(1), "nobody is there");
}
