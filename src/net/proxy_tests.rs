//! PROXY headers: whole ones, broken ones, and any of them cut anywhere.

use super::*;

/// A header of version 2: version and command, family and transport, and what follows.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = V2_START.to_vec();
    bytes.extend([command, family]);
    bytes.extend((block.len() as u16).to_be_bytes());
    bytes.extend(block);
    bytes
}

fn v4_block() -> Vec<u8> {
    vec![192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb]
}

fn v6_block() -> Vec<u8> {
    let mut block = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets().to_vec();
    block.extend(Ipv6Addr::LOCALHOST.octets());
    block.extend([0x00, 0x50, 0x01, 0xbb]);
    block
}

/// A TLV: its type, its length, its value.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = (value.len() as u16).to_be_bytes();
    [&[kind], &len[..], value].concat()
}

fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let crc = tlv(0x03, &[0xde, 0xad, 0xbe, 0xef]); // wrong, and not looked at
    let large = tlv(0x02, &vec![b'x'; V2_BLOCK_BYTES_MAX - 12 - 3]);
    vec![
        (line("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"), Some("192.0.2.7:56324")),
        (line("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"), Some("255.255.255.255:65535")),
        (line("PROXY TCP6 2001:db8::7 ::1 80 443\r\n"), Some("[2001:db8::7]:80")),
        (line("PROXY UNKNOWN\r\n"), None),
        (line("PROXY UNKNOWN ffff::1 anything at all\r\n"), None),
        (v2(0x21, 0x11, &v4_block()), Some("192.0.2.7:56324")),
        (v2(0x21, 0x12, &v4_block()), Some("192.0.2.7:56324")),
        (v2(0x21, 0x21, &v6_block()), Some("[2001:db8::7]:80")),
        (v2(0x21, 0x22, &v6_block()), Some("[2001:db8::7]:80")),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x21, 0x32, &[b'/'; 216]), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x00, b"some bytes"), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &v4_block()), None),
        (v2(0x20, 0x77, b"LOCAL: the family is ignored"), None),
        (v2(0x21, 0x11, &[v4_block(), crc].concat()), Some("192.0.2.7:56324")),
        (v2(0x21, 0x11, &[v4_block(), large].concat()), Some("192.0.2.7:56324")),
    ]
}

fn bad() -> Vec<(Vec<u8>, ProxyError)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let mut too_long = v2(0x21, 0x11, &v4_block());
    too_long[14..16].copy_from_slice(&(V2_BLOCK_BYTES_MAX as u16 + 1).to_be_bytes());
    let mut lines: Vec<_> = [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1  2\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.02.7 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 2001:db8::7 1 2\r\n",
        "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN\t\r\n",
    ]
    .map(|text| (line(text), ProxyError::Line))
    .into();
    lines.push((b"PROXY UNKNOWN \xff\xfe\r\n".to_vec(), ProxyError::Line));
    lines.push((line(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92))), ProxyError::Length));
    lines.extend([
        (line("GET / HTTP/1.1\r\n\r\n"), ProxyError::Start),
        (line("PROXYTCP4"), ProxyError::Start),
        (line("\r\n\r\n"), ProxyError::Start),
        (line("\r\n\r\n\0\r\nQUIT\r"), ProxyError::Start),
        (line(" PROXY UNKNOWN\r\n"), ProxyError::Start),
        (v2(0x11, 0x11, &v4_block()), ProxyError::Command),
        (v2(0x22, 0x11, &v4_block()), ProxyError::Command),
        (v2(0x21, 0x10, &v4_block()), ProxyError::Family),
        (v2(0x21, 0x01, &v4_block()), ProxyError::Family),
        (v2(0x21, 0x41, &v4_block()), ProxyError::Family),
        (v2(0x21, 0x13, &v4_block()), ProxyError::Family),
        (v2(0x21, 0x11, &v4_block()[..11]), ProxyError::Length),
        (v2(0x21, 0x21, &v4_block()), ProxyError::Length),
        (v2(0x21, 0x31, &v6_block()), ProxyError::Length),
        (too_long, ProxyError::Length),
    ]);
    lines
}

#[test]
fn whole_headers_name_their_source() {
    for (bytes, source) in good() {
        let header = ProxyHeader::decode(&bytes).unwrap().unwrap();
        assert_eq!(header.len, bytes.len(), "{bytes:?}");
        assert_eq!(header.source, source.map(|source| source.parse().unwrap()), "{bytes:?}");
        let glued = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(ProxyHeader::decode(&glued), Ok(Some(header)), "{bytes:?}");
    }
}

#[test]
fn broken_headers_are_refused() {
    for (bytes, error) in bad() {
        let decoded = ProxyHeader::decode(&bytes);
        if bytes == b"\r\n\r\n" {
            assert_eq!(decoded, Ok(None)); // version 2 begins like this
        } else {
            assert_eq!(decoded, Err(error), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// The longest line that the specification allows is taken, one byte more is not waited for.
#[test]
fn a_line_ends_within_107_bytes() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), V1_BYTES_MAX);
    assert!(matches!(ProxyHeader::decode(longest.as_bytes()), Ok(Some(_))));
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!(ProxyHeader::decode(&endless.as_bytes()[..106]), Ok(None));
    assert_eq!(ProxyHeader::decode(&endless.as_bytes()[..107]), Err(ProxyError::Length));
}

/// However a stream is cut, its first verdict is the one of the whole.
#[test]
fn cuts_change_nothing() {
    let whole = good().into_iter().map(|(bytes, _)| bytes);
    for mut bytes in whole.chain(bad().into_iter().map(|(bytes, _)| bytes)) {
        bytes.extend(b"GET / HTTP/1.1\r\n\r\n");
        let expected = ProxyHeader::decode(&bytes);
        let first = (0..=bytes.len()).map(|end| ProxyHeader::decode(&bytes[..end]));
        let first = first.into_iter().find(|judged| *judged != Ok(None));
        assert_eq!(first, Some(expected), "{:?}", String::from_utf8_lossy(&bytes));
    }
}
