//! Tables of URLs and of references to them.

use super::*;

fn shown(url: &str) -> Result<String, UrlError> {
    Url::parse(url).map(|it| format!("{} {} {} {}", it.secure, it.host, it.port, it.target))
}

#[test]
fn rfc6455_3_urls() {
    let good = [
        ("ws://a", "false a 80 /"),
        ("WSS://A.Example/", "true a.example 443 /"),
        ("ws://a:9001/b/../c?d=/e?f", "false a 9001 /b/../c?d=/e?f"),
        ("ws://a?b", "false a 80 /?b"),
        ("ws://a:/", "false a 80 /"),
        ("wss://a:80", "true a 80 /"),
        ("ws://127.0.0.1:65535/%7E", "false 127.0.0.1 65535 /%7E"),
        ("ws://[::1]", "false [::1] 80 /"),
        ("ws://[FE80::1]:81/x", "false [fe80::1] 81 /x"),
        ("ws://a//b:@!$&'()*+,;=", "false a 80 //b:@!$&'()*+,;="),
        ("ws://a/?u@b", "false a 80 /?u@b"),
    ];
    for (url, expected) in good {
        assert_eq!(shown(url).as_deref(), Ok(expected), "{url}");
    }
    let bad = [
        ("", UrlError::Scheme),
        ("a:80/x", UrlError::Scheme),
        ("//a", UrlError::Scheme),
        ("http://a", UrlError::Scheme),
        ("https://a", UrlError::Scheme),
        ("ws:/a", UrlError::Scheme),
        (" ws://a", UrlError::Scheme),
        ("ws://a#", UrlError::Fragment),
        ("ws://a/b#c", UrlError::Fragment),
        ("ws://u@a", UrlError::UserInfo),
        ("ws://u:p@a/", UrlError::UserInfo),
        ("ws://", UrlError::Host),
        ("ws:///x", UrlError::Host),
        ("ws://:80", UrlError::Host),
        ("ws://a b/", UrlError::Host),
        ("ws://a,b/", UrlError::Host),
        ("ws://b\u{fc}cher.example/", UrlError::Host),
        ("ws://a:0", UrlError::Host),
        ("ws://a:65536", UrlError::Host),
        ("ws://a:+1", UrlError::Host),
        ("ws://a:1:2", UrlError::Host),
        ("ws://::1/", UrlError::Host),
        ("ws://[::1", UrlError::Host),
        ("ws://[fe80::1%eth0]/", UrlError::Host),
        ("ws://a\\b", UrlError::Host),
        ("ws://a/b c", UrlError::Character(' ')),
        ("ws://a/\r\nX: 1", UrlError::Character('\r')),
        ("ws://a/\\", UrlError::Character('\\')),
        ("ws://a/?b[]", UrlError::Character('[')),
        ("ws://a/\u{e9}", UrlError::Character('\u{e9}')),
        ("ws://a/%", UrlError::Percent),
        ("ws://a/%2", UrlError::Percent),
        ("ws://a/%2g", UrlError::Percent),
    ];
    for (url, error) in bad {
        assert_eq!(shown(url), Err(error), "{url}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for url in ["ws://a/", "wss://a/b?c", "ws://a:81/", "wss://[::1]:80/"] {
        assert_eq!(Url::parse(url).map(|it| it.to_string()).as_deref(), Ok(url));
    }
    assert_eq!(Url::parse("ws://A:80").map(|it| it.to_string()).as_deref(), Ok("ws://a/"));
}

#[test]
fn rfc3986_5_references() {
    let base = Url::parse("ws://a:81/b/c/d?q").unwrap();
    let table = [
        ("ws://e/f", "ws://e/f"),
        ("http://e/f", "ws://e/f"),
        ("HTTPS://e:443/f#g", "wss://e/f"),
        ("//e/f", "ws://e/f"),
        ("/f?g", "ws://a:81/f?g"),
        ("?r", "ws://a:81/b/c/d?r"),
        ("", "ws://a:81/b/c/d?q"),
        ("#x", "ws://a:81/b/c/d?q"),
        ("e", "ws://a:81/b/c/e"),
        ("./e/", "ws://a:81/b/c/e/"),
        ("../e", "ws://a:81/b/e"),
        ("../../../../e", "ws://a:81/e"),
        ("..", "ws://a:81/b/"),
        (".", "ws://a:81/b/c/"),
        ("/x/./y/../z", "ws://a:81/x/z"),
        ("ws://e/x/../y", "ws://e/y"),
        ("e?x/../y", "ws://a:81/b/c/e?x/../y"),
        ("e/x:y", "ws://a:81/b/c/e/x:y"),
    ];
    for (location, expected) in table {
        let joined = base.join(location).map(|it| it.to_string());
        assert_eq!(joined.as_deref(), Ok(expected), "{location}");
    }
    for location in ["ftp://e/", "mailto:a", "http:e", "//u@e/", "//", "/a b", "\\e", "/%"] {
        assert!(base.join(location).is_err(), "{location}");
    }
}
