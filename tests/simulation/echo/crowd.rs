//! The clients of an echo, and what else happens to it.
//!
//! Owns what the world asks of a crowd. What a client does stands in its script.

use std::time::Duration;

use throng::net::{BacklogPolicy, Config, Mailbox};

use super::client::Client;
use super::handler::Mail;
use super::script;
use crate::network::Link;
use crate::world::{Arrival, Crowd, End, Excuse, Reader};

pub type World = crate::world::World<Echoes>;

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    Connect(usize),
    /// A client goes on with its script.
    Act(usize),
    /// The handler decides about a request that it left pending.
    Decide(usize),
    Broadcast,
    BroadcastOf(usize),
    PingAll,
    Kick(usize),
    Stop,
}

pub struct Echoes {
    pub clients: Vec<Client>,
    pub config: Config,
    pub mailbox: Option<Mailbox<Mail>>,
    pub stopping: Option<Duration>,
    pub broadcasts: usize,
    /// The largest frame that anybody sent, for the bound of memory.
    pub largest: usize,
    /// When a session ends because its peer is silent, the handler closes all others.
    pub is_all_or_none: bool,
    /// Who is closed by the handler must get to know the code.
    pub must_hear_close: bool,
}

impl Echoes {
    pub fn new(config: Config) -> Self {
        Self {
            clients: Vec::new(),
            config,
            mailbox: None,
            stopping: None,
            broadcasts: 0,
            largest: 0,
            is_all_or_none: false,
            must_hear_close: false,
        }
    }

    /// What the configuration promises that a peer is owed at most: the limit, one message with its
    /// header and bookkeeping, and what a turn may hold.
    pub fn backlog_bound(&self) -> usize {
        const TURN_BYTES: usize = 1 << 20;
        self.config.backlog_bytes_max + self.largest + 200 + TURN_BYTES
    }

    pub fn is_lossy(&self) -> bool {
        self.config.backlog_policy == BacklogPolicy::DropOldest
    }
}

/// One more client, with its way to the loop.
pub fn add(world: &mut World, client: Client, link: Link) {
    world.crowd.clients.push(client);
    world.add_link(link);
}

impl Crowd for Echoes {
    type Action = Deed;

    /// A deadline has a tenth of a second, and a turn follows each that found one.
    const IDLE_TURNS_MAX: u32 = 25;

    fn act(world: &mut World, deed: Deed) {
        match deed {
            Deed::Connect(number) => connect(world, number),
            Deed::Act(number) => script::act(world, number),
            Deed::Decide(number) => post(world, Mail::Decide(number)),
            Deed::Broadcast => {
                let len = if world.dice.once_in(3) { 9_000 } else { world.dice.below(900) };
                Self::act(world, Deed::BroadcastOf(len));
            }
            Deed::BroadcastOf(len) => {
                world.crowd.broadcasts += 1;
                world.crowd.largest = world.crowd.largest.max(len + 30);
                post(world, Mail::Broadcast(world.crowd.broadcasts, len));
            }
            Deed::PingAll => post(world, Mail::PingAll),
            Deed::Kick(number) => post(world, Mail::Kick(number)),
            Deed::Stop => {
                world.crowd.stopping = Some(world.now - world.jumped);
                world.crowd.clients.iter_mut().for_each(|client| client.excuse(Excuse::Stop));
                if let Some(mailbox) = &world.crowd.mailbox {
                    mailbox.stop();
                }
            }
        }
    }

    fn reader(&self, number: usize) -> Option<Reader> {
        let client = &self.clients[number];
        let reads = !client.is_done() && !client.is_deaf;
        let (from, is_trickling) = (client.paused_until, client.is_trickling);
        reads.then_some(Reader { from, is_trickling })
    }

    fn receive(world: &mut World, number: usize, arrival: Arrival<'_>) -> Result<(), String> {
        let (now, client) = (world.now, &mut world.crowd.clients[number]);
        if arrival.made_room {
            client.said_at = now; // to read is a sign of life, too
        }
        let reply = client.receive(arrival.bytes, now)?;
        match arrival.end {
            Some(End::Reset) => client.on_reset(),
            Some(End::Fin) => client.on_fin(&mut world.dice, now)?,
            None => {}
        }
        let link = &mut world.links[number];
        link.flight.extend(&reply.bytes);
        link.flight_fin |= client.take_fin();
        world.arm_arrival(number);
        if reply.goes_on {
            world.soon(2, Deed::Act(number));
        }
        Ok(())
    }

    fn excuse(&mut self, number: usize, excuse: Excuse) {
        self.clients[number].excuse(excuse);
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(Client::is_at_rest)
    }

    fn connections_max(&self) -> usize {
        self.config.connections_max
    }

    /// It ends when nothing will happen any more.
    fn interrupts(&self) -> bool {
        false
    }

    fn waiting(&self) -> String {
        let waiting: Vec<_> = self.clients.iter().filter_map(Client::waiting).collect();
        waiting.join("; ")
    }
}

fn connect(world: &mut World, number: usize) {
    world.crowd.clients[number].connected = true;
    if !world.connect(number) {
        world.crowd.clients[number].excuse(Excuse::Stop);
        return world.crowd.clients[number].on_reset();
    }
    if world.dice.once_in(3) {
        script::act(world, number); // the request is there before the connection is accepted
    } else {
        world.soon(5, Deed::Act(number));
    }
}

fn post(world: &mut World, mail: Mail) {
    if let Some(mailbox) = &world.crowd.mailbox
        && mailbox.post(mail).is_err()
    {
        world.fail("the mailbox is full");
    }
}
