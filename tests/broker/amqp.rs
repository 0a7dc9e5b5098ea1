//! A client of AMQP for the tests, which knows nothing of the one that is tested: it makes streams,
//! writes into them and reads them, and waits for each answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Class and number of a method, and what comes after them.
type Method = ((u16, u16), Vec<u8>);

/// A connection as `guest`, with one channel.
pub struct Amqp(TcpStream);

impl Amqp {
    /// None where nobody answers.
    pub fn open(address: SocketAddr, vhost: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let mut amqp = Self(stream);
        amqp.0.write_all(b"AMQP\0\0\x09\x01").ok()?;
        amqp.answer((10, 10))?;
        let login = [&[0; 4][..], &short("PLAIN"), &long(b"\0guest\0guest"), &short("en_US")];
        amqp.say(0, (10, 11), &login.concat());
        amqp.answer((10, 30))?;
        amqp.say(0, (10, 31), &[0, 1, 0, 2, 0, 0, 0, 0]);
        amqp.say(0, (10, 40), &[&short(vhost)[..], &[0; 2]].concat());
        amqp.answer((10, 41))?;
        amqp.say(1, (20, 10), &[0]);
        amqp.answer((20, 11))?;
        Some(amqp)
    }

    /// Deletes streams, whether they are there or not, and makes one of them anew, of these
    /// entries. It keeps about so many bytes, if that is not 0. Nobody who declares the exchange
    /// `throng` as it should be comes in between: meanwhile it is another.
    pub fn make_again(
        &mut self,
        deleted: &[&str],
        made: Option<&str>,
        bytes_max: u64,
        entries: &[Vec<u8>],
    ) {
        self.delete_exchange("throng");
        let fanout = [&[0; 2][..], &short("throng"), &short("fanout"), &[2], &[0; 4]].concat();
        self.say(1, (40, 10), &fanout);
        self.answer((40, 11)).expect("declared");
        for queue in deleted {
            self.say(1, (50, 40), &[&[0; 2][..], &short(queue), &[0]].concat());
            self.answer((50, 41)).expect("deleted");
        }
        if let Some(stream) = made {
            let mut table = [&short("x-queue-type")[..], b"S", &long(b"stream")].concat();
            let limits = [
                ("x-max-length-bytes", bytes_max),
                ("x-stream-max-segment-size-bytes", bytes_max / 8),
            ];
            for (name, limit) in limits.iter().filter(|(_, limit)| *limit > 0) {
                table.extend([&short(name)[..], b"l", &limit.to_be_bytes()].concat());
            }
            let arguments = [&[0; 2][..], &short(stream), &[2], &long(&table)].concat();
            self.say(1, (50, 10), &arguments);
            self.answer((50, 11)).expect("made");
            entries.iter().for_each(|entry| self.write("", stream, entry));
        }
        self.delete_exchange("throng");
    }

    fn delete_exchange(&mut self, name: &str) {
        self.say(1, (40, 20), &[&[0; 2][..], &short(name), &[0]].concat());
        self.answer((40, 21)).expect("deleted");
    }

    /// Whether a queue is there. If it is not, this can be used no more.
    pub fn exists(&mut self, queue: &str) -> bool {
        self.say(1, (50, 10), &[&[0; 2][..], &short(queue), &[1], &[0; 4]].concat());
        self.method().is_some_and(|(method, _)| method == (50, 11))
    }

    /// Has an exchange hand on to a queue, or not any more.
    pub fn bind(&mut self, queue: &str, exchange: &str, key: &str, binds: bool) {
        let bound = bound(queue, exchange, key);
        if binds {
            self.say(1, (50, 20), &[&bound[..], &[0; 5]].concat());
            self.answer((50, 21)).expect("bound");
        } else {
            self.say(1, (50, 50), &[&bound[..], &[0; 4]].concat());
            self.answer((50, 51)).expect("unbound");
        }
    }

    /// Reads a stream from its beginning, as long as that is wanted of what has come so far.
    pub fn read_while(
        &mut self,
        stream: &str,
        wanted: impl Fn(&[Vec<u8>]) -> bool,
    ) -> Vec<Vec<u8>> {
        self.say(1, (60, 10), &[0, 0, 0, 0, 0x7F, 0xFF, 0]);
        self.answer((60, 11)).expect("a prefetch");
        let table = [&short("x-stream-offset")[..], b"S", &long(b"first")].concat();
        let arguments = [&[0; 2][..], &short(stream), &short("t"), &[0], &long(&table)].concat();
        self.say(1, (60, 20), &arguments);
        self.answer((60, 21)).expect("a consumer");
        let mut entries = Vec::new();
        while wanted(&entries) {
            self.answer((60, 60)).expect("an entry");
            let (_, head) = self.frame().expect("its head");
            let size = u64::from_be_bytes(head[4..12].try_into().expect("eight bytes")) as usize;
            let mut entry = Vec::new();
            while entry.len() < size {
                entry.extend(self.frame().expect("a piece").1);
            }
            entries.push(entry);
        }
        entries
    }

    /// Writes an entry into an exchange.
    pub fn write(&mut self, exchange: &str, key: &str, entry: &[u8]) {
        let to = [&[0; 2][..], &short(exchange), &short(key), &[0]].concat();
        self.say(1, (60, 40), &to);
        let size = (entry.len() as u64).to_be_bytes();
        let mut out = Vec::new();
        frame(&mut out, 2, 1, &[&[0, 60, 0, 0][..], &size, &[0x10, 0, 2]].concat());
        frame(&mut out, 3, 1, entry);
        self.0.write_all(&out).expect("it goes out");
    }

    fn say(&mut self, channel: u16, (class, number): (u16, u16), arguments: &[u8]) {
        let mut out = Vec::new();
        let method = [&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat();
        frame(&mut out, 1, channel, &method);
        let _ = self.0.write_all(&out); // else no answer comes
    }

    /// The next method, which has to be this one.
    fn answer(&mut self, wanted: (u16, u16)) -> Option<Vec<u8>> {
        let (method, arguments) = self.method()?;
        if method != wanted {
            eprintln!("AMQP: {method:?} for {wanted:?}: {}", String::from_utf8_lossy(&arguments));
        }
        (method == wanted).then_some(arguments)
    }

    fn method(&mut self) -> Option<Method> {
        let (_, payload) = self.frame()?;
        let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        Some(((number(0), number(2)), payload[4..].to_vec()))
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).ok()?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).ok()?;
        assert_eq!(payload.pop(), Some(0xCE));
        Some((head[0], payload))
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend(long(payload));
    out.push(0xCE);
}

fn bound(queue: &str, exchange: &str, key: &str) -> Vec<u8> {
    [&[0; 2][..], &short(queue), &short(exchange), &short(key)].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}
