//! A server made of nothing but a TCP socket, that does exactly what its script says.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::frame::{CLOSE, Received};
use crate::common::http::accept_for;
use crate::common::{Chunking, Frame};

/// A script on a thread of its own. What it panics with fails the test that started it.
pub struct Peer {
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Serves one connection.
    pub fn start(script: impl FnOnce(Session) + Send + 'static) -> Peer {
        Peer::listen(move |listener| script(Session::accept(listener)))
    }

    /// Has the listener to itself.
    pub fn listen(script: impl FnOnce(&TcpListener) + Send + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let chunking = Chunking::current();
        let script = move || {
            chunking.set_current();
            script(&listener);
        };
        Peer { addr, thread: Some(thread::spawn(script)) }
    }

    /// Answers each request with `response` and takes no frames.
    pub fn answering(response: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> Peer {
        Peer::start(move |mut session| {
            let request = session.read_request();
            session.send(response(&request));
            session.read_to_end();
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.addr)
    }

    /// Lets the script go on for as long as the client is there.
    pub fn detach(mut self) {
        drop(self.thread.take());
    }

    /// Waits until the script has ended.
    pub fn join(mut self) {
        self.thread.take().expect("joined once").join().expect("the script holds");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("the script holds");
        }
    }
}

/// One connection, from the server's side.
pub struct Session {
    stream: TcpStream,
    received: Vec<u8>,
}

/// The client's request, line by line.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// All values of `name`, compared without case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the one header of that name.
    pub fn only(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}: {self:?}");
        all[0]
    }

    /// The right answer, without its last empty line.
    pub fn answer(&self) -> String {
        let accept = accept_for(self.only("Sec-WebSocket-Key"));
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n"
        )
    }
}

impl Session {
    pub fn accept(listener: &TcpListener) -> Session {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Session { stream, received: Vec::new() }
    }

    pub fn read_request(&mut self) -> Request {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read_more() > 0, "the client left in the middle of its request");
        };
        let head: Vec<u8> = self.received.drain(..end + 4).take(end).collect();
        let head = String::from_utf8(head).expect("a request in UTF-8");
        let (line, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
        let headers = lines.split("\r\n").filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(": ").expect("a colon and one blank");
            (name.to_owned(), value.to_owned())
        });
        Request { line: line.to_owned(), headers: headers.collect() }
    }

    /// Reads the request and opens the connection.
    pub fn open(&mut self) -> Request {
        let request = self.read_request();
        self.send(request.answer() + "\r\n");
        request
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let chunking = Chunking::current();
        let written = chunking.write(&mut self.stream, bytes.as_ref());
        // A client that has seen enough leaves before the last piece.
        assert!(written.is_ok() || chunking != Chunking::Whole, "the client takes it: {written:?}");
    }

    /// Sends frames as a server does: not masked.
    pub fn send_frame(&mut self, frame: Frame) {
        self.send(frame.unmasked().bytes());
    }

    /// Every byte with a pause behind it.
    pub fn trickle(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send([*byte]);
            thread::sleep(pause);
        }
    }

    /// The next frame: masked, unmasked here. The key is beside it.
    pub fn read_frame(&mut self) -> (Received, [u8; 4]) {
        let (mut frame, len) = loop {
            if let Some(found) = Received::decode(&self.received) {
                break found;
            }
            assert!(self.read_more() > 0, "the client left without a frame");
        };
        assert!(frame.masked, "the client does not mask {frame}");
        assert!(frame.shortest && frame.rsv == 0 && frame.fin, "an odd frame: {frame}");
        let wire: Vec<u8> = self.received.drain(..len).collect();
        let key_at = len - frame.payload.len() - 4;
        let key = <[u8; 4]>::try_from(&wire[key_at..key_at + 4]).expect("four bytes");
        for (byte, key) in frame.payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        (frame, key)
    }

    /// The next frame is a Close with this code (`None`: without a body).
    pub fn expect_close(&mut self, code: Option<u16>) {
        let (frame, _) = self.read_frame();
        assert_eq!((frame.opcode, frame.close_code()), (CLOSE, code), "{frame}");
    }

    /// Nothing more comes, and the client has closed its side.
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "still came: {}", rest.escape_ascii());
    }

    /// Closes TCP first, as a server should, and sees nothing more come.
    pub fn end_first(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("the client is still there");
        self.expect_end();
    }

    /// Everything until the client has gone.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Nothing comes for so long, and the client is still there.
    pub fn expect_silence(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let error = self.stream.read(&mut [0; 1]).expect_err("nothing comes");
        let kind = error.kind();
        assert!(matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        self.stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        assert!(self.received.is_empty());
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends the connection by a reset, not by a FIN.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// How many bytes came; none at the end, also where the client reset.
    fn read_more(&mut self) -> usize {
        let mut block = [0; 65_536];
        match self.stream.read(&mut block) {
            Ok(count) => {
                self.received.extend_from_slice(&block[..count]);
                count
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the client neither sends nor leaves: {error}"),
        }
    }
}
