//! The grammar of Sec-WebSocket-Extensions (RFC 6455, section 9.1).
//!
//! Owns how an offer is spelled. Never knows an extension: what the parameters of
//! permessage-deflate mean is the extension's business.
//!
//! Several lines are as good as one joined by commas, and no element can span two lines, so each
//! line is read alone.

use crate::http::fields::{is_token, is_token_byte};
use std::borrow::Cow;

/// One extension that a client offers. The same name may come several times, in order of
/// preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionOffer<'a> {
    name: &'a str,
    /// From the first `;` on; the grammar was checked.
    params: &'a [u8],
}

/// One parameter of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// A token.
    pub name: &'a str,
    /// A token too; unquoted. Borrowed unless a backslash had to go.
    pub value: Option<Cow<'a, str>>,
}

/// The header breaks its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> ExtensionOffer<'a> {
    /// The extension token.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The parameters in order. Repeated names are not an error of the grammar.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut line = Line(self.params);
        std::iter::from_fn(move || line.next_param().ok().flatten())
    }
}

/// The extensions of one header line; ends after the first error.
pub(super) fn offers(value: &[u8]) -> impl Iterator<Item = Result<ExtensionOffer<'_>, Malformed>> {
    let mut line = Line(value);
    std::iter::from_fn(move || {
        let offer = line.next_offer();
        if offer.is_err() {
            line.0 = &[];
        }
        offer.transpose()
    })
}

/// What is left of a line.
struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    fn next_offer(&mut self) -> Result<Option<ExtensionOffer<'a>>, Malformed> {
        while self.take(b',') {} // empty elements are none (RFC 9110, section 5.6.1)
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.token()?;
        let from_params = self.0;
        while self.next_param()?.is_some() {}
        let params = &from_params[..from_params.len() - self.0.len()];
        if self.0.is_empty() || self.take(b',') {
            Ok(Some(ExtensionOffer { name, params }))
        } else {
            Err(Malformed)
        }
    }

    fn next_param(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        if !self.take(b';') {
            return Ok(None);
        }
        let name = self.token()?;
        let value = if !self.take(b'=') {
            None
        } else if let [b'"', rest @ ..] = self.0 {
            self.0 = rest; // blanks behind the quote are part of the text
            Some(self.rest_of_quoted()?)
        } else {
            Some(Cow::Borrowed(self.token()?))
        };
        Ok(Some(Param { name, value }))
    }

    /// Takes this separator and the blanks around it.
    fn take(&mut self, separator: u8) -> bool {
        self.skip_blanks();
        match self.0 {
            [first, rest @ ..] if *first == separator => {
                self.0 = rest;
                self.skip_blanks();
                true
            }
            _ => false,
        }
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let length = self.0.iter().position(|&byte| !is_token_byte(byte));
        let (token, rest) = self.0.split_at(length.unwrap_or(self.0.len()));
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { str::from_utf8(token).map_err(|_| Malformed) }
    }

    /// The text up to the closing quote, which MUST be a token once unquoted (RFC 6455, section
    /// 9.1). So it cannot hold a quote or a backslash of its own, nor blanks or separators.
    fn rest_of_quoted(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let end = self.0.iter().position(|&byte| byte == b'"').ok_or(Malformed)?;
        let (quoted, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        let text = str::from_utf8(quoted).map_err(|_| Malformed)?;
        let value = if text.contains('\\') { Cow::Owned(unescape(text)?) } else { text.into() };
        if is_token(value.as_bytes()) { Ok(value) } else { Err(Malformed) }
    }
}

/// Resolves the pairs of a quoted string: `\x` is `x` (RFC 9110, section 5.6.4).
fn unescape(text: &str) -> Result<String, Malformed> {
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        unescaped.push(if char == '\\' { chars.next().ok_or(Malformed)? } else { char });
    }
    Ok(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes what was understood in one fixed form.
    fn normal(value: &[u8]) -> Result<String, Malformed> {
        let mut text = String::new();
        for offer in offers(value) {
            let offer = offer?;
            text += offer.name();
            for param in offer.params() {
                text = text + ";" + param.name;
                text += &param.value.map(|value| format!("={value}")).unwrap_or_default();
            }
            text += ",";
        }
        Ok(text)
    }

    #[test]
    fn rfc6455_9_1_grammar() {
        let table: [(&str, Result<&str, Malformed>); 30] = [
            ("", Ok("")),
            (" , ,", Ok("")),
            ("permessage-deflate", Ok("permessage-deflate,")),
            ("a,b", Ok("a,b,")),
            (" a ,\t, b ", Ok("a,b,")),
            ("a;x", Ok("a;x,")),
            ("a ; x = 1 ; y\t=\t\"2\" , b", Ok("a;x=1;y=2,b,")),
            ("a;x=1,a;x=2;x=3,a", Ok("a;x=1,a;x=2;x=3,a,")),
            (r#"a;x="1\0""#, Ok("a;x=10,")),
            (r#"a;x="\1""#, Ok("a;x=1,")),
            ("a b", Err(Malformed)),
            ("a;", Err(Malformed)),
            ("a;;x", Err(Malformed)),
            (";x", Err(Malformed)),
            ("a;x=", Err(Malformed)),
            ("a;=1", Err(Malformed)),
            ("a=1", Err(Malformed)),
            ("a;x=1=2", Err(Malformed)),
            ("a;x 1", Err(Malformed)),
            ("a;x=1 2", Err(Malformed)),
            (r#"a;x="""#, Err(Malformed)),
            (r#"a;x="1"#, Err(Malformed)),
            (r#"a;x="1 2""#, Err(Malformed)),
            (r#"a;x=" 1""#, Err(Malformed)),
            (r#"a;x="1 ""#, Err(Malformed)),
            (r#"a;x="1,2""#, Err(Malformed)),
            (r#"a;x="1\""#, Err(Malformed)),
            (r#"a;x="\"""#, Err(Malformed)),
            (r#""a""#, Err(Malformed)),
            ("a;x=\u{e9}", Err(Malformed)),
        ];
        for (value, expected) in table {
            assert_eq!(normal(value.as_bytes()).as_deref(), expected.as_deref(), "{value}");
        }
        assert_eq!(normal(b"a;x=\"\xff\""), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_understood_is_understood_again(value in "[ab\\\\;,=\" \t1\u{e9}]{0,24}") {
            if let Ok(text) = normal(value.as_bytes()) {
                prop_assert_eq!(normal(text.as_bytes()), Ok(text));
            }
        }
    }
}
