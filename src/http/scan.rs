//! Where a request head ends.
//!
//! Owns the line structure of a head and its limits in bytes. Never looks at a byte twice, however
//! the head arrives, and never at what a line means: that is [`Request`](super::Request).

use super::HttpError;

/// A method, two blanks, the version and the CRLF: what a request line holds besides its target.
const REQUEST_LINE_ALLOWANCE_BYTES: usize = 32;

/// What a request head may be at most. Passing a limit has one answer each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head with its last CRLF: 431 past it. Default 16 KiB.
    pub head_bytes_max: usize,
    /// The request target: 414 past it. Default 8 KiB.
    pub target_bytes_max: usize,
    /// The number of header lines: 431 past it. Default 64; never more than
    /// [`HEADERS_MAX`](super::HEADERS_MAX).
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, headers_max: 64 }
    }
}

/// Finds the end of one request head while it arrives.
///
/// Refuses at once, before the head is complete: bare LF, bare CR, control bytes other than TAB,
/// a request line or a head past its limit. The result does not depend on how the bytes were cut.
///
/// ```
/// use throng::http::{HeadLimits, HeadScan};
///
/// let limits = HeadLimits::default();
/// let mut scan = HeadScan::new();
/// assert_eq!(scan.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r", &limits), Ok(None));
/// assert_eq!(scan.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", &limits), Ok(Some(27)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct HeadScan {
    /// Everything before this has been looked at.
    position: usize,
    /// Where the current line starts.
    line_start: usize,
    /// The byte before `position` is a CR, so that an LF has to follow.
    after_cr: bool,
}

impl HeadScan {
    /// A scan for one head. The next head on the connection takes a new one.
    pub const fn new() -> Self {
        Self { position: 0, line_start: 0, after_cr: false }
    }

    /// Looks at what is new in `buffer`, which holds everything received from the first byte of the
    /// head on. Gives the length of the head up to and with its empty line, or `None` while it is
    /// incomplete.
    ///
    /// One empty line before the request line belongs to the head (RFC 9112, section 2.2).
    ///
    /// # Errors
    ///
    /// The head is malformed or reached a limit without an end; further calls mean nothing.
    pub fn scan(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HttpError> {
        loop {
            let (end_max, past_it) = self.end_max(limits);
            let window = &buffer[..buffer.len().min(end_max)];
            if !self.after_cr {
                self.position += text_length(window.get(self.position..).unwrap_or_default());
            }
            let Some(&byte) = window.get(self.position) else {
                return if self.position >= end_max { Err(past_it) } else { Ok(None) };
            };
            self.position += 1;
            match (self.after_cr, byte) {
                (true, b'\n') => {
                    if self.end_line()? {
                        return Ok(Some(self.position));
                    }
                }
                (true, _) => return Err(HttpError::BareCr),
                (false, b'\r') => self.after_cr = true,
                (false, b'\t') => {}
                (false, b'\n') => return Err(HttpError::BareLf),
                (false, _) => return Err(HttpError::ControlByte),
            }
        }
    }

    /// Takes note of a CRLF before `position`; `true` when it ends the head.
    fn end_line(&mut self) -> Result<bool, HttpError> {
        self.after_cr = false;
        let empty = self.position - self.line_start == 2;
        let before_request_line = self.line_start == 0;
        if empty && !before_request_line {
            return if self.in_request_line() { Err(HttpError::RequestLine) } else { Ok(true) };
        }
        self.line_start = self.position;
        Ok(false)
    }

    /// Whether the current line is the request line: the first, or the second after an empty one.
    /// No request line has two bytes with its CRLF, so offset 2 is unambiguous.
    const fn in_request_line(&self) -> bool {
        self.line_start <= 2
    }

    /// Where the current line has to have ended, and the fault when it has not.
    fn end_max(&self, limits: &HeadLimits) -> (usize, HttpError) {
        let line_bytes_max = limits.target_bytes_max.saturating_add(REQUEST_LINE_ALLOWANCE_BYTES);
        let line_end_max = self.line_start.saturating_add(line_bytes_max);
        if self.in_request_line() && line_end_max < limits.head_bytes_max {
            (line_end_max, HttpError::TargetTooLong)
        } else {
            (limits.head_bytes_max, HttpError::HeadTooLarge)
        }
    }
}

/// How many bytes come before the first control byte: a word at a time, as heads are mostly text.
fn text_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Sets the high bit of bytes below 0x20. A borrow can only spoil bytes above the first hit.
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS;
        if controls != 0 {
            return index * 8 + controls.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|&byte| byte < 0x20).unwrap_or(rest.len());
    words.len() * 8 + in_rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: HeadLimits =
        HeadLimits { head_bytes_max: 96, target_bytes_max: 16, headers_max: 8 };

    type ScanResult = Result<Option<usize>, HttpError>;

    fn whole(bytes: &[u8], limits: &HeadLimits) -> ScanResult {
        HeadScan::new().scan(bytes, limits)
    }

