//! What a person or a pipe gets to see.
//!
//! Owns standard output and standard error, and the row that is typed into. Whoever shows something
//! takes the row away, writes, and puts it back, all at once. Never knows the connection.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use throng::proto::{Message, MessageKind};

use super::editor::{Editor, Outcome};
use super::keys::Key;
use super::{terminal, words};

const PROMPT: &str = "> ";
/// Of a text this much is shown to a person, in bytes; a pipe gets all.
const TEXT_SHOWN_MAX: usize = 64 << 10;
/// Of a binary message this much.
const BYTES_SHOWN_MAX: usize = 256;

/// What kind of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What happens.
    Notice,
    /// What went wrong.
    Error,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    Line(String),
    End,
}

/// See the module. One for all threads.
#[derive(Debug)]
pub struct Screen {
    /// Somebody sits there: both ends are a terminal that can move its cursor.
    interactive: bool,
    in_is_terminal: bool,
    out_is_terminal: bool,
    out_has_colours: bool,
    errors_have_colours: bool,
    row: Mutex<Row>,
}

#[derive(Debug, Default)]
struct Row {
    editor: Editor,
    /// The row is there.
    shown: bool,
}

impl Screen {
    pub fn new() -> Self {
        let in_is_terminal = io::stdin().is_terminal();
        let out_is_terminal = io::stdout().is_terminal();
        let smart = env::var_os("TERM").is_some_and(|term| term != "dumb");
        // https://no-color.org: where it is there and not empty.
        let colours = smart && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            interactive: smart && in_is_terminal && out_is_terminal,
            in_is_terminal,
            out_is_terminal,
            out_has_colours: colours && out_is_terminal,
            errors_have_colours: colours && io::stderr().is_terminal(),
            row: Mutex::default(),
        }
    }

    pub const fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether a person types the lines, be it that a file takes what is shown.
    pub const fn is_typed_into(&self) -> bool {
        self.in_is_terminal
    }

    /// Shows the row; does nothing where nobody types, or where it is shown.
    pub fn open_row(&self) -> io::Result<()> {
        let mut row = self.row();
        if self.interactive && !row.shown {
            terminal::take_keys()?;
            row.shown = true;
            put(&self.drawn(&row))?;
        }
        Ok(())
    }

    /// Takes the row away, and leaves the terminal as it was.
    pub fn close_row(&self) {
        let mut row = self.row();
        if std::mem::take(&mut row.shown) {
            let _ = put("\r\x1b[K"); // the terminal may have gone
        }
        terminal::give_back();
    }

    /// Draws the row anew: the window has another size, or somebody else wrote.
    pub fn redraw(&self) -> io::Result<()> {
        let row = self.row();
        if row.shown {
            terminal::take_keys()?; // a shell in between has its own mode
            put(&self.drawn(&row))?;
        }
        Ok(())
    }

    /// Does what the keys say. The row is drawn once for all of them.
    pub fn press(&self, keys: Vec<Key>) -> io::Result<Vec<Typed>> {
        let mut row = self.row();
        let (mut typed, mut drawing) = (Vec::new(), String::new());
        for key in keys {
            match row.editor.press(key) {
                Outcome::Edited => {}
                Outcome::Cleared => drawing.push_str("\x1b[H\x1b[2J"),
                Outcome::End => typed.push(Typed::End),
                Outcome::Line(line) => {
                    self.keep_line(&line, &mut drawing);
                    typed.push(Typed::Line(line));
                }
            }
        }
        if row.shown {
            drawing.push_str(&self.drawn(&row));
            put(&drawing)?;
        }
        Ok(typed)
    }

    /// Forgets what is being typed; `false` where that is nothing.
    pub fn discard_line(&self) -> io::Result<bool> {
        let mut row = self.row();
        if !row.shown || row.editor.is_empty() {
            return Ok(false);
        }
        row.editor.discard();
        put(&format!("\r\n{}", self.drawn(&row)))?;
        Ok(true)
    }

    /// Shows a message.
    pub fn message(&self, message: Message<'_>) -> io::Result<()> {
        if self.interactive {
            let shown = match message.kind {
                MessageKind::Text => self.text_shown(message.as_text().unwrap_or_default()),
                MessageKind::Binary => self.bytes_shown(message.payload),
            };
            return self.above_row(&shown);
        }
        let mut out = io::stdout().lock();
        match message.kind {
            MessageKind::Text if self.out_is_terminal => {
                let text = message.as_text().unwrap_or_default();
                out.write_all(words::escape(text, true).as_bytes())?;
            }
            MessageKind::Text => out.write_all(message.payload)?,
            MessageKind::Binary => out.write_all(words::hex(message.payload).as_bytes())?,
        }
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Says something: to a person among the messages, else on standard error. The words may have
    /// several lines; what of them a server has sent has to be escaped already.
    pub fn say(&self, tone: Tone, words: &str) -> io::Result<()> {
        let colour = match tone {
            Tone::Notice => "\x1b[2m",
            Tone::Error => "\x1b[31m",
        };
        if self.interactive {
            return self.above_row(&format!("{}\n", paint(words, colour, self.out_has_colours)));
        }
        let painted = paint(words, colour, self.errors_have_colours);
        let _ = writeln!(io::stderr(), "{painted}"); // nobody may be listening
        Ok(())
    }

    fn text_shown(&self, text: &str) -> String {
        let (text, left) = words::beginning(text, TEXT_SHOWN_MAX);
        // A line end inside is followed by blanks, so that no message looks like two.
        let text = words::escape(text, true).replace('\n', "\n  ");
        let mut shown = format!("{} {text}\n", self.mark());
        if left > 0 {
            let _ = writeln!(shown, "  and {left} bytes more");
        }
        shown
    }

    fn bytes_shown(&self, bytes: &[u8]) -> String {
        let dump = words::hex_dump(bytes, BYTES_SHOWN_MAX);
        format!("{} binary, {} bytes\n{dump}", self.mark(), bytes.len())
    }

    /// What stands before a message that has come.
    fn mark(&self) -> String {
        paint("<", "\x1b[36m", self.out_has_colours)
    }

    /// Writes whole lines where the row is, which moves down.
    fn above_row(&self, lines: &str) -> io::Result<()> {
        let row = self.row();
        if row.shown { put(&format!("\r\x1b[K{lines}{}", self.drawn(&row))) } else { put(lines) }
    }

    /// The row becomes a line as others: whole, however long.
    fn keep_line(&self, line: &str, drawing: &mut String) {
        let line = words::escape(line, true).replace('\n', "\n  ");
        let _ = writeln!(drawing, "\r\x1b[K{}{line}", self.prompt());
    }

    fn drawn(&self, row: &Row) -> String {
        let view = row.editor.view(terminal::columns().saturating_sub(PROMPT.len()));
        let text = words::escape(&view.text, false);
        let column = PROMPT.len() + view.cursor;
        format!("\r{}{text}\x1b[K\r\x1b[{column}C", self.prompt())
    }

    fn prompt(&self) -> String {
        paint(PROMPT, "\x1b[1m", self.out_has_colours)
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paint(words: &str, colour: &str, wanted: bool) -> String {
    if wanted { format!("{colour}{words}\x1b[0m") } else { words.to_owned() }
}

/// Writes at once: half an escape sequence is none.
fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
