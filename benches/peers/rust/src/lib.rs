//! What the servers of this project share: the command line, the listener, who is in the room.
//!
//! Never speaks WebSocket: that is what each of the libraries does.

use std::env;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How many messages a member takes from its queue at once, to write them together.
pub const BATCH_MAX: usize = 128;

/// `PORT [deflate] [small]`
#[derive(Clone, Copy, Debug)]
pub struct Options {
    port: u16,
    /// Negotiate permessage-deflate, without contexts.
    pub deflate: bool,
    /// Buffers for many connections instead of for speed.
    pub small: bool,
}

impl Options {
    /// # Errors
    /// When there is no port.
    pub fn from_args() -> io::Result<Self> {
        let words: Vec<String> = env::args().skip(1).collect();
        let port = words.first().and_then(|word| word.parse().ok());
        let port = port.ok_or_else(|| io::Error::other("usage: PORT [deflate] [small]"))?;
        let has = |name: &str| words.iter().any(|word| word == name);
        Ok(Self { port, deflate: has("deflate"), small: has("small") })
    }
}

/// Accepts for ever, on a runtime of one thread: the servers are compared on one core.
///
/// # Errors
/// When the port cannot be had, or the system gives no connection.
pub fn run<H, F>(options: Options, handle: H) -> io::Result<()>
where
    H: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // Without tokio's budget, as the benchmarks of fastwebsockets do it.
            tokio::spawn(tokio::task::unconstrained(handle(stream)));
        }
    })
}

/// Those who hear what one of them says: a queue for each.
#[derive(Debug)]
pub struct Room<M>(Arc<Mutex<Vec<UnboundedSender<M>>>>);

impl<M> Clone for Room<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Default for Room<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M: Clone> Room<M> {
    /// A new member's queue. It has left when the queue is dropped.
    #[must_use]
    pub fn join(&self) -> UnboundedReceiver<M> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// To all, the sender too.
    pub fn tell(&self, message: &M) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.send(message.clone()).is_ok());
    }
}
