//! A chat with one room: what one says, all hear. Run it, and connect any WebSocket client to
//! ws://127.0.0.1:9001/?name=ann
//!
//! Owns the list of who is there. Never allocates for each listener: a message is encoded once.

use throng::net::{
    CloseReason, ConnectionId, Handler, Message, Peers, Request, Server, SharedFrame, Verdict,
};

#[derive(Default)]
struct Chat {
    members: Vec<ConnectionId>,
}

/// What is kept for each connection.
#[derive(Default)]
struct Member {
    name: String,
}

impl Chat {
    fn tell_all(&self, peers: &mut Peers<Member>, text: &str) {
        let frame = SharedFrame::new(Message::text(text));
        peers.broadcast(self.members.iter().copied(), &frame);
    }
}

impl Handler for Chat {
    type Session = Member;
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<Member> {
        let query = request.head().query().unwrap_or_default();
        let name = query.strip_prefix("name=").unwrap_or("somebody");
        Verdict::accept(Member { name: name.into() })
    }

    fn open(&mut self, peers: &mut Peers<Member>, id: ConnectionId) {
        self.members.push(id);
        let name = peers.session(id).map(|member| member.name.clone()).unwrap_or_default();
        self.tell_all(peers, &format!("{name} is here"));
    }

    fn message(&mut self, peers: &mut Peers<Member>, from: ConnectionId, message: Message<'_>) {
        let Some(text) = message.as_text() else { return };
        let Some(member) = peers.session(from) else { return };
        let line = format!("{}: {text}", member.name);
        self.tell_all(peers, &line);
    }

    fn close(
        &mut self,
        peers: &mut Peers<Member>,
        id: ConnectionId,
        member: Member,
        _: CloseReason<'_>,
    ) {
        self.members.retain(|other| *other != id);
        self.tell_all(peers, &format!("{} has left", member.name));
    }
}

fn main() -> std::io::Result<()> {
    Server::builder().listen("127.0.0.1:9001").run(|_, _| Chat::default())
}
