//! URLs of the client, and what a redirect makes of one: what is taken is written as it is read,
//! and whatever a server says in `Location`, what comes of it is a URL again.
//!
//! The input: a URL, and after a line feed the place that a server redirects to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::client::Url;

fuzz_target!(|text: &str| {
    let (url, location) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(url) = Url::parse(url) else { return };
    is_sound(&url);
    if let Ok(other) = url.join(location) {
        is_sound(&other);
        // A relative place stays where it is.
        if !location.contains("//") && !location.contains(':') {
            assert!(other.is_same_origin(&url), "{url} and {location:?} make {other}");
        }
    }
});

fn is_sound(url: &Url) {
    let written = url.to_string();
    assert_eq!(Url::parse(&written).as_ref(), Ok(url), "{written}");
    assert!(!url.host().is_empty() && !url.host().contains(|it: char| it.is_ascii_uppercase()));
    let target = url.target();
    assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()));
    // What goes into a request is one line.
    assert!(url.authority().bytes().all(|byte| byte.is_ascii_graphic()), "{written}");
}
