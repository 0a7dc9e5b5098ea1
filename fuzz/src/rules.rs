//! A second opinion on the opening handshake: the rules that an accepted head must obey, read from
//! its bytes with nothing but splitting.
//!
//! Owns the checks. Never parses what was refused: refusing too much is for the tests to find.

use throng::handshake::Offer;
use throng::http::{Body, HEADERS_MAX, HeadLimits, HttpError, Request};

/// Where the head ends, a byte at a time: what `HeadScan` says, whatever the cuts.
pub fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HttpError> {
    let (mut line, mut line_start, mut after_cr) = (0, 0, false);
    for at in 0..=bytes.len() {
        let line_max = line_start + limits.target_bytes_max + 32;
        if line == 0 && line_max < limits.head_bytes_max && at >= line_max {
            return Err(HttpError::TargetTooLong);
        }
        if at >= limits.head_bytes_max {
            return Err(HttpError::HeadTooLarge);
        }
        let Some(&byte) = bytes.get(at) else { break };
        match byte {
            b'\n' if after_cr && at == 1 => line_start = 2, // one empty line may come before
            b'\n' if after_cr && at == line_start + 1 => {
                return if line == 0 { Err(HttpError::RequestLine) } else { Ok(Some(at + 1)) };
            }
            b'\n' if after_cr => (line, line_start) = (line + 1, at + 1),
            _ if after_cr => return Err(HttpError::BareCr),
            b'\n' => return Err(HttpError::BareLf),
            b'\r' | b'\t' | 0x20.. => {}
            _ => return Err(HttpError::ControlByte),
        }
        after_cr = byte == b'\r';
    }
    Ok(None)
}

