//! What is shown, in words.
//!
//! Owns how texts, bytes, close codes and times look, and that nothing a server sends can drive the
//! terminal. Never writes anywhere.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use throng::frame::CloseCode;

/// Bytes of a hex dump in a row.
const ROW: usize = 16;

/// Whether a character could move the cursor, change colours, or turn the reading order of what
/// stands beside it: the controls C0, DEL and C1, and Unicode's line ends and bidirectional
/// controls.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text with every hostile character written out as `\x1b` or `\u{202e}`. Line ends and tabs
/// stay where `lines` says so.
pub fn escape(text: &str, lines: bool) -> Cow<'_, str> {
    let harmless = |c: char| !is_hostile(c) || (lines && matches!(c, '\n' | '\t'));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            _ if harmless(character) => escaped.push(character),
            '\n' | '\r' | '\t' => escaped.extend(character.escape_default()),
            '\0'..='\x7f' => push(&mut escaped, format_args!("\\x{:02x}", character as u32)),
            _ => escaped.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// The beginning of a text, whole characters, and how many bytes of it are left out.
pub fn beginning(text: &str, bytes_max: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(bytes_max);
    (&text[..end], text.len() - end)
}

/// Rows of offset, bytes in hexadecimal, and the bytes that are ASCII; `bytes_max` at most. Each
/// row ends with a line end.
pub fn hex_dump(bytes: &[u8], bytes_max: usize) -> String {
    let shown = &bytes[..bytes.len().min(bytes_max)];
    let mut dump = String::new();
    for (index, row) in shown.chunks(ROW).enumerate() {
        push(&mut dump, format_args!("  {:08x} ", index * ROW));
        for at in 0..ROW {
            let gap = if at == ROW / 2 { " " } else { "" };
            match row.get(at) {
                Some(byte) => push(&mut dump, format_args!("{gap} {byte:02x}")),
                None => push(&mut dump, format_args!("{gap}   ")),
            }
        }
        let ascii = row.iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        });
        push(&mut dump, format_args!("  |{}|\n", ascii.collect::<String>()));
    }
    let left = bytes.len() - shown.len();
    if left > 0 {
        push(&mut dump, format_args!("  and {left} bytes more\n"));
    }
    dump
}

/// All bytes in hexadecimal, in one line.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A close code with what it means, and the reason.
pub fn close(code: Option<CloseCode>, reason: &str) -> String {
    let mut words = match code {
        Some(code) => format!("{code} ({})", meaning(code)),
        None => "no code".to_owned(),
    };
    if !reason.is_empty() {
        push(&mut words, format_args!(": {}", escape(reason, false)));
    }
    words
}

/// RFC 6455 section 7.4.1, and the IANA registry.
fn meaning(code: CloseCode) -> &'static str {
    match code.get() {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1007 => "invalid payload",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "an extension is missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        ..=3999 => "a registered code",
        4000.. => "a code of the application",
    }
}

/// A time that a person can compare: `0.21 ms`, `35.0 ms`, `1.250 s`.
pub fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..1000.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{:.3} s", time.as_secs_f64()),
    }
}

/// Writing to a string cannot fail.
fn push(to: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = to.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_drive_the_terminal() {
        assert_eq!(escape("grüße, 茶 👩‍🚀", false), "grüße, 茶 👩‍🚀");
        assert!(matches!(escape("plain", false), Cow::Borrowed(_)));
        assert_eq!(escape("\x1b[2J\x07\x7f\0", false), "\\x1b[2J\\x07\\x7f\\x00");
        assert_eq!(escape("\u{9b}2J\u{202e}x\u{2028}", false), "\\u{9b}2J\\u{202e}x\\u{2028}");
        assert_eq!(escape("a\r\nb\tc", false), "a\\r\\nb\\tc");
        assert_eq!(escape("a\r\nb\tc", true), "a\\r\nb\tc");
        for character in (0..=0x9f).filter_map(char::from_u32).filter(|c| c.is_control()) {
            let shown = escape(&character.to_string(), false).into_owned();
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(beginning("grün", 3), ("gr", 3));
        assert_eq!(beginning("grün", 4), ("grü", 1));
        assert_eq!(beginning("grün", 400), ("grün", 0));
    }

    #[test]
    fn bytes_in_rows() {
        let dump = hex_dump(b"hello\x1b and more than that", 17);
        let rows: Vec<&str> = dump.lines().collect();
        assert_eq!(
            rows[0],
            "  00000000  68 65 6c 6c 6f 1b 20 61  6e 64 20 6d 6f 72 65 20  |hello. and more |"
        );
        assert_eq!(rows[1].find('|'), rows[0].find('|'));
        assert!(rows[1].starts_with("  00000010  74  ") && rows[1].ends_with("|t|"));
        assert_eq!(rows[2], "  and 8 bytes more");
        assert_eq!(hex_dump(b"", 16), "");
        assert_eq!(hex(b"\x00\xffA"), "00ff41");
    }

    #[test]
    fn closes_and_times() {
        assert_eq!(close(None, ""), "no code");
        assert_eq!(close(Some(CloseCode::NORMAL), "bye\n"), "1000 (normal closure): bye\\n");
        let code = |code| close(CloseCode::new(code), "");
        assert_eq!(code(3999), "3999 (a registered code)");
        assert_eq!(code(4999), "4999 (a code of the application)");
        assert_eq!(time(Duration::from_micros(213)), "0.21 ms");
        assert_eq!(time(Duration::from_millis(35)), "35.0 ms");
        assert_eq!(time(Duration::from_millis(1250)), "1.250 s");
    }
}
