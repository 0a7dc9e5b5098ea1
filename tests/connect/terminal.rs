//! What a person sees.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tungstenite::Message;

use crate::common::{Server, eventually};
use crate::run::{Run, Shown, close, next_text, program, serve, url_of};

/// A person's terminal, with the program in it.
struct Terminal {
    run: Run,
    keys: File,
    /// The program's end, to ask it for its mode.
    inner: OwnedFd,
}

impl Terminal {
    fn start(url: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&outer).expect("a terminal");
        unlockpt(&outer).expect("a terminal");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&outer, size).expect("a terminal");
        let flags_of_inner = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let inner = ioctl_tiocgptpeer(&outer, flags_of_inner).expect("a terminal");
        let end = || Stdio::from(inner.try_clone().expect("a descriptor"));
        // The terminal becomes that of a session of its own, so that Ctrl-C is a signal.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program()).arg("connect").arg(url).args(flags);
        command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        let child = child.expect("the program starts");
        let keys = File::from(outer);
        let out = Shown::read(keys.try_clone().expect("a descriptor"));
        let terminal = Self { run: Run { child, out, errors: Shown::default() }, keys, inner };
        terminal.shows(&["connected to ws://", "/help lists the commands", "> "]);
        assert!(terminal.takes_keys());
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn shows(&self, parts: &[&str]) {
        self.run.out.wait_for(parts);
    }

    fn takes_keys(&self) -> bool {
        let mode = tcgetattr(&self.inner).expect("a terminal").local_modes;
        !mode.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Ends with this status, and leaves the terminal as it was.
    fn ends_with(&mut self, status: i32) {
        assert_eq!(self.run.ends(), status, "{}", self.run.out.text());
        assert!(!self.takes_keys(), "the terminal was left behind");
        let end = || self.run.out.text().ends_with("\x1b[?2004l");
        eventually("the marks around pasted text are off", 5.0, end);
    }
}

#[test]
fn a_person_types_and_sees() {
    let server = Server::echo(&[]);
    let mut terminal = Terminal::start(&url_of(&server, "/"), &[], &[("NO_COLOR", "1")]);
    terminal.press("hallo\x7f\x7fxo\x1b[D\x1b[Dp\r"); // halpxo
    terminal.shows(&["> halpxo\r\n", "< halpxo\r\n"]);
    terminal.press("/ping\r");
    terminal.shows(&["> /ping\r\n", "pong after ", " ms\r\n"]);
    terminal.press("/binary 48 69 00\r");
    terminal.shows(&["< binary, 3 bytes\r\n", "48 69 00", "|Hi.|\r\n"]);
    terminal.press("\x1b[A\x1b[A\x1b[A\r"); // up
    terminal.shows(&["< halpxo\r\n", "< halpxo\r\n"]);
    terminal.press("/bin\r//x\r/h\t\r");
    terminal.shows(&["no command is called /bin;", "/close [CODE [REASON]]"]);
    terminal.shows(&["< /x\r\n"]);
    terminal.press("\x1b[200~two\rlines\r\x1b[201~\r");
    terminal.shows(&["< two\r\n  lines\r\n"]);
    terminal.press("\x04");
    terminal.ends_with(0);
    terminal.shows(&["closed: 1000 (normal closure)"]);
    let text = terminal.run.out.text();
    let moves = ["\x1b[K", "\x1b[?2004h", "\x1b[?2004l"];
    let text = moves.iter().fold(text, |text, code| text.replace(code, ""));
    let after = text.split("\x1b[").skip(1);
    assert!(after.clone().all(|rest| rest.trim_start_matches(char::is_numeric).starts_with('C')));
}

#[test]
fn what_comes_does_not_destroy_what_is_typed_and_cannot_drive_the_terminal() {
    let (url, _server) = serve(vec![|mut socket| {
        assert_eq!(next_text(&mut socket), "go");
        thread::sleep(Duration::from_millis(200));
        let text = "\x1b]0;owned\x07\u{9b}2J\rfake\n> fake\u{202e}";
        socket.send(Message::text(text)).expect("the client reads");
        socket.send(Message::binary(vec![7; 5000])).expect("the client reads");
        assert_eq!(next_text(&mut socket), "half and more");
        close(socket, 4000, "\x1b[2J");
    }]);
    let mut terminal = Terminal::start(&url, &[], &[]);
    terminal.press("go\rhalf ");
    terminal.shows(&[
        "half ",
        "\r\x1b[K\x1b[36m<\x1b[0m \\x1b]0;owned\\x07\\u{9b}2J\\rfake\r\n  > fake\\u{202e}\r\n",
        "half ",
        "binary, 5000 bytes\r\n",
        "and 4744 bytes more\r\n",
        "half ",
    ]);
    terminal.press("and more\r");
    terminal.ends_with(1);
    terminal.shows(&["\x1b[31mclosed by the server: 4000", "\\x1b[2J"]);
}

#[test]
fn ctrl_c_forgets_the_line_and_then_leaves() {
    let server = Server::echo(&[]);
    let mut terminal = Terminal::start(&url_of(&server, "/"), &[], &[]);
    terminal.press("not meant");
    terminal.shows(&["not meant"]);
    terminal.press("\x03");
    terminal.shows(&["not meant", "\r\n"]);
    terminal.press("meant\r");
    terminal.shows(&["<\x1b[0m meant\r\n"]);
    terminal.press("\x03");
    terminal.ends_with(130);
    assert!(!terminal.run.out.text().contains("<\x1b[0m not meant"));
}

#[test]
fn a_person_is_told_that_the_connection_is_gone_and_back() {
    let (url, _server) =
        serve(vec![|mut socket| assert_eq!(next_text(&mut socket), "bye"), |mut socket| {
            assert_eq!(next_text(&mut socket), "again");
            close(socket, 1000, "");
        }]);
    let mut terminal = Terminal::start(&url, &["--reconnect"], &[]);
    terminal.press("bye\r");
    terminal.shows(&["the connection was lost", "connecting again", "connected to"]);
    terminal.press("again\r");
    terminal.ends_with(0);
}
