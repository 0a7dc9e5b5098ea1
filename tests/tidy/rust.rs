//! Reading Rust, as far as the checks need it: what is code and where an
//! item ends.

/// `source` with comments, and what is inside string and character literals, turned into blanks.
/// Lines stay where they are.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if let Some(end) = end {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end.unwrap_or(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends, if one does.
fn literal_or_comment(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let in_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|&byte| byte == b'\n');
        return Some(length.map_or(bytes.len(), |length| at + length));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    if rest[0] == b'"' {
        return Some(at + quoted(rest, b'"'));
    }
    if rest[0] == b'\'' {
        // 'a' or '\n' is a literal; 'a is a lifetime.
        let escaped = rest.get(1) == Some(&b'\\');
        let width = rest.get(1).map_or(1, |&first| utf8_width(first));
        let closed = rest.get(1 + width) == Some(&b'\'');
        return (escaped || closed).then(|| at + quoted(rest, b'\''));
    }
    let raw = rest.starts_with(b"r") || rest.starts_with(b"br");
    (raw && !in_word).then(|| raw_string(rest).map(|length| at + length)).flatten()
}

fn utf8_width(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string(bytes: &[u8]) -> Option<usize> {
    let start = bytes.iter().position(|&byte| byte == b'r')? + 1;
    let hashes = bytes[start..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
    let body = start + hashes + 1;
    let length = bytes[body..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(bytes.len(), |length| body + length + end.len()))
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands in `code` as a word of its own.
pub fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at == 0 || !is_word(bytes[at - 1]);
        before && bytes.get(at + word.len()).is_none_or(|&byte| !is_word(byte))
    })
}

pub fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Where the block or statement that starts after `at` ends: at its `;`, or at the brace that
/// closes its first one.
pub fn item_end(code: &str, at: usize) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b'{' => braces += 1,
            b'}' => braces -= 1,
            b';' if braces == 0 && others <= 0 => return offset,
            _ => continue,
        }
        if byte == b'}' && braces <= 0 {
            return offset;
        }
    }
    code.len()
}

/// `code` without what is compiled for tests only.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let end = item_end(&out, at + "#[cfg(test)]".len());
        let end = (end + 1).min(out.len());
        let blank: String =
            out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blank);
    }
    out
}

pub fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

#[test]
fn comments_and_literals_are_no_code() {
    let source = "a /* b /* c */ d */ e // f\n\"g \\\" h\" 'i' '\\'' r#\"j \" k\"# 'l: m br\"n\" o";
    let code = code_only(source);
    let left: String = code.split_whitespace().collect();
    assert_eq!(left, "ae'l:mo");
    assert_eq!(code.lines().count(), source.lines().count());
    assert_eq!(code_only("let x = '\u{e9}'; f(\"\u{e9}\")").matches(';').count(), 1);
}
