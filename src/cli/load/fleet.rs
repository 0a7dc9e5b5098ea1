//! The workers of a run: one on a thread of this process, or each in a process of its own.
//!
//! Owns the threads and the processes. Never reads what they say.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGINT;

use super::echo::Echo;
use super::fanout::Fanout;
use super::idle::Idle;
use super::plan::{Mode, Plan};
use super::storm::Storm;
use super::words::{Order, Word};
use super::worker;

/// The name of the command that a worker's process is started with.
pub const COMMAND: &str = "worker";

/// What posts an order to a loop.
type Post = Box<dyn Fn(Order) + Send>;

/// What a worker has said, or that it ended.
#[derive(Debug)]
pub enum News {
    Word(Word),
    Ended(io::Result<()>),
}

/// How a worker is reached.
enum Line {
    Thread(Arc<Mutex<Option<Post>>>),
    Process(ChildStdin),
}

/// The workers.
pub struct Fleet {
    lines: Vec<Line>,
    children: Vec<Child>,
    news: Receiver<News>,
}

impl Fleet {
    /// Starts the workers of a plan. They open their connections at once.
    ///
    /// # Errors
    /// What the system says of a thread or a process.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let (sender, news) = channel();
        let mut fleet = Self { lines: Vec::new(), children: Vec::new(), news };
        if plan.procs == 1 {
            fleet.lines.push(start_thread(plan.clone(), sender)?);
            return Ok(fleet);
        }
        for plan in plan.share() {
            let (line, child) = start_process(&plan, sender.clone())?;
            fleet.lines.push(line);
            fleet.children.push(child);
        }
        Ok(fleet)
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Tells all workers.
    pub fn order(&mut self, order: Order) {
        for line in &mut self.lines {
            match line {
                Line::Thread(post) => {
                    if let Some(post) = &*post.lock().unwrap_or_else(PoisonError::into_inner) {
                        post(order);
                    }
                }
                // One that has ended says so by itself.
                Line::Process(input) => drop(write_line(input, &order)),
            }
        }
    }

    /// What comes next from any worker, if it comes in time.
    pub fn next(&self, timeout: Duration) -> Option<News> {
        match self.news.recv_timeout(timeout) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(News::Ended(Err(io::Error::other("a worker has vanished"))))
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.lines.clear(); // a worker whose input ends, ends
        for child in &mut self.children {
            let _ = child.wait(); // it is waited for so that it does not stay a zombie
        }
    }
}

fn start_thread(plan: Plan, sender: Sender<News>) -> io::Result<Line> {
    let post = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&post);
    thread::Builder::new().name("load".into()).spawn(move || {
        let say = sender.clone();
        let ended = work(
            &plan,
            move |word| drop(say.send(News::Word(word))), // nobody listens at the very end
            move |post| *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(post),
        );
        let _ = sender.send(News::Ended(ended));
    })?;
    Ok(Line::Thread(post))
}

fn start_process(plan: &Plan, sender: Sender<News>) -> io::Result<(Line, Child)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["load", COMMAND]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a worker without a pipe");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    write_line(&mut input, plan)?;
    thread::Builder::new().name("worker".into()).spawn(move || {
        for line in BufReader::new(output).lines() {
            let news = match line.and_then(|line| Ok(serde_json::from_str(&line)?)) {
                Ok(word) => News::Word(word),
                Err(error) => News::Ended(Err(error)),
            };
            let _ = sender.send(news); // nobody listens at the very end
        }
        let _ = sender.send(News::Ended(Ok(())));
    })?;
    Ok((Line::Process(input), child))
}

fn write_line(to: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// What a worker's process does: its plan and its orders come on standard input, its words leave on
/// standard output.
///
/// # Errors
/// Input that is none of these, and what the system says of epoll.
pub fn work_for_parent() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    // Ctrl-C is for the one that gives the orders: with its end the orders end.
    signal_hook::flag::register(SIGINT, Arc::default())?;
    let listen = |post: Post| {
        let listener = move || {
            for order in io::stdin().lines() {
                let Ok(order) = order.and_then(|line| Ok(serde_json::from_str(&line)?)) else {
                    break;
                };
                post(order);
            }
            std::process::exit(1); // whoever started this one is gone
        };
        if let Err(error) = thread::Builder::new().name("orders".into()).spawn(listener) {
            tracing::error!(%error, "a worker cannot be told anything");
        }
    };
    let say = |word: Word| {
        if write_line(&mut io::stdout(), &word).is_err() {
            std::process::exit(1); // nobody reads it any more
        }
    };
    work(&plan, say, listen)
}

/// Runs a worker on this thread until it is done.
fn work(
    plan: &Plan,
    say: impl Fn(Word) + Clone + Send + Sync + 'static,
    listen: impl Fn(Post) + Sync + Send,
) -> io::Result<()> {
    match plan.mode {
        Mode::Echo => worker::run(plan, Echo::new, say, listen),
        Mode::Fanout => worker::run(plan, Fanout::new, say, listen),
        Mode::Storm => worker::run(plan, Storm::new, say, listen),
        Mode::Idle => worker::run(plan, |_| Idle::default(), say, listen),
    }
}
