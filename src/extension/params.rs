//! The four parameters of permessage-deflate (RFC 7692 section 7.1), and the server's choice.
//!
//! Owns their grammar and what an offer is answered with. Never fails a handshake: an offer that is
//! no good is passed over, as RFC 7692 section 7 wants.

use super::{Config, Mode, NAME};
use std::fmt::Write;

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The smallest window that the RFC has and zlib cannot deflate with, in bits.
pub(super) const WINDOW_BITS_IMPOSSIBLE: u8 = 8;
/// The window of a side whose bits nobody named.
pub(super) const WINDOW_BITS_UNNAMED: u8 = 15;

/// What both ends agreed on.
///
/// ```
/// use throng::extension::{Config, Mode, negotiate};
///
/// let offer = [("client_max_window_bits", None), ("server_max_window_bits", Some("10"))];
/// let params = negotiate([offer], &Config::new(Mode::Dedicated)).unwrap();
/// assert_eq!(params.server_max_window_bits(), 10);
///
/// let mut header = String::new();
/// params.write_answer(&mut header);
/// assert_eq!(header, "permessage-deflate; server_max_window_bits=10");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_window: Window,
    pub(super) client_window: Window,
}

const _: () = assert!(size_of::<Params>() == 4);

/// Window bits, and whether the answer names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window(u8);

impl Window {
    const NAMED: u8 = 0x80;

    pub(super) const fn named(bits: u8) -> Self {
        Self(bits | Self::NAMED)
    }

    pub(super) const fn unnamed(bits: u8) -> Self {
        Self(bits)
    }

    const fn bits(self) -> u8 {
        self.0 & !Self::NAMED
    }

    const fn is_named(self) -> bool {
        self.0 & Self::NAMED != 0
    }
}

impl Params {
    /// The server starts every message with an empty window (RFC 7692 section 7.1.1.1).
    pub const fn server_no_context_takeover(self) -> bool {
        self.server_no_context_takeover
    }

    /// The client starts every message with an empty window (RFC 7692 section 7.1.1.2).
    pub const fn client_no_context_takeover(self) -> bool {
        self.client_no_context_takeover
    }

    /// The server deflates with a window of at most 2^this bytes (RFC 7692 section 7.1.2.1). At the
    /// server 9 to 15, the configured window included; at the client 8 to 15.
    pub const fn server_max_window_bits(self) -> u8 {
        self.server_window.bits()
    }

    /// The client deflates with a window of at most 2^this bytes (RFC 7692 section 7.1.2.2): 9 to
    /// 15, at the client the configured window included.
    pub const fn client_max_window_bits(self) -> u8 {
        self.client_window.bits()
    }

    /// Appends the server's answer, the value of a Sec-WebSocket-Extensions header.
    pub fn write_answer(self, out: &mut String) {
        out.push_str(NAME);
        write_flag(out, SERVER_NO_CONTEXT_TAKEOVER, self.server_no_context_takeover);
        write_flag(out, CLIENT_NO_CONTEXT_TAKEOVER, self.client_no_context_takeover);
        write_window(out, SERVER_MAX_WINDOW_BITS, self.server_window);
        write_window(out, CLIENT_MAX_WINDOW_BITS, self.client_window);
    }

    /// What the server makes of one offer; nothing, if it cannot keep it.
    fn for_offer(asked: Elements, config: &Config) -> Option<Self> {
        let shared = config.mode == Mode::Shared;
        let server_window = match asked.server_window {
            // Section 7.1.2.1: accepted by naming the same window or a smaller one.
            Some(WINDOW_BITS_IMPOSSIBLE) => return None,
            Some(bits) => Window::named(bits.min(config.server_window())),
            None => Window::unnamed(config.server_window()),
        };
        // Section 7.1.2.2: named only if the offer did, and not above what the offer promises.
        // Only 8 could answer an 8, which binds a client to what zlib cannot do. Left unnamed, its
        // window may be anything, and we inflate with 2^15 as ever.
        let client_window = match asked.client_window {
            None | Some(Some(WINDOW_BITS_IMPOSSIBLE)) => Window::unnamed(WINDOW_BITS_UNNAMED),
            Some(promised) => {
                let bits = promised.unwrap_or(WINDOW_BITS_UNNAMED).min(config.client_window());
                if bits < WINDOW_BITS_UNNAMED { Window::named(bits) } else { Window::unnamed(bits) }
            }
        };
        Some(Self {
            // Sections 7.1.1.1 and 7.1.1.2: either may be answered without having been asked.
            server_no_context_takeover: asked.server_no_context_takeover || shared,
            client_no_context_takeover: asked.client_no_context_takeover || shared,
            server_window,
            client_window,
        })
    }
}

