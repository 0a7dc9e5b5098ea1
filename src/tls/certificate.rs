//! The name in a certificate.
//!
//! Owns a walk over the one part of DER that leads to it (RFC 5280 section 4.1). Never judges a
//! certificate: that is done before anybody asks for its name.

/// The tags on the way (X.690).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version, which may be left out.
const CONTEXT_0: u8 = 0xa0;

/// Kinds of string that are UTF-8 as they stand: UTF8String, PrintableString, IA5String.
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The object identifier of a common name: 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The last common name of a certificate's subject, where it has one that is not empty.
///
/// ```
/// assert_eq!(throng::tls::subject_name(b"no certificate"), None);
/// ```
pub fn subject_name(certificate: &[u8]) -> Option<&str> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (body, _) = element(certificate, SEQUENCE)?;
    let mut rest = match element(body, CONTEXT_0) {
        Some((_, rest)) => rest,
        None => body,
    };
    for _ in ["serial number", "signature", "issuer", "validity"] {
        (_, _, rest) = any(rest)?;
    }
    let (mut names, _) = element(rest, SEQUENCE)?;
    let mut found = None;
    while let Some((mut set, after)) = element(names, SET) {
        while let Some((attribute, after)) = element(set, SEQUENCE) {
            found = common_name(attribute).or(found);
            set = after;
        }
        names = after;
    }
    found
}

fn common_name(attribute: &[u8]) -> Option<&str> {
    let (kind, value) = element(attribute, OBJECT_IDENTIFIER)?;
    let (tag, text, _) = any(value)?;
    let is_name = kind == COMMON_NAME && STRINGS.contains(&tag) && !text.is_empty();
    if is_name { str::from_utf8(text).ok() } else { None }
}

/// What an element of this kind at the front holds, and what follows it.
fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag of the element at the front, what it holds, and what follows it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // No certificate is longer than three bytes of length can say.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}
