//! What happens between two requests of one exchange: a broker in memory that lets somebody act
//! there.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use throng::hub::broker::{Answer, Broker, BrokerError, Link, Memory, News, Request, Waker};

use crate::common::client::PATIENCE;
use crate::common::eventually;
use crate::nodes::{Place, history};

/// What is done once, after who is in the room was read and before the rest of the exchange.
type Act = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct Interrupted {
    memory: Memory,
    act: Act,
}

struct InterruptedLink {
    link: <Memory as Broker>::Link,
    act: Act,
}

impl Broker for Interrupted {
    type Link = InterruptedLink;

    fn connect(&mut self) -> Result<InterruptedLink, BrokerError> {
        Ok(InterruptedLink { link: self.memory.connect()?, act: Arc::clone(&self.act) })
    }

    fn waker(&self) -> Waker {
        self.memory.waker()
    }
}

impl Link for InterruptedLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let mut answers = Vec::new();
        for request in requests {
            answers.extend(self.link.exchange(&[*request], news)?);
            if matches!(request, Request::List { table } if table.ends_with(":a"))
                && let Some(act) = self.act.lock().expect("not poisoned").take()
            {
                let (before, end) = (news.len(), Instant::now() + PATIENCE);
                act();
                while news.len() == before {
                    assert!(Instant::now() < end, "nobody was told of it");
                    self.link.wait(Duration::from_millis(10), news)?;
                }
            }
        }
        Ok(answers)
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        self.link.wait(timeout, news)
    }
}

#[test]
fn who_comes_while_the_others_are_read_is_known() {
    let (memory, act) = (Memory::default(), Act::default());
    let one = Place::new(1, history(100), memory.clone());
    let interrupted = Interrupted { memory, act: Arc::clone(&act) };
    let other = Place::new(1, history(100), interrupted);
    let (mut ann, mut bob) = (one.person("/ws?name=ann"), other.person("/ws?name=bob"));
    let (stays, _ann) = mpsc::channel();
    *act.lock().expect("not poisoned") = Some(Box::new(move || {
        ann.join("a", None);
        stays.send(ann).expect("the test goes on");
    }));
    bob.join("a", None);
    let who = r#"{"type":"presence","id":1,"room":"a"}"#;
    eventually("ann is known", 10.0, || bob.ask(who)["count"] == 2);
}