/// The server's choice among the offers of permessage-deflate, given in the client's order.
///
/// Each item is one offer's list of parameters, values unquoted. An offer with an unknown, repeated
/// or invalid parameter, or one that cannot be kept, is passed over (RFC 7692 section 7). `None`
/// means that nothing is agreed: the handshake goes on without compression.
pub fn negotiate<O, P, N, V>(offers: O, config: &Config) -> Option<Params>
where
    O: IntoIterator<Item = P>,
    P: IntoIterator<Item = (N, Option<V>)>,
    N: AsRef<str>,
    V: AsRef<str>,
{
    if config.mode == Mode::Off {
        return None;
    }
    let mut offers = offers.into_iter();
    offers.find_map(|offer| Params::for_offer(Elements::parse(offer).ok()?, config))
}

/// The parameters of one offer or answer, each valid by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Elements {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_window: Option<u8>,
    /// Inside: an offer may leave the value out.
    pub(super) client_window: Option<Option<u8>>,
}

/// What is wrong with a list of parameters, whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    Repeated,
    Invalid,
}

impl Elements {
    pub(super) fn parse<P, N, V>(params: P) -> Result<Self, Fault>
    where
        P: IntoIterator<Item = (N, Option<V>)>,
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut elements = Self::default();
        for (name, value) in params {
            elements.take(name.as_ref(), value.as_ref().map(V::as_ref))?;
        }
        Ok(elements)
    }

    fn take(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        let repeated = match name {
            SERVER_NO_CONTEXT_TAKEOVER => {
                check_flag(value)?;
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            CLIENT_NO_CONTEXT_TAKEOVER => {
                check_flag(value)?;
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            SERVER_MAX_WINDOW_BITS => {
                let bits = window_bits(value.ok_or(Fault::Invalid)?)?;
                self.server_window.replace(bits).is_some()
            }
            CLIENT_MAX_WINDOW_BITS => {
                let bits = value.map(window_bits).transpose()?;
                self.client_window.replace(bits).is_some()
            }
            _ => return Err(Fault::Unknown),
        };
        if repeated { Err(Fault::Repeated) } else { Ok(()) }
    }
}

fn check_flag(value: Option<&str>) -> Result<(), Fault> {
    if value.is_none() { Ok(()) } else { Err(Fault::Invalid) }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Result<u8, Fault> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + (digit - b'0')),
        _ => Err(Fault::Invalid),
    }
}

fn write_flag(out: &mut String, name: &str, set: bool) {
    if set {
        out.extend(["; ", name]);
    }
}

fn write_window(out: &mut String, name: &str, window: Window) {
    if window.is_named() {
        // Writing to a String does not fail.
        let _ = write!(out, "; {name}={}", window.bits());
    }
}

/// Appends what a client offers.
pub(super) fn write_offer(config: &Config, out: &mut String) {
    let shared = config.mode == Mode::Shared;
    out.push_str(NAME);
    write_flag(out, SERVER_NO_CONTEXT_TAKEOVER, shared);
    write_flag(out, CLIENT_NO_CONTEXT_TAKEOVER, shared);
    if config.server_window() < WINDOW_BITS_UNNAMED {
        write_window(out, SERVER_MAX_WINDOW_BITS, Window::named(config.server_window()));
    }
    if config.client_window() < WINDOW_BITS_UNNAMED {
        write_window(out, CLIENT_MAX_WINDOW_BITS, Window::named(config.client_window()));
    } else {
        write_flag(out, CLIENT_MAX_WINDOW_BITS, true);
    }
}
