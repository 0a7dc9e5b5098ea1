//! A server of the library in this process, for the tests of the engine and of the hub.

use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use throng::net::{Config, Handler, Mailboxes, Server, Stopper};

use crate::common::RawClient;
use crate::common::http::Upgrade;

/// A server on a thread of its own, stopped when it goes out of scope.
pub struct Running {
    pub addr: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start<H: Handler>(
        config: Config,
        loops: usize,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Send + Sync + 'static,
    ) -> Self {
        let builder = Server::builder().listen("127.0.0.1:0").loops(loops).config(config);
        let server = builder.bind().expect("a free port");
        let (addr, stopper) = (server.local_addrs()[0], server.stopper());
        let thread = thread::spawn(move || server.run(make).expect("the loop turns"));
        Self { addr, stopper, thread: Some(thread) }
    }

    pub fn client(&self) -> RawClient {
        RawClient::on(TcpStream::connect(self.addr).expect("it listens"))
    }

    pub fn open(&self, target: &str) -> RawClient {
        let mut client = self.client();
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        assert!(ended.is_ok() || thread::panicking(), "the server's thread panicked");
    }
}
