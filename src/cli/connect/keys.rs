//! Bytes of a terminal to keys.
//!
//! Owns the escape sequences that terminals send. Never knows what a key does.

/// The most of a pasted text that is kept, in bytes.
const PASTE_BYTES_MAX: usize = 16 << 20;
/// The longest escape sequence that is understood.
const SEQUENCE_MAX: usize = 16;
/// What a terminal sends after a pasted text.
const PASTE_END: &[u8] = b"\x1b[201~";

/// A key, or what was pasted at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Character(char),
    Paste(String),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    CutToEnd,
    CutToStart,
    CutWord,
    CutWordRight,
    PutBack,
    ClearScreen,
    /// Ctrl-D: the end on an empty line, else as Delete.
    EndOfInput,
}

/// The state between two reads: a sequence may be cut anywhere.
#[derive(Debug, Default)]
pub struct Keys {
    state: State,
    /// The bytes of a character, a sequence or a paste that is not whole yet.
    part: Vec<u8>,
}

/// ```text
///            ESC             [                  200~
///   Ground ───────► Escape ─────► Sequence ──────────────► Paste
///     ▲               │              │                       │
///     └───────────────┴──────────────┴───────────────────────┘
///        a letter: Alt    its last byte                 ESC [ 201~
/// ```
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    Sequence,
    Paste,
}

impl Keys {
    /// Takes the next byte; gives the key that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        match self.state {
            State::Ground => self.ground(byte),
            State::Escape => {
                self.state = State::Ground;
                match byte {
                    b'[' | b'O' => {
                        self.state = State::Sequence;
                        None
                    }
                    0x1b => {
                        self.state = State::Escape;
                        None
                    }
                    b'b' | b'B' => Some(Key::WordLeft),
                    b'f' | b'F' => Some(Key::WordRight),
                    b'd' | b'D' => Some(Key::CutWordRight),
                    0x7f | 0x08 => Some(Key::CutWord),
                    _ => None,
                }
            }
            State::Sequence => self.sequence(byte),
            State::Paste => self.paste(byte),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        if byte >= 0x80 || !self.part.is_empty() {
            return self.character(byte);
        }
        Some(match byte {
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x7f | 0x08 => Key::Backspace,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x0b => Key::CutToEnd,
            0x0c => Key::ClearScreen,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::CutToStart,
            0x17 => Key::CutWord,
            0x19 => Key::PutBack,
            b' '..=b'~' => Key::Character(char::from(byte)),
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            _ => return None,
        })
    }

    /// A byte of a character beyond ASCII. What is no UTF-8 is dropped.
    fn character(&mut self, byte: u8) -> Option<Key> {
        let continues = byte & 0xc0 == 0x80;
        if continues == self.part.is_empty() {
            self.part.clear();
            if continues {
                return None;
            }
            if byte < 0x80 {
                return self.ground(byte);
            }
        }
        self.part.push(byte);
        match str::from_utf8(&self.part) {
            Ok(text) => {
                let character = text.chars().next();
                self.part.clear();
                // C1 controls are no text.
                character.filter(|c| !c.is_control()).map(Key::Character)
            }
            Err(error) => {
                if error.error_len().is_some() {
                    self.part.clear();
                }
                None
            }
        }
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        if !matches!(byte, 0x40..=0x7e) {
            self.part.push(byte);
            if self.part.len() > SEQUENCE_MAX || byte < 0x20 {
                self.part.clear();
                self.state = State::Ground;
            }
            return None;
        }
        self.state = State::Ground;
        let parameters = std::mem::take(&mut self.part);
        // `1;5C`: the modifier says that Ctrl, Alt or Shift is held.
        let by_words = parameters.contains(&b';');
        Some(match (byte, &*parameters) {
            (b'A', _) => Key::Up,
            (b'B', _) => Key::Down,
            (b'C', _) if by_words => Key::WordRight,
            (b'D', _) if by_words => Key::WordLeft,
            (b'C', _) => Key::Right,
            (b'D', _) => Key::Left,
            (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
            (b'F', _) | (b'~', b"4" | b"8") => Key::End,
            (b'~', b"3") => Key::Delete,
            (b'M', b"") => Key::Enter, // of the number pad
            (b'~', b"200") => {
                self.state = State::Paste;
                return None;
            }
            _ => return None,
        })
    }

    /// Line ends come as carriage returns; those at the end are not wanted by anybody. Other
    /// control characters, escape sequences among them, are not what was meant to be sent.
    fn paste(&mut self, byte: u8) -> Option<Key> {
        if self.part.len() < PASTE_BYTES_MAX + PASTE_END.len() {
            self.part.push(byte);
        } else {
            // The end has to be found all the same: the last bytes move on.
            self.part.remove(PASTE_BYTES_MAX);
            self.part.push(byte);
        }
        let pasted = self.part.strip_suffix(PASTE_END)?;
        let text = String::from_utf8_lossy(pasted).replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim_end_matches('\n');
        let kept = text.chars().filter(|&c| !c.is_control() || matches!(c, '\n' | '\t'));
        let key = Key::Paste(kept.collect());
        *self = Self::default();
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|&byte| keys.push(byte)).collect()
    }

    #[test]
    fn characters() {
        let text: String = "aß茶👩‍🚀~".into();
        let expected: Vec<Key> = text.chars().map(Key::Character).collect();
        assert_eq!(keys(text.as_bytes()), expected);
        assert_eq!(keys(b"\xffa\xc3b\xbf"), [Key::Character('a'), Key::Character('b')]);
        assert_eq!(keys(b"\xc3\xc3\xa4"), [Key::Character('ä')]);
        assert_eq!(keys("\u{9b}".as_bytes()), []);
        assert_eq!(keys(b"\xc3\x1b[A"), [Key::Up]);
    }

    #[test]
    fn sequences() {
        assert_eq!(keys(b"\x1b[A\x1bOB"), [Key::Up, Key::Down]);
        assert_eq!(keys(b"\x1b[C\x1b[1;5C\x1bf"), [Key::Right, Key::WordRight, Key::WordRight]);
        assert_eq!(keys(b"\x1b[H\x1b[1~\x1bOH\x01"), vec![Key::Home; 4]);
        assert_eq!(keys(b"\x1b[3~\x04\x17"), [Key::Delete, Key::EndOfInput, Key::CutWord]);
        assert_eq!(keys(b"\x1b[24~\x1b[?1;2cx"), [Key::Character('x')]); // F12, a report
        assert_eq!(keys(b"\x1b\x1b[D"), [Key::Left]);
        let endless = [b"\x1b[".to_vec(), vec![b'1'; 40], b"x".to_vec()].concat();
        assert_eq!(keys(&endless).last(), Some(&Key::Character('x')));
    }

    #[test]
    fn what_is_pasted_comes_at_once() {
        let pasted = b"\x1b[200~{\r\n\t\"a\": 1\r}\x1b[2J\r\r\x1b[201~\r";
        let text = "{\n\t\"a\": 1\n}[2J".to_owned();
        assert_eq!(keys(pasted), [Key::Paste(text), Key::Enter]);
    }
}
