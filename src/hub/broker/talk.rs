//! What nodes say to each other that is about no room: messages to a user or to all, and what one
//! asks of the others, such as to disconnect a user.
//!
//! Owns how that is written, and who has yet to answer. Never carries anything out, never waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame::CloseCode;
use crate::hub::auth::{Revocation, RevokedName};
use crate::hub::mail::To;
use crate::hub::task::{Gathering, Reply, Task, Who};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has been asked, and not been answered by all.
#[derive(Debug)]
pub(super) struct Talk {
    instance: u64,
    last: u64,
    asked: HashMap<u64, Asked>,
}

#[derive(Debug)]
struct Asked {
    gathering: Arc<Gathering>,
    missing: HashSet<u64>,
    part: Reply,
    until: Duration,
}

/// What another node has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// This is for those here whom it is for.
    Said(To, Box<[u8]>),
    /// This is to be done here, and answered.
    Asked(Question, Task),
    /// This node is there.
    Lives(u64),
    /// It is not any more.
    Gone(u64),
}

/// Which question of which node an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::hub) struct Question {
    #[serde(rename = "n")]
    instance: u64,
    #[serde(rename = "i")]
    number: u64,
}

/// As it goes over the broker.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Letter {
    Hello {
        #[serde(rename = "n")]
        instance: u64,
    },
    Bye {
        #[serde(rename = "n")]
        instance: u64,
    },
    Say {
        #[serde(rename = "n")]
        instance: u64,
        #[serde(rename = "u", skip_serializing_if = "Option::is_none", default)]
        user: Option<Box<str>>,
        #[serde(rename = "c")]
        content: Box<RawValue>,
    },
    Ask {
        #[serde(rename = "q")]
        question: Question,
        order: Order,
    },
    Reply {
        #[serde(rename = "q")]
        question: Question,
        #[serde(rename = "n")]
        instance: u64,
        reply: Reply,
    },
}

/// A task that is for all nodes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Members { room: Box<str>, max: usize },
    Connections { user: Option<Box<str>>, max: usize },
    Disconnect { user: Box<str>, code: u16, reason: Box<str> },
    Unsubscribe { user: Box<str>, room: Box<str> },
    Revoke { jti: Option<Box<str>>, sub: Box<str>, until_s: u64, ends_s: Option<u64> },
    Unrevoke { jti: Option<Box<str>>, sub: Box<str> },
}

/// Whether a task is for the other nodes too.
pub(in crate::hub) fn is_for_all(task: &Task) -> bool {
    Order::of(task).is_some()
}

impl Talk {
    pub(super) fn new(instance: u64) -> Self {
        Self { instance, last: 0, asked: HashMap::new() }
    }

    /// Says that this node is there, so that it is asked from now on.
    pub(super) fn hello(&self) -> Option<Vec<u8>> {
        write(&Letter::Hello { instance: self.instance })
    }

    /// Says that it is not any more.
    pub(super) fn bye(&self) -> Option<Vec<u8>> {
        write(&Letter::Bye { instance: self.instance })
    }

    /// The number of this node.
    pub(super) const fn instance(&self) -> u64 {
        self.instance
    }

    /// A message for a user, or for all, on the other nodes.
    pub(super) fn say(&self, to: &To, json: &[u8]) -> Option<Vec<u8>> {
        let user = match to {
            To::User(user) => Some((&**user).into()),
            To::All => None,
            To::Room(_) => return None, // that is for who follows the room
        };
        let content = RawValue::from_string(str::from_utf8(json).ok()?.into()).ok()?;
        write(&Letter::Say { instance: self.instance, user, content })
    }

    /// Asks these nodes to do what is asked here.
    pub(super) fn ask(
        &mut self,
        gathering: Arc<Gathering>,
        nodes: impl Iterator<Item = u64>,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let missing: HashSet<u64> = nodes.collect();
        if missing.is_empty() {
            gathering.add(Reply::default());
            return None;
        }
        let order = Order::of(gathering.task())?;
        self.last += 1;
        let question = Question { instance: self.instance, number: self.last };
        let asked = Asked { gathering, missing, part: Reply::default(), until: now + PATIENCE };
        self.asked.insert(self.last, asked);
        write(&Letter::Ask { question, order })
    }

    /// The answer to what another node has asked.
    pub(super) fn reply(&self, question: Question, reply: Reply) -> Option<Vec<u8>> {
        write(&Letter::Reply { question, instance: self.instance, reply })
    }

