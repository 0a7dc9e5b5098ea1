//! A connection that breaks while it is written to.

use std::cell::Cell;
use std::rc::Rc;

use throng::net::{Config, ConnectionId, EventLoop, Handler, Mailbox, Message, OsRandom, Peers};

use crate::common::{Frame, Upgrade};
use crate::world::{Memory, MemoryClock, MemoryPoll, World};

/// How much the socket takes at once.
const PIECE: usize = 65_536;

/// Answers with much, and takes note of what is owed at each tick.
struct Generous(Rc<Cell<u64>>);

impl Handler<Memory> for Generous {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<(), Memory>, from: ConnectionId, _: Message<'_>) {
        let _ = peers.send(from, Message::binary(&vec![1; 5 * PIECE]));
    }

    fn tick(&mut self, peers: &mut Peers<(), Memory>) {
        self.0.set(peers.stats().backlog_bytes);
    }
}

/// What was owed and went out before the socket broke is owed no more: else the sum of all that is
/// owed, which is held against a limit, never comes down again.
#[test]
fn what_went_out_before_a_write_that_fails_is_not_owed_for_ever() {
    let mut world = World::default();
    (world.piece_in, world.piece_out) = (4096, PIECE);
    let world = Rc::new(std::cell::RefCell::new(world));
    let owed = Rc::new(Cell::new(u64::MAX));
    let (poll, clock) = (MemoryPoll(Rc::clone(&world)), MemoryClock(Rc::clone(&world)));
    let (handler, mailbox) = (Generous(Rc::clone(&owed)), Mailbox::new(1, || {}));
    let mut event_loop =
        EventLoop::new(Config::default(), handler, mailbox, poll, clock, OsRandom::default());
    let said = [Upgrade::new("/").bytes(), Frame::text("more").bytes()].concat();
    world.borrow_mut().coming.extend(said);
    while world.borrow().outbox.len() < PIECE {
        event_loop.turn().expect("nothing can fail in memory");
    }
    world.borrow_mut().breaks = true;
    for _ in 0..100 {
        event_loop.turn().expect("nothing can fail in memory");
    }
    assert!(world.borrow().outbox.len() >= 2 * PIECE, "a part of what was owed went out");
    assert_eq!((event_loop.connections(), owed.get()), (0, 0));
}
