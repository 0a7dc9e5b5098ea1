//! The header lines of a received head.
//!
//! Owns their storage and the look-up by name. Never copies or interprets a value.

use std::mem::MaybeUninit;

/// The most header lines that a head can have, whatever
/// [`HeadLimits::headers_max`](super::HeadLimits::headers_max) says.
pub const HEADERS_MAX: usize = 128;

/// Room for the header lines of one head: 4 KiB of stack that nobody has to zero first.
pub struct HeaderSlots<'b>([MaybeUninit<httparse::Header<'b>>; HEADERS_MAX]);

impl<'b> HeaderSlots<'b> {
    /// Empty slots. They cost nothing, so make new ones for each head.
    #[inline]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; HEADERS_MAX])
    }

    pub(super) fn first(&mut self, count: usize) -> &mut [MaybeUninit<httparse::Header<'b>>] {
        &mut self.0[..count.min(HEADERS_MAX)]
    }
}

impl Default for HeaderSlots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The header lines of a head, in the order received. Values are bytes, trimmed of blanks around
/// them; they may hold bytes from 0x80 up (RFC 9110, section 5.5).
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    pub(super) const fn new(lines: &'a [httparse::Header<'a>]) -> Self {
        Self(lines)
    }

    /// The value of the first line of that name, compared without case.
    pub fn first(self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    }

    /// The values of all lines of that name, compared without case.
    pub fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| line.value)
    }

    /// The value where there is exactly one line of that name, `None` where there is none.
    ///
    /// # Errors
    ///
    /// There are several lines; the error holds nothing.
    pub fn only(self, name: &str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(value) }
    }

    /// Name and value of each line.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
        self.0.iter().map(|line| (line.name, line.value))
    }
}

/// A header that may be there once was there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;