    /// Takes what was said; what there is to be done about it.
    pub(super) fn hear(&mut self, body: &[u8]) -> Option<Heard> {
        let letter = serde_json::from_slice(body);
        let letter = letter.map_err(|error| {
            tracing::warn!(%error, "another node says what this one does not understand");
        });
        match letter.ok()? {
            Letter::Hello { instance } => {
                (instance != self.instance).then_some(Heard::Lives(instance))
            }
            Letter::Bye { instance } => {
                (instance != self.instance).then_some(Heard::Gone(instance))
            }
            Letter::Say { instance, .. } if instance == self.instance => None,
            Letter::Say { user, content, .. } => {
                let to = user.map_or(To::All, |user| To::User(user.into()));
                Some(Heard::Said(to, content.get().as_bytes().into()))
            }
            Letter::Ask { question, .. } if question.instance == self.instance => None,
            Letter::Ask { question, order } => Some(Heard::Asked(question, order.task()?)),
            Letter::Reply { question, instance, reply } => {
                if question.instance == self.instance {
                    self.answered(question.number, instance, reply);
                }
                None
            }
        }
    }

    /// Waits no longer for who is late: the answers are not whole.
    pub(super) fn expire(&mut self, now: Duration) {
        self.asked.retain(|_, asked| now < asked.until);
    }

    /// Whether an answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The link is gone: there will be no answers.
    pub(super) fn lose(&mut self) {
        self.asked.clear();
    }

    fn answered(&mut self, number: u64, instance: u64, reply: Reply) {
        let Some(asked) = self.asked.get_mut(&number) else { return };
        if !reply.is_whole || !asked.missing.remove(&instance) {
            return;
        }
        asked.part.connections.extend(reply.connections);
        asked.part.count += reply.count;
        if asked.missing.is_empty()
            && let Some(Asked { gathering, part, .. }) = self.asked.remove(&number)
        {
            gathering.add(part);
        }
    }
}

impl Order {
    fn of(task: &Task) -> Option<Self> {
        match task {
            Task::Members { room, max } => Some(Self::Members { room: room.clone(), max: *max }),
            Task::Connections { user, max } => {
                Some(Self::Connections { user: user.clone(), max: *max })
            }
            Task::Disconnect { who: Who::User(user), code, reason } => {
                let (user, code, reason) = (user.clone(), code.get(), reason.clone());
                Some(Self::Disconnect { user, code, reason })
            }
            Task::Unsubscribe { user, room } => {
                Some(Self::Unsubscribe { user: user.clone(), room: room.clone() })
            }
            Task::Revoke(Revocation::Token { id, ends_s }) => {
                let (jti, ends_s) = (Some(id.clone()), *ends_s);
                Some(Self::Revoke { jti, sub: "".into(), until_s: 0, ends_s })
            }
            Task::Revoke(Revocation::User { sub, issued_until_s, ends_s }) => {
                let (sub, until_s, ends_s) = (sub.clone(), *issued_until_s, *ends_s);
                Some(Self::Revoke { jti: None, sub, until_s, ends_s })
            }
            Task::Unrevoke(RevokedName::Token(id)) => {
                Some(Self::Unrevoke { jti: Some(id.clone()), sub: "".into() })
            }
            Task::Unrevoke(RevokedName::User(sub)) => {
                Some(Self::Unrevoke { jti: None, sub: sub.clone() })
            }
            // A connection's id is one of its node, and each node knows the rooms that it has.
            Task::Rooms { .. }
            | Task::Connection(_)
            | Task::Disconnect { who: Who::Connection(_), .. } => None,
        }
    }

    fn task(self) -> Option<Task> {
        Some(match self {
            Self::Members { room, max } => Task::Members { room, max },
            Self::Connections { user, max } => Task::Connections { user, max },
            Self::Disconnect { user, code, reason } => {
                Task::Disconnect { who: Who::User(user), code: CloseCode::new(code)?, reason }
            }
            Self::Unsubscribe { user, room } => Task::Unsubscribe { user, room },
            Self::Revoke { jti: Some(id), ends_s, .. } => {
                Task::Revoke(Revocation::Token { id, ends_s })
            }
            Self::Unrevoke { jti: Some(id), .. } => Task::Unrevoke(RevokedName::Token(id)),
            Self::Unrevoke { jti: None, sub } => Task::Unrevoke(RevokedName::User(sub)),
            Self::Revoke { jti: None, sub, until_s, ends_s } => {
                Task::Revoke(Revocation::User { sub, issued_until_s: until_s, ends_s })
            }
        })
    }
}