    /// Feeds `bytes` in the given cuts until there is a result.
    fn in_cuts(bytes: &[u8], cuts: &[usize], limits: &HeadLimits) -> ScanResult {
        let mut scan = HeadScan::new();
        let mut received = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let before = scan.position;
            received = bytes.len().min(received + cut);
            match scan.scan(&bytes[..received], limits) {
                Ok(None) => {}
                result => return result,
            }
            // Each byte once: the scan never falls back and leaves nothing of a call behind.
            assert!(scan.position >= before);
            assert_eq!(scan.position, received);
        }
        Ok(None)
    }

    #[test]
    fn rfc9112_2_2_line_structure() {
        let table: [(&[u8], ScanResult); 17] = [
            (b"", Ok(None)),
            (b"GET / HTTP/1.1\r\n", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r\n", Ok(Some(18))),
            (b"GET / HTTP/1.1\r\nA:\tb\r\n\r\nmore\n", Ok(Some(24))),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(20))),
            (b"\r\n", Ok(None)),
            (b"\r\n\r\n", Err(HttpError::RequestLine)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(HttpError::RequestLine)),
            (b"\nGET / HTTP/1.1\r\n\r\n", Err(HttpError::BareLf)),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(HttpError::BareLf)),
            (b"GET / HTTP/1.1\r\nHost: a\n", Err(HttpError::BareLf)),
            (b"GET / HTTP/1.1\r\n\n", Err(HttpError::BareLf)),
            (b"GET / HTTP/1.1\rHost: a\r\n", Err(HttpError::BareCr)),
            (b"GET / HTTP/1.1\r\r\n", Err(HttpError::BareCr)),
            (b"GET /\0 HTTP/1.1\r\n", Err(HttpError::ControlByte)),
            (b"\x16\x03\x01\x02\x00", Err(HttpError::ControlByte)), // a TLS client on a plain port
        ];
        for (bytes, expected) in table {
            assert_eq!(whole(bytes, &HeadLimits::default()), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn limits_answer_as_soon_as_they_are_reached() {
        let line = |target: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(target));
        let head = |value: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(value));
        assert_eq!(whole(line(32).as_bytes(), &SMALL), Ok(None)); // 48 bytes: 16 + 32
        assert_eq!(whole(line(33).as_bytes(), &SMALL), Err(HttpError::TargetTooLong));
        assert_eq!(whole(&[b'x'; 47], &SMALL), Ok(None));
        assert_eq!(whole(&[b'x'; 48], &SMALL), Err(HttpError::TargetTooLong));
        assert_eq!(whole(head(73).as_bytes(), &SMALL), Ok(Some(96)));
        assert_eq!(whole(head(74).as_bytes(), &SMALL), Err(HttpError::HeadTooLarge));
        assert_eq!(whole(&head(73).as_bytes()[..95], &SMALL), Ok(None));
        let tiny = HeadLimits { head_bytes_max: 8, ..SMALL };
        assert_eq!(whole(b"GET / HT", &tiny), Err(HttpError::HeadTooLarge));
        let none = HeadLimits { head_bytes_max: 0, ..SMALL };
        assert_eq!(whole(b"", &none), Err(HttpError::HeadTooLarge));
        let endless = HeadLimits {
            head_bytes_max: usize::MAX,
            target_bytes_max: usize::MAX,
            headers_max: usize::MAX,
        };
        assert_eq!(whole(&[b'x'; 100_000], &endless), Ok(None));
    }

    #[test]
    fn a_buffer_that_shrank_is_no_panic() {
        let mut scan = HeadScan::new();
        assert_eq!(scan.scan(b"GET / HTTP/1.1\r\n", &SMALL), Ok(None));
        assert_eq!(scan.scan(b"GET", &SMALL), Ok(None));
    }

    #[test]
    fn text_length_agrees_with_a_plain_loop() {
        for byte in 0..=255u8 {
            for at in 0..20 {
                let mut bytes = [0xff; 20];
                bytes[at] = byte;
                let expected = bytes.iter().position(|&byte| byte < 0x20).unwrap_or(20);
                assert_eq!(text_length(&bytes), expected, "{byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_result(
            bytes in proptest::collection::vec(
                prop_oneof![
                    8 => Just(&b"x"[..]), 2 => Just(&b"\r\n"[..]), 1 => Just(&b"\r\n\r\n"[..]),
                    1 => Just(&b"0123456789"[..]), 1 => Just(&b"\t"[..]),
                    1 => prop_oneof![Just(&b"\n"[..]), Just(&b"\r"[..]), Just(&b"\0"[..])],
                ],
                0..60,
            ).prop_map(|parts| parts.concat()),
            cuts in proptest::collection::vec(0usize..12, 0..30),
        ) {
            let expected = whole(&bytes, &SMALL);
            prop_assert_eq!(in_cuts(&bytes, &cuts, &SMALL), expected);
            prop_assert_eq!(in_cuts(&bytes, &vec![1; bytes.len()], &SMALL), expected);
        }
    }
}
