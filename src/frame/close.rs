//! The close code (RFC 6455 section 7.4).
//!
//! Owns which codes may go over the wire. Never decides when to close.

use std::fmt;

/// A close code that may stand in a Close frame.
///
/// 1005, 1006 and 1015 never do (RFC 6455 section 7.4.1), so they are not values of this type:
/// "no code" is `None`, and a lost connection is not a close code.
///
/// ```
/// use throng::frame::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(1006), None);
/// assert_eq!(CloseCode::new(4321).map(CloseCode::get), Some(4321));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server is going down, or a browser has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that is not taken here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// A message's payload was not what its type says, as bytes that are not UTF-8 in a text.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of the application.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// The message is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// An extension that the client needs was not negotiated.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// The server met a condition that it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got a bad answer from behind it (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code, where it may stand in a Close frame: the ones that the RFC and the IANA registry
    /// define, 3000 to 3999 for libraries, 4000 to 4999 for private use (RFC 6455 section 7.4.2).
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The code as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn the_table_of_section_7_4() {
        let refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
        for code in refused {
            assert_eq!(CloseCode::new(code), None, "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
        }
    }
}