fn write(letter: &Letter) -> Option<Vec<u8>> {
    let written = serde_json::to_vec(letter);
    written.map_err(|error| tracing::error!(%error, "a letter was not written")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::hub::task::{ConnectionInfo, MemberId};
    use crate::net::ConnectionId;

    fn tasks() -> Vec<Task> {
        vec![
            Task::Members { room: "a".into(), max: 3 },
            Task::Connections { user: Some("ann".into()), max: 3 },
            Task::Connections { user: None, max: 3 },
            Task::Disconnect {
                who: Who::User("ann".into()),
                code: CloseCode::POLICY_VIOLATION,
                reason: "gone".into(),
            },
            Task::Unsubscribe { user: "ann".into(), room: "a".into() },
            Task::Revoke(Revocation::Token { id: "t".into(), ends_s: Some(5) }),
            Task::Revoke(Revocation::User { sub: "ann".into(), issued_until_s: 7, ends_s: None }),
            Task::Unrevoke(RevokedName::Token("t".into())),
            Task::Unrevoke(RevokedName::User("ann".into())),
        ]
    }

    fn reply() -> Reply {
        let id = MemberId { loop_index: 1, id: ConnectionId::from_u64(3 << 32 | 2) };
        let connection = ConnectionInfo {
            id,
            user: "ann".into(),
            rooms: vec!["a".into()],
            opened_s: 5,
            address: "127.0.0.1:80".parse().ok(),
            backlog_bytes: 7,
            node: Some("n".into()),
        };
        Reply { connections: vec![connection], count: 4, is_whole: true, ..Reply::default() }
    }

    /// A question of node 1, and what becomes of its answer.
    fn asking(task: Task) -> (Talk, Vec<u8>, Arc<Mutex<Option<Reply>>>) {
        let mut talk = Talk::new(1);
        let answer = Arc::<Mutex<Option<Reply>>>::default();
        let of_answer = Arc::clone(&answer);
        let done = move |reply| *of_answer.lock().unwrap() = Some(reply);
        let gathering = Arc::new(Gathering::new(task, 1, done));
        let body = talk.ask(gathering, [2, 3].into_iter(), Duration::ZERO).unwrap();
        (talk, body, answer)
    }

    #[test]
    fn what_is_asked_of_all_is_understood_by_all_and_answered_by_the_last() {
        for task in tasks() {
            let (mut talk, body, answer) = asking(task.clone());
            assert_eq!(talk.hear(&body), None, "it is its own");
            for instance in [2, 3] {
                assert!(answer.lock().unwrap().is_none());
                let mut other = Talk::new(instance);
                let Some(Heard::Asked(question, asked)) = other.hear(&body) else { panic!() };
                assert_eq!(asked, task);
                let back = other.reply(question, reply()).unwrap();
                assert_eq!(other.hear(&back), None);
                assert_eq!(talk.hear(&back), None);
                assert_eq!(talk.hear(&back), None, "once is enough");
            }
            let answer = answer.lock().unwrap().take().unwrap();
            assert_eq!((answer.count, answer.is_whole), (8, true));
            assert!(!talk.is_waiting());
        }
    }

    #[test]
    fn who_is_late_or_away_leaves_an_answer_that_is_not_whole() {
        let (mut talk, ..) = asking(tasks().remove(0));
        talk.expire(Duration::from_millis(1999));
        assert!(talk.is_waiting());
        let losses: [fn(&mut Talk); 2] = [Talk::lose, |talk| talk.expire(PATIENCE)];
        for lose in losses {
            let (mut talk, _, answer) = asking(tasks().remove(0));
            lose(&mut talk);
            assert!(!answer.lock().unwrap().take().unwrap().is_whole);
        }
        // There are no others.
        let gathering = Arc::new(Gathering::new(tasks().remove(0), 1, |reply| {
            assert!(reply.is_whole);
        }));
        assert_eq!(talk.ask(gathering, std::iter::empty(), Duration::ZERO), None);
    }

    #[test]
    fn a_message_reaches_the_others_as_it_is() {
        let json = br#"{"type":"direct","content":[1, 2.50]}"#;
        for to in [To::User("ann".into()), To::All] {
            let body = Talk::new(1).say(&to, json).unwrap();
            assert_eq!(Talk::new(1).hear(&body), None);
            let heard = Talk::new(2).hear(&body);
            assert_eq!(heard, Some(Heard::Said(to, json.as_slice().into())));
        }
        assert_eq!(Talk::new(1).say(&To::Room("a".into()), json), None);
        assert_eq!(Talk::new(2).hear(b"{\"later\":{}}"), None);
    }

    #[test]
    fn who_is_new_or_goes_says_so() {
        let hello = Talk::new(1).hello().unwrap();
        assert_eq!(Talk::new(1).hear(&hello), None);
        assert_eq!(Talk::new(2).hear(&hello), Some(Heard::Lives(1)));
        let bye = Talk::new(1).bye().unwrap();
        assert_eq!(Talk::new(1).hear(&bye), None);
        assert_eq!(Talk::new(2).hear(&bye), Some(Heard::Gone(1)));
    }

    #[test]
    fn what_one_node_knows_is_not_asked_of_all() {
        let id: MemberId = "0.1.2".parse().unwrap();
        let reason = "".into();
        let who = Who::Connection(id);
        assert!(!is_for_all(&Task::Connection(id)));
        assert!(!is_for_all(&Task::Disconnect { who, code: CloseCode::NORMAL, reason }));
        assert!(tasks().iter().all(is_for_all));
    }
}
