//! The line that is being typed.
//!
//! Owns its text, the cursor and the history, and what of it fits into one row. Never reads a key
//! from anywhere, never draws.

use unicode_width::UnicodeWidthChar;

use super::command::COMMANDS;
use super::keys::Key;

/// How many lines are remembered.
const HISTORY_MAX: usize = 1000;

/// What a key has brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The line has changed, or not.
    Edited,
    /// The line is complete, and the next one begins.
    Line(String),
    /// The screen is to be cleared.
    Cleared,
    /// Nothing more will be typed.
    End,
}

/// One row of the terminal.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    /// What is shown of the line.
    pub text: String,
    /// How many columns of it stand before the cursor.
    pub cursor: usize,
}

#[derive(Debug, Default)]
pub struct Editor {
    line: String,
    /// In bytes, between two characters.
    cursor: usize,
    history: Vec<String>,
    browsing: Option<Browsing>,
    /// What was cut last, to be put back.
    cut: String,
}

/// The way through the history.
#[derive(Debug)]
struct Browsing {
    index: usize,
    /// What was typed before: its lines are the ones that begin like it.
    draft: String,
}

impl Editor {
    pub const fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Forgets the line; a person who changed his mind finds it in the history.
    pub fn discard(&mut self) {
        self.complete();
    }

