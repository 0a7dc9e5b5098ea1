//! The PROXY protocol, versions 1 and 2: who a connection is from, said by the proxy in front.
//!
//! Owns the reading of one header, sans-I/O: HAProxy's `proxy-protocol.txt` gives the sections.
//! Never guesses: a connection that should begin with a header and does not is an error, at its
//! first wrong byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, in bytes, with its CRLF (section 2.1).
pub const V1_BYTES_MAX: usize = 107;

/// The most that follows the first 16 bytes of a header of version 2, in bytes: addresses, and
/// what the proxy says besides. The specification asks for 520 and more.
pub const V2_BLOCK_BYTES_MAX: usize = 4 << 10;

/// What a header of version 1 begins with.
const V1_START: &[u8] = b"PROXY ";

/// What a header of version 2 begins with: no other protocol does (section 2.2).
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The start of version 2, then version and command, family and transport, and two bytes of length.
const V2_FIXED_BYTES: usize = 16;

/// A whole header.
///
/// ```
/// use throng::net::ProxyHeader;
///
/// let received = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
/// let header = ProxyHeader::decode(received)?.expect("the header is whole");
/// assert_eq!(header.len, 45);
/// assert_eq!(header.source, Some("192.0.2.7:56324".parse().unwrap()));
/// assert_eq!(ProxyHeader::decode(&received[..20])?, None);
/// assert!(ProxyHeader::decode(b"GET / HTTP/1.1\r\n").is_err());
/// # Ok::<(), throng::net::ProxyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Who the connection is from. `None` where the proxy does not know, speaks for itself (LOCAL),
    /// or names no IP address: then it is from whom TCP says.
    pub source: Option<SocketAddr>,
    /// How many bytes the header is long. What follows is the client's.
    pub len: usize,
}

/// What is wrong with the start of a connection. There is no answer to it: who sent it does not
/// speak the protocol that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("the connection does not begin with a PROXY header")]
    Start,
    #[error("the line of the PROXY header is malformed")]
    Line,
    #[error("the version or command of the PROXY header is unknown")]
    Command,
    #[error("the address family of the PROXY header is unknown")]
    Family,
    #[error("the PROXY header is too long, or too short for its addresses")]
    Length,
}

impl ProxyHeader {
    /// Reads the header at the front of `bytes`, which holds everything received so far; `None`
    /// while it is incomplete. The result does not depend on how the bytes were cut.
    ///
    /// # Errors
    /// The first fault found; more bytes do not mend it.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, ProxyError> {
        if begins(bytes, V1_START) {
            decode_line(bytes)
        } else if begins(bytes, V2_START) {
            decode_binary(bytes)
        } else {
            Err(ProxyError::Start)
        }
    }
}

/// Whether `bytes` begins with `start`, as far as it goes.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes[..len] == start[..len]
}

/// Section 2.1: one line of text.
fn decode_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if window.len() < V1_BYTES_MAX { Ok(None) } else { Err(ProxyError::Length) };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(ProxyError::Line)?;
    let line = str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    let source = source_of_line(line).ok_or(ProxyError::Line)?;
    Ok(Some(ProxyHeader { source, len: end + 1 }))
}

/// `PROXY TCP4 source destination port port`, each a blank apart; what follows UNKNOWN is ignored.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let [source, destination, source_port, destination_port] = [(); 4].map(|()| words.next());
    if words.next().is_some() {
        return None;
    }
    let address = |word: Option<&str>| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(word?.parse::<Ipv4Addr>().ok()?.into()),
            "TCP6" => Some(word?.parse::<Ipv6Addr>().ok()?.into()),
            _ => None,
        }
    };
    let (source, _) = (address(source)?, address(destination)?);
    let (port, _) = (port(source_port?)?, port(destination_port?)?);
    Some(Some(SocketAddr::new(source, port)))
}

/// 0 to 65535 in decimal, without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = word.len() > 1 && word.starts_with('0');
    if is_plain && !has_zeros { word.parse().ok() } else { None }
}

/// Section 2.2: 16 bytes, then addresses, then TLVs, which are skipped.
fn decode_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let is_local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(ProxyError::Command),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    // A family that LOCAL comes with is ignored; others than these are not to be taken.
    let addresses_len = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(ProxyError::Family),
    };
    let Some(&[high, low]) = bytes.get(14..16) else { return Ok(None) };
    let block_len = usize::from(u16::from_be_bytes([high, low]));
    if block_len < addresses_len || block_len > V2_BLOCK_BYTES_MAX {
        return Err(ProxyError::Length);
    }
    let len = V2_FIXED_BYTES + block_len;
    let Some(block) = bytes.get(V2_FIXED_BYTES..len) else { return Ok(None) };
    let source = if is_local { None } else { source_of_block(family, block) };
    Ok(Some(ProxyHeader { source, len }))
}

/// Source and destination, then their ports. Unix addresses are paths, which say nothing here.
fn source_of_block(family: u8, block: &[u8]) -> Option<SocketAddr> {
    let (ip, port): (IpAddr, _) = match family {
        0x11 | 0x12 => (Ipv4Addr::from(*block.first_chunk::<4>()?).into(), block.get(8..10)?),
        0x21 | 0x22 => (Ipv6Addr::from(*block.first_chunk::<16>()?).into(), block.get(32..34)?),
        _ => return None,
    };
    let port = u16::from_be_bytes(*port.first_chunk()?);
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
