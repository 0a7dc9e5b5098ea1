//! The header of the PROXY protocol: the same verdict however it is cut, one address for one
//! header, and never more waited for than a header can be long.
//!
//! The input: a byte that says how it is meant, then what arrives, or the parts of a header.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use throng::net::ProxyHeader;
use throng_fuzz::Plan;

/// The start of version 2, its four bytes, and the most that may follow.
const LEN_MAX: usize = 16 + 4096;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let kind = plan.byte();
    let received = match kind & 3 {
        0 => return written(plan, kind),
        1 => binary(plan),
        2 => [b"PROXY ", plan.rest()].concat(),
        _ => plan.rest().to_vec(),
    };
    let whole = ProxyHeader::decode(&received);
    // More bytes never take back what fewer have said.
    let mut verdict = Ok(None);
    for end in 0..=received.len().min(LEN_MAX + 1) {
        let judged = ProxyHeader::decode(&received[..end]);
        match verdict {
            Ok(None) => verdict = judged,
            said => assert_eq!(judged, said, "at {end}"),
        }
    }
    assert_eq!(verdict, whole);
    if let Ok(Some(header)) = whole {
        assert!(header.len <= received.len() && header.len <= LEN_MAX);
        assert_eq!(ProxyHeader::decode(&received[..header.len]), whole);
        assert_eq!(ProxyHeader::decode(&received[..header.len - 1]), Ok(None));
    }
    assert!(whole != Ok(None) || received.len() < LEN_MAX);
});

/// What follows the start of version 2, mostly with a length that fits.
fn binary(mut plan: Plan<'_>) -> Vec<u8> {
    let [command, family, high, low] = plan.bytes();
    let rest = plan.rest();
    let command = if command < 0x80 { 0x20 | (command & 1) } else { command };
    let len = if high & 0x80 == 0 { (rest.len() as u16).to_be_bytes() } else { [high & 0x7f, low] };
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len, rest].concat()
}

/// A header that a proxy writes says what the proxy meant.
fn written(mut plan: Plan<'_>, kind: u8) {
    let (source_port, port) = (u16::from_be_bytes(plan.bytes()), u16::from_be_bytes(plan.bytes()));
    let (source, destination): (IpAddr, IpAddr) = if kind & 4 == 0 {
        (plan.bytes::<4>().into(), plan.bytes::<4>().into())
    } else {
        (plan.bytes::<16>().into(), plan.bytes::<16>().into())
    };
    let (name, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
    let mut header = if kind & 8 == 0 {
        format!("PROXY {name} {source} {destination} {source_port} {port}\r\n").into_bytes()
    } else {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let ports = [source_port.to_be_bytes(), port.to_be_bytes()].concat();
        let tlvs = plan.take(4096 - 36);
        let block = [&octets(source), &octets(destination), &ports, tlvs].concat();
        let len = (block.len() as u16).to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, family], &len, &block].concat()
    };
    let len = header.len();
    header.extend(plan.rest());
    let source = Some(SocketAddr::new(source, source_port));
    assert_eq!(ProxyHeader::decode(&header), Ok(Some(ProxyHeader { source, len })));
}