/// A head taken apart by its line ends.
pub struct Lines<'a> {
    words: Vec<&'a [u8]>,
    fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Lines<'a> {
    /// Checks that `head` has the form that every accepted head has.
    pub fn of(head: &'a [u8]) -> Self {
        for (at, byte) in head.iter().enumerate() {
            match byte {
                b'\r' => assert_eq!(head.get(at + 1), Some(&b'\n'), "bare CR"),
                b'\n' => assert!(at > 0 && head[at - 1] == b'\r', "bare LF"),
                b'\t' | 0x20..=0x7E | 0x80..=0xFF => {}
                _ => panic!("control byte {byte:#x}"),
            }
        }
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let mut lines = Vec::new();
        let mut rest = head;
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            lines.push(&rest[..end]);
            rest = &rest[end + 2..];
        }
        assert!(rest.is_empty(), "bytes behind the head");
        assert_eq!(lines.pop(), Some(&b""[..]), "the last line is empty");
        let words = lines[0].split(|byte| *byte == b' ').collect();
        let fields = lines[1..].iter().map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
            assert!(is_token(&line[..colon]), "name {:?}", line.escape_ascii());
            (&line[..colon], trim(&line[colon + 1..]))
        });
        Self { fields: fields.collect(), words }
    }

    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.fields.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect()
    }

    fn elements(&self, name: &str) -> Vec<&'a [u8]> {
        let values = self.all(name).into_iter();
        let elements = values.flat_map(|value| value.split(|byte| *byte == b',')).map(trim);
        elements.filter(|element| !element.is_empty()).collect()
    }

    fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).iter().any(|it| it.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// The request says what its bytes say, and they break no rule.
    pub fn check_request(&self, request: &Request<'_>, limits: &HeadLimits) {
        let [method, target, version] = self.words[..] else { panic!("not three words") };
        assert!(is_token(method) && method == request.method().as_bytes());
        let minor = match version {
            b"HTTP/1.0" => 0,
            b"HTTP/1.1" => 1,
            _ => panic!("version {}", version.escape_ascii()),
        };
        assert_eq!((request.version_minor(), request.is_http_11()), (minor, minor == 1));
        assert!(target.len() <= limits.target_bytes_max);
        assert!(target.iter().all(|byte| (0x21..0x7F).contains(byte) && *byte != b'#'));
        let path = request.path();
        assert!(path.starts_with('/') && !path.contains('?') || path == "*");
        let tail = request.query().map_or_else(String::new, |query| format!("?{query}"));
        let origin = target.len() - (path.len() + tail.len()).min(target.len());
        if origin == 0 {
            assert_eq!(format!("{path}{tail}").as_bytes(), target);
        }
        assert!(self.fields.len() <= limits.headers_max.min(HEADERS_MAX));
        let seen = request.all_headers().iter();
        assert!(seen.map(|(name, value)| (name.as_bytes(), value)).eq(self.fields.iter().copied()));
        self.check_host(request, target.first() == Some(&b'/'));
        self.check_body(request);
        let close = self.lists("connection", "close");
        let keep = minor == 1 || self.lists("connection", "keep-alive");
        assert_eq!(request.keep_alive(), keep && !close);
    }

    /// RFC 9112 section 3.2: one Host, and a plain one.
    fn check_host(&self, request: &Request<'_>, is_origin_form: bool) {
        let hosts = self.all("host");
        assert!(hosts.len() <= 1 && (!hosts.is_empty() || !request.is_http_11()));
        if is_origin_form {
            assert_eq!(request.host().map(str::as_bytes), hosts.first().copied());
        }
        for host in hosts.into_iter().chain(request.host().map(str::as_bytes)) {
            assert!(!host.is_empty() && host[0] != b':');
            assert!(host.iter().all(u8::is_ascii_graphic));
            assert!(!host.iter().any(|byte| b",/\\@?#;\"'<>".contains(byte)));
        }
    }

    /// RFC 9112 section 6.3: no doubt about where the request ends.
    fn check_body(&self, request: &Request<'_>) {
        let (lengths, codings) = (self.all("content-length"), self.elements("transfer-encoding"));
        let chunked = !self.all("transfer-encoding").is_empty();
        assert!(lengths.len() <= 1 && (!chunked || lengths.is_empty()));
        let body = match lengths.first() {
            Some(digits) => {
                assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
                let sum = digits.iter().fold(0_u128, |sum, digit| {
                    sum.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
                });
                Body::Length(u64::try_from(sum).expect("a length that fits"))
            }
            None if chunked => {
                assert!(request.is_http_11() && codings.len() == 1);
                assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
                Body::Chunked
            }
            None => Body::None,
        };
        assert_eq!(request.body(), body);
    }

    /// RFC 6455 section 4.2.1, item by item.
    pub fn check_offer(&self, request: &Request<'_>, offer: &Offer<'_>) {
        assert_eq!(self.words[0], b"GET");
        assert_eq!(self.words[2], b"HTTP/1.1");
        assert_eq!(self.all("host").len(), 1);
        assert!(self.lists("upgrade", "websocket"));
        assert!(self.lists("connection", "upgrade"));
        assert_eq!(self.all("sec-websocket-version"), [b"13"]);
        let keys = self.all("sec-websocket-key");
        assert_eq!(keys, [offer.key().as_bytes()]);
        let (last, rest) = (keys[0][21], &keys[0][..21]);
        assert!(b"AQgw".contains(&last) && keys[0].ends_with(b"=="));
        assert!(rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)));
        assert!(matches!(request.body(), Body::None | Body::Length(0)));
        let origins = self.all("origin");
        assert!(origins.len() <= 1 && origins.iter().all(|origin| origin.is_ascii()));
        assert_eq!(offer.origin().map(str::as_bytes), origins.first().copied());
        let subprotocols = self.elements("sec-websocket-protocol");
        assert!(subprotocols.iter().copied().eq(offer.subprotocols().map(str::as_bytes)));
        for (at, one) in subprotocols.iter().enumerate() {
            assert!(is_token(one) && !subprotocols[..at].contains(one));
        }
        self.check_extensions(offer);
    }

    /// Nothing in an extension can hold a comma or a semicolon, so counting these is enough.
    fn check_extensions(&self, offer: &Offer<'_>) {
        let elements = self.elements("sec-websocket-extensions");
        let mut count = 0;
        for (extension, element) in offer.extensions().zip(&elements) {
            let mut parts = element.split(|byte| *byte == b';').map(trim);
            assert_eq!(parts.next(), Some(extension.name().as_bytes()));
            assert!(is_token(extension.name().as_bytes()));
            for (param, part) in extension.params().zip(parts.by_ref()) {
                assert!(is_token(param.name.as_bytes()));
                assert!(part.starts_with(param.name.as_bytes()));
                assert_eq!(part.contains(&b'='), param.value.is_some());
                assert!(param.value.is_none_or(|value| is_token(value.as_bytes())));
            }
            assert_eq!(extension.params().count(), element.split(|byte| *byte == b';').count() - 1);
            count += 1;
        }
        assert_eq!((count, offer.extensions().count()), (elements.len(), elements.len()));
        let named = !self.all("sec-websocket-extensions").is_empty();
        assert!(!named || count > 0, "an empty list of extensions");
    }
}

/// RFC 9110 section 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    let separators = b"\"(),/:;<=>?@[\\]{}";
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_graphic() && !separators.contains(b))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte != b' ' && *byte != b'\t';
    let Some(start) = bytes.iter().position(is_text) else { return &[] };
    let end = bytes.iter().rposition(is_text).unwrap_or(start);
    &bytes[start..=end]
}
