//! Several loops, and mail between threads.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use throng::hub::Hub;
use throng::net::{Config, ConnectionId, Handler, Mailboxes, Message, Peers, Server, SharedFrame};

use crate::Running;
use crate::common::{Expect, Frame, RawClient};

/// What one says, all hear, on whatever loop they are.
struct Relay {
    mailboxes: Mailboxes<SharedFrame>,
}

impl Handler for Relay {
    type Session = ();
    type Mail = SharedFrame;

    fn message(&mut self, _: &mut Peers<()>, _: ConnectionId, message: Message<'_>) {
        for mailbox in &*self.mailboxes {
            mailbox.post(SharedFrame::new(message)).expect("room in the mailbox");
        }
    }

    fn mail(&mut self, peers: &mut Peers<()>, frame: SharedFrame) {
        let all: Vec<_> = peers.ids().collect();
        peers.broadcast(all, &frame);
    }
}

#[test]
fn mail_reaches_every_loop() {
    let make =
        |_: usize, mailboxes: &Mailboxes<SharedFrame>| Relay { mailboxes: mailboxes.clone() };
    let server = Running::start(Config::default(), 3, make);
    let mut clients: Vec<_> = (0..12).map(|_| server.open("/")).collect();
    for round in 0..3 {
        clients[round].send(Frame::text(format!("round {round}")).bytes());
        for client in &mut clients {
            client.expect(&Expect::text(format!("round {round}")));
        }
    }
}

fn read(client: &mut RawClient) -> Value {
    serde_json::from_str(&client.read_text()).expect("JSON")
}

/// A room is one room, whatever loop its members are on.
#[test]
fn the_hub_is_one_over_its_loops() {
    let server =
        Running::start(Config::default(), 4, |index, mailboxes| Hub::new(index, mailboxes.clone()));
    let names: Vec<String> = (0..8).map(|n| format!("user{n}")).collect();
    let mut clients: Vec<_> =
        names.iter().map(|name| server.open(&format!("/ws?room=r&name={name}"))).collect();
    thread::sleep(Duration::from_millis(100)); // comings are told by mail
    clients[0].send(Frame::text(r#"{"type":"presence","id":1}"#).bytes());
    let ok = std::iter::repeat_with(|| read(&mut clients[0])).find(|m| m["type"] == "ok");
    let ok = ok.expect("it goes on until there is one");
    assert_eq!(ok["count"], 8);
    let members: HashSet<_> =
        ok["members"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(members, names.iter().map(String::as_str).collect());
    clients[3].send(Frame::text(r#"{"type":"text","content":"to all"}"#).bytes());
    for client in &mut clients {
        let text = std::iter::repeat_with(|| read(client)).find(|m| m["type"] == "text");
        assert_eq!(text.expect("it goes on until there is one")["content"], "to all");
    }
    drop(clients.pop());
    for client in &mut clients {
        let left = std::iter::repeat_with(|| read(client)).find(|m| m["event"] == "leave");
        assert_eq!(left.expect("it goes on until there is one")["sender"], "user7");
    }
}

/// A message asks to be answered so many milliseconds later, with how late that then was.
#[derive(Default)]
struct Alarm {
    due: Duration,
    who: Option<ConnectionId>,
    woken: u32,
}

impl Handler for Alarm {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        let ms = str::from_utf8(message.payload).ok().and_then(|text| text.parse().ok());
        self.due = peers.now() + Duration::from_millis(ms.expect("a number"));
        self.who = Some(from);
        peers.wake_at(self.due + Duration::from_secs(60)); // the earlier one holds
        peers.wake_at(self.due);
    }

    fn wake(&mut self, peers: &mut Peers<()>) {
        self.woken += 1;
        let late = peers.now().checked_sub(self.due).expect("not too early");
        let text = format!("{} {}", self.woken, late < Duration::from_secs(5));
        let who = self.who.expect("somebody has asked");
        peers.send(who, Message::text(&text)).expect("it is open");
    }
}

#[test]
fn a_handler_is_woken_once_and_not_too_early() {
    let server = Running::start(Config::default(), 1, |_, _: &Mailboxes<()>| Alarm::default());
    let mut client = server.open("/");
    for (round, ms) in ["0", "25", "3"].iter().enumerate() {
        client.send(Frame::text(ms).bytes());
        client.expect(&Expect::text(format!("{} true", round + 1)));
    }
}

/// An address belongs to one server, unless all that listen on it have said that they share it.
#[test]
fn an_address_is_shared_only_where_both_say_so() {
    let first = Server::builder().listen("127.0.0.1:0").reuse_port(true).bind();
    let first = first.expect("a free port");
    let addr = first.local_addrs()[0];
    let second = Server::builder().listen(addr).reuse_port(true).bind();
    assert_eq!(second.expect("it is shared").local_addrs(), [addr]);
    let third = Server::builder().listen(addr).bind();
    assert_eq!(third.err().map(|error| error.kind()), Some(ErrorKind::AddrInUse));

    let alone = Server::builder().listen("127.0.0.1:0").bind().expect("a free port");
    let late = Server::builder().listen(alone.local_addrs()[0]).reuse_port(true).bind();
    assert_eq!(late.err().map(|error| error.kind()), Some(ErrorKind::AddrInUse));
}
