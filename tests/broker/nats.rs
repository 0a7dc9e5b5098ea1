//! Debian's NATS.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};

use throng::hub::broker::{Broker, Link, Nats as Server};
use throng::hub::history::History;

use crate::common::eventually;
use crate::common::process::{Process, free_address};
use crate::nodes::Place;
use crate::servers::Kind;

/// A running NATS, with JetStream.
pub struct Nats {
    process: Process,
    address: SocketAddr,
}

impl Nats {
    /// Without JetStream.
    pub fn plain() -> Self {
        Self::start_as(false, &[])
    }

    /// With these options too.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_as(true, options)
    }

    fn start_as(has_streams: bool, options: &[&str]) -> Self {
        let address = free_address();
        let process = Process::start("nats-server", |folder| {
            let (folder, ip) = (folder.to_string_lossy(), address.ip().to_string());
            let port = address.port().to_string();
            let own = ["-a", &ip, "-p", &port];
            let streams: &[&str] = if has_streams { &["-js", "-sd", &folder] } else { &[] };
            own.iter().chain(streams).chain(options).map(|word| (*word).to_owned()).collect()
        });
        let nats = Self { process, address };
        nats.wait();
        nats
    }

    fn wait(&self) {
        eventually("NATS answers", 10.0, || TcpStream::connect(self.address).is_ok());
    }

    /// Asks something of it as one who may do all.
    pub fn ask<T>(&self, work: impl AsyncFnOnce(Context) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let client = async_nats::connect(self.address.to_string()).await;
            work(jetstream::new(client.expect("NATS is there"))).await
        })
    }

    /// A way to it for one more node.
    pub fn broker(&self) -> Server {
        Server::new(self.url().parse().expect("an address"))
    }

    /// What the stream of all rooms is told to keep.
    pub fn config(&self) -> Config {
        self.ask(async |context| {
            let stream = context.get_stream("throng").await.expect("the stream");
            stream.cached_info().config.clone()
        })
    }
}

impl Kind for Nats {
    const FLAG: &'static str = "--nats";
    const NAME: &'static str = "NATS at";
    const SCHEMES: [&'static str; 2] = ["nats://", "tls://"];

    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with_tls(certificate: &str, key: &str, _: &str) -> (Self, u16) {
        let nats = Self::start_with(&["--tls", "--tlscert", certificate, "--tlskey", key]);
        let port = nats.address.port();
        (nats, port)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    fn link(&self) -> Box<dyn Link + Send> {
        Box::new(self.broker().connect().expect("it is there"))
    }

    fn place(&self, loops: usize, history: History) -> Place {
        Place::new(loops, history, self.broker())
    }

    fn start_again(&mut self) {
        self.process.start_again();
        self.wait();
    }

    fn empty(&self) {
        self.ask(async |context| {
            let stream = context.get_stream("throng").await.expect("the stream");
            stream.purge().await.expect("it can be emptied");
        });
    }

    fn trim(&self, room: &str, count: usize) {
        let subject = format!("throng.room.{room}");
        let purged = self.ask(async |context| {
            let stream = context.get_stream("throng").await.expect("the stream");
            stream.purge().filter(subject).keep(count as u64).await.expect("it can be trimmed")
        });
        assert!(purged.purged > 0);
    }

    fn lose_end(&self, room: &str, last: u64) {
        let subject = format!("throng.room.{room}");
        self.ask(async |context| {
            let stream = context.get_stream("throng").await.expect("the stream");
            let mut kept = Vec::new();
            for sequence in 1..=stream.cached_info().state.last_sequence {
                let found = stream.get_raw_message(sequence).await.expect("a message");
                let place = found.headers.get("Throng-Place").expect("a place").as_str();
                let (_, offset) = place.split_once(' ').expect("an offset");
                if offset.parse::<u64>().is_ok_and(|offset| offset <= last) {
                    kept.push(
                        PublishMessage::build()
                            .header("Throng-Place", place)
                            .payload(found.payload),
                    );
                }
            }
            stream.purge().filter(&*subject).await.expect("it can be emptied");
            for message in kept {
                let sent =
                    context.send_publish(subject.clone(), message).await.expect("it goes out");
                sent.await.expect("it is taken");
            }
        });
    }

    fn refuse(&self, refuses: bool) {
        let max_message_size = if refuses { 1 } else { -1 };
        let config = Config { max_message_size, ..self.config() };
        self.ask(async |context| drop(context.update_stream(config).await.expect("a change")));
        std::thread::sleep(Duration::from_millis(50));
    }
}
