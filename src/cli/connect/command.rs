//! What a line means.
//!
//! Owns the commands that a line can hold. Never does what they say.

use throng::frame::CloseCode;

/// The longest payload of a ping, in bytes (RFC 6455 section 5.5).
const PING_MAX: usize = 125;
/// The longest reason of a Close, in bytes: two less, for the code.
const REASON_MAX: usize = 123;

/// The commands, as Tab completes them and `/help` lists them.
pub const COMMANDS: [(&str, &str, &str); 5] = [
    ("/ping", " [TEXT]", "send a ping, and show how long the pong took"),
    ("/close", " [CODE [REASON]]", "close with this code, 1000 where none is given"),
    ("/binary", " HEX", "send a binary message: /binary 48 65 6c 6c 6f"),
    ("/help", "", "show this"),
    ("/quit", "", "close and leave, as Ctrl-D on an empty line does"),
];

/// What a person wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Text(String),
    Binary(Vec<u8>),
    Ping(String),
    Close(CloseCode, String),
    Help,
    Quit,
}

impl Command {
    /// Reads a line: a command where it begins with a slash, a text where not, or with two.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(line: &str) -> Result<Self, String> {
        let Some(rest) = line.strip_prefix('/') else { return Ok(Self::Text(line.to_owned())) };
        if rest.starts_with('/') {
            return Ok(Self::Text(rest.to_owned()));
        }
        let (name, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
        let arguments = arguments.trim();
        match name {
            "ping" if arguments.len() <= PING_MAX => Ok(Self::Ping(arguments.to_owned())),
            "ping" => Err(format!("a ping holds at most {PING_MAX} bytes")),
            "close" => close(arguments),
            "binary" => Ok(Self::Binary(bytes(arguments)?)),
            "help" | "quit" if !arguments.is_empty() => Err(format!("/{name} stands alone")),
            "help" => Ok(Self::Help),
            "quit" => Ok(Self::Quit),
            _ => Err(format!(
                "no command is called /{name}; /help lists them, and // sends a text that begins \
                 with a slash"
            )),
        }
    }
}

fn close(arguments: &str) -> Result<Command, String> {
    if arguments.is_empty() {
        return Ok(Command::Close(CloseCode::NORMAL, String::new()));
    }
    let (code, reason) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let number = code.parse().map_err(|_| format!("{code:?} is no close code"))?;
    let code = CloseCode::new(number).ok_or_else(|| {
        format!("{number} may not be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 may")
    })?;
    let reason = reason.trim();
    if reason.len() > REASON_MAX {
        return Err(format!("a reason has at most {REASON_MAX} bytes"));
    }
    Ok(Command::Close(code, reason.to_owned()))
}

/// The bytes that stand there in hexadecimal, blanks wherever one likes between them.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for part in text.split_whitespace() {
        let digits: Option<Vec<u8>> =
            part.chars().map(|c| c.to_digit(16).and_then(|digit| digit.try_into().ok())).collect();
        let digits = digits.ok_or_else(|| format!("{part:?} is not hexadecimal"))?;
        if digits.len() % 2 != 0 {
            return Err(format!("{part:?} has an odd number of digits"));
        }
        bytes.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_what_they_mean() {
        let text = |text: &str| Ok(Command::Text(text.to_owned()));
        let parse = Command::parse;
        assert_eq!(parse("hello"), text("hello"));
        assert_eq!(parse(" /ping"), text(" /ping"));
        assert_eq!(parse("//ping"), text("/ping"));
        assert_eq!(parse("///"), text("//"));
        assert_eq!(parse("/ping"), Ok(Command::Ping(String::new())));
        assert_eq!(parse("/ping are you there "), Ok(Command::Ping("are you there".into())));
        assert_eq!(parse("/binary 00ff 41"), Ok(Command::Binary(vec![0, 255, 0x41])));
        assert_eq!(parse("/binary"), Ok(Command::Binary(Vec::new())));
        assert_eq!(parse("/close"), Ok(Command::Close(CloseCode::NORMAL, String::new())));
        let four = CloseCode::new(4000).expect("a code");
        assert_eq!(parse("/close 4000 so long"), Ok(Command::Close(four, "so long".into())));
        assert_eq!(parse("/help"), Ok(Command::Help));
        assert_eq!(parse("/quit"), Ok(Command::Quit));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = "x".repeat(126);
        for (line, words) in [
            ("/pong", "no command is called /pong"),
            ("/", "no command"),
            ("/binary 0", "odd"),
            ("/binary +1", "not hexadecimal"),
            ("/binary é0", "not hexadecimal"),
            ("/close now", "no close code"),
            ("/close 1005", "may not be sent"),
            ("/close 70000", "no close code"),
            ("/quit now", "stands alone"),
            (&format!("/ping {long}"), "125 bytes"),
            (&format!("/close 1000 {long}"), "123 bytes"),
        ] {
            let error = Command::parse(line).expect_err(line);
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