    /// Does what a key means.
    pub fn press(&mut self, key: Key) -> Outcome {
        if !matches!(key, Key::Up | Key::Down) {
            self.browsing = None;
        }
        match key {
            Key::Enter => return Outcome::Line(self.complete()),
            Key::EndOfInput if self.is_empty() => return Outcome::End,
            Key::ClearScreen => return Outcome::Cleared,
            Key::Character(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => self.insert(&text),
            Key::PutBack => self.insert(&self.cut.clone()),
            Key::Tab => self.complete_command(),
            Key::Up => self.browse_back(),
            Key::Down => self.browse_forward(),
            Key::Left => self.cursor = self.before(self.cursor),
            Key::Right => self.cursor = self.after(self.cursor),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Backspace => {
                let start = self.before(self.cursor);
                self.remove(start, self.cursor);
            }
            Key::Delete | Key::EndOfInput => {
                self.remove(self.cursor, self.after(self.cursor));
            }
            Key::CutToEnd => self.cut = self.remove(self.cursor, self.line.len()),
            Key::CutToStart => self.cut = self.remove(0, self.cursor),
            Key::CutWord => self.cut = self.remove(self.word_before(), self.cursor),
            Key::CutWordRight => self.cut = self.remove(self.cursor, self.word_after()),
        }
        Outcome::Edited
    }

    /// What fits into so many columns: always the part with the cursor.
    pub fn view(&self, columns: usize) -> View {
        let columns = columns.max(4);
        let cursor: usize = self.line[..self.cursor].chars().map(width).sum();
        // The cursor may stand behind the last character, which takes a column too.
        let page = columns / 2;
        let skipped = match cursor.checked_sub(columns - 1) {
            Some(over) => over.div_ceil(page) * page,
            None => 0,
        };
        let (mut text, mut column, mut first) = (String::new(), 0, None);
        for character in self.line.chars() {
            let start = column;
            column += width(character);
            if start < skipped {
                continue;
            }
            let first = *first.get_or_insert(start);
            if column - first > columns - 1 {
                break;
            }
            text.push(visible(character));
        }
        View { text, cursor: cursor - first.unwrap_or(cursor) }
    }

    /// Ends the line, and remembers it.
    fn complete(&mut self) -> String {
        self.browsing = None;
        self.cursor = 0;
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            if self.history.len() == HISTORY_MAX {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        line
    }

    fn insert(&mut self, text: &str) {
        self.line.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    /// Takes a part out; the cursor stands where it was.
    fn remove(&mut self, start: usize, end: usize) -> String {
        self.cursor = start;
        self.line.drain(start..end).collect()
    }

    /// The name of a command, where its beginning is all that stands there.
    fn complete_command(&mut self) {
        let mut matching = COMMANDS.iter().filter(|(name, ..)| name.starts_with(&*self.line));
        if self.line.len() > 1
            && let (Some((name, arguments, _)), None) = (matching.next(), matching.next())
        {
            let blank = if arguments.is_empty() { "" } else { " " };
            self.replace(format!("{name}{blank}"));
        }
    }

    fn replace(&mut self, line: String) {
        self.line = line;
        self.cursor = self.line.len();
    }

    fn browse_back(&mut self) {
        let (end, draft) = match &self.browsing {
            Some(browsing) => (browsing.index, browsing.draft.clone()),
            None => (self.history.len(), self.line.clone()),
        };
        let found = self.history[..end].iter().rposition(|line| line.starts_with(&draft));
        if let Some(index) = found {
            self.replace(self.history[index].clone());
            self.browsing = Some(Browsing { index, draft });
        }
    }

    fn browse_forward(&mut self) {
        let Some(Browsing { index, draft }) = self.browsing.take() else { return };
        let mut later = self.history[index + 1..].iter();
        match later.position(|line| line.starts_with(&draft)) {
            Some(position) => {
                let index = index + 1 + position;
                self.replace(self.history[index].clone());
                self.browsing = Some(Browsing { index, draft });
            }
            None => self.replace(draft),
        }
    }

    /// Where the character before a place begins, with the accents that stand on it.
    fn before(&self, place: usize) -> usize {
        let mut characters = self.line[..place].char_indices().rev();
        characters.find(|&(_, character)| width(character) > 0).map_or(0, |(start, _)| start)
    }

    /// Where the character at a place ends.
    fn after(&self, place: usize) -> usize {
        let mut characters = self.line[place..].char_indices().skip(1);
        let next = characters.find(|&(_, character)| width(character) > 0);
        next.map_or(self.line.len(), |(start, _)| place + start)
    }

    fn word_before(&self) -> usize {
        let before = &self.line[..self.cursor];
        let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        word.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_after(&self) -> usize {
        let after = &self.line[self.cursor..];
        let word = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        self.line.len() - word.trim_start_matches(char::is_alphanumeric).len()
    }
}

/// A pasted line end or tab, in one column.
const fn visible(character: char) -> char {
    match character {
        '\n' => '↵',
        '\t' => '⇥',
        _ => character,
    }
}

/// In columns.
fn width(character: char) -> usize {
    visible(character).width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(editor: &mut Editor, text: &str) {
        for character in text.chars() {
            editor.press(Key::Character(character));
        }
    }

    fn edited(text: &str, keys: &[Key]) -> String {
        let mut editor = Editor::default();
        type_in(&mut editor, text);
        for key in keys {
            assert_eq!(editor.press(key.clone()), Outcome::Edited, "{key:?}");
        }
        type_in(&mut editor, "|");
        editor.line
    }

    #[test]
    fn moving_and_cutting() {
        use Key::*;
        assert_eq!(edited("äb", &[Left, Left, Left]), "|äb");
        assert_eq!(edited("äb", &[Home, Right]), "ä|b");
        assert_eq!(edited("äb", &[Left, Backspace, End]), "b|");
        assert_eq!(edited("ab", &[Home, Delete, EndOfInput, Delete]), "|");
        assert_eq!(edited("one two-three", &[WordLeft, WordLeft]), "one |two-three");
        assert_eq!(edited("one two", &[Home, WordRight, CutWordRight]), "one|");
        assert_eq!(edited("one two ", &[CutWord]), "one |");
        assert_eq!(edited("one two", &[WordLeft, CutToEnd, Home, PutBack]), "two|one ");
        assert_eq!(edited("one two", &[WordLeft, CutToStart, End, PutBack]), "twoone |");
        assert_eq!(edited("ae\u{301}", &[Backspace]), "a|"); // an accent goes with its letter
        assert_eq!(edited("", &[Paste("a\nb".into()), Left]), "a\n|b");
        assert_eq!(edited("/pi", &[Tab]), "/ping |");
        assert_eq!(edited("/q", &[Tab]), "/quit|");
        assert_eq!(edited("/", &[Tab]), "/|");
        assert_eq!(edited("x", &[Tab]), "x|");
    }

    #[test]
    fn lines_end_and_come_back() {
        let mut editor = Editor::default();
        assert_eq!(editor.press(Key::Up), Outcome::Edited);
        for line in ["one", "two", "two", "other", ""] {
            type_in(&mut editor, line);
            assert_eq!(editor.press(Key::Enter), Outcome::Line(line.into()));
        }
        let press = |editor: &mut Editor, key| {
            editor.press(key);
            editor.line.clone()
        };
        assert_eq!(press(&mut editor, Key::Up), "other");
        assert_eq!(press(&mut editor, Key::Up), "two");
        assert_eq!(press(&mut editor, Key::Up), "one");
        assert_eq!(press(&mut editor, Key::Up), "one");
        assert_eq!(press(&mut editor, Key::Down), "two");
        assert_eq!(press(&mut editor, Key::Down), "other");
        assert_eq!(press(&mut editor, Key::Down), "");
        type_in(&mut editor, "o");
        assert_eq!(press(&mut editor, Key::Up), "other");
        assert_eq!(press(&mut editor, Key::Up), "one", "what begins like the draft");
        assert_eq!(press(&mut editor, Key::Down), "other");
        assert_eq!(press(&mut editor, Key::Down), "o");
        editor.discard();
        assert_eq!(editor.press(Key::EndOfInput), Outcome::End);
        assert_eq!(press(&mut editor, Key::Up), "o", "what was discarded is not lost");
    }

    #[test]
    fn the_row_shows_where_the_cursor_is() {
        let mut editor = Editor::default();
        type_in(&mut editor, "a茶\u{301}b");
        assert_eq!(editor.view(20), View { text: "a茶\u{301}b".into(), cursor: 4 });
        for length in 0..300 {
            let mut editor = Editor::default();
            let text: String = "0茶3\n5".chars().cycle().take(length).collect();
            editor.press(Key::Paste(text));
            for columns in [1, 5, 10, 80] {
                for _ in 0..40 {
                    let view = editor.view(columns);
                    let shown: usize = view.text.chars().map(width).sum();
                    assert!(shown < columns.max(4), "{columns}: {view:?}");
                    assert!(view.cursor <= shown, "{columns}: {view:?}");
                    editor.press(Key::Left);
                }
                editor.press(Key::End);
            }
        }
    }
}
