//! A broadcast in few lines: on /fan what one sends goes to all, on any other path it comes back.
//!
//!     cargo run --release --example broadcast -- --port 9001
//!
//! Owns the list of who hears. Never encodes a message twice, however many they are.

use std::{env, io};

use throng::net::{
    CloseReason, ConnectionId, Handler, Message, Peers, Request, Server, SharedFrame, Verdict,
};

#[derive(Default)]
struct Broadcast {
    members: Vec<ConnectionId>,
}

impl Handler for Broadcast {
    type Session = bool; // whether it is a member
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<bool> {
        Verdict::accept(request.head().path() == "/fan")
    }

    fn open(&mut self, peers: &mut Peers<bool>, id: ConnectionId) {
        if peers.session(id) == Some(&true) {
            self.members.push(id);
        }
    }

    fn message(&mut self, peers: &mut Peers<bool>, from: ConnectionId, message: Message<'_>) {
        if peers.session(from) == Some(&true) {
            peers.broadcast(self.members.iter().copied(), &SharedFrame::new(message));
        } else {
            let _ = peers.send(from, message); // a peer that is gone is told of by `close`
        }
    }

    fn close(&mut self, _: &mut Peers<bool>, id: ConnectionId, member: bool, _: CloseReason<'_>) {
        if member {
            self.members.retain(|other| *other != id);
        }
    }
}

fn main() -> io::Result<()> {
    let mut words = env::args().skip_while(|word| word != "--port").skip(1);
    let port = words.next().and_then(|word| word.parse().ok()).unwrap_or(9001);
    let server = Server::builder().listen(("127.0.0.1", port)).bind()?;
    for addr in server.local_addrs() {
        println!("listening on http://{addr}");
    }
    server.run(|_, _| Broadcast::default())
}
