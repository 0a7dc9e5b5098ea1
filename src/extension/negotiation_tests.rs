//! Tables of offers and answers, one rule each (RFC 7692 sections 5, 7 and 7.1).

use super::{AnswerError, Config, Mode, Params, negotiate, verify_answer, write_offer};
use AnswerError as E;

const DEDICATED: Config = Config::new(Mode::Dedicated);
const SHARED: Config = Config::new(Mode::Shared);

type List<'a> = Vec<(&'a str, Option<&'a str>)>;

/// `a; b=1` as a list of parameters; `b=` has a value of no bytes.
fn list(text: &str) -> List<'_> {
    let params = text.split("; ").filter(|param| !param.is_empty());
    params.map(|param| param.split_once('=').map_or((param, None), |(n, v)| (n, Some(v)))).collect()
}

/// The parameters of the answer to offers, which `, ` parts; or nothing.
fn answer(offers: &str, config: &Config) -> Option<String> {
    let params = negotiate(offers.split(", ").map(list), config)?;
    let mut header = String::new();
    params.write_answer(&mut header);
    let params = header.strip_prefix("permessage-deflate").expect("the name comes first");
    Some(params.strip_prefix("; ").unwrap_or(params).to_owned())
}

fn offered(config: &Config) -> String {
    let mut header = String::new();
    write_offer(config, &mut header);
    header
}

fn verify(answer: &str, config: &Config) -> Result<Params, E> {
    verify_answer(list(answer), config)
}

const NONE: Option<&str> = None;

#[test]
fn rfc7692_7_offers_that_are_declined() {
    let declined = [
        "x",                             // unknown
        "x=1",                           // unknown, with a value
        "Server_no_context_takeover",    // unknown: names are exact
        "server_no_context_takeover=",   // a value on a flag
        "server_no_context_takeover=1",  // a value on a flag
        "client_no_context_takeover=on", // a value on a flag
        "server_max_window_bits",        // a value is missing
        "server_max_window_bits=8",      // valid, but zlib cannot
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits",
        "client_max_window_bits; x",
    ];
    for offer in declined {
        for config in [DEDICATED, SHARED] {
            assert_eq!(answer(offer, &config).as_deref(), NONE, "{offer}");
        }
    }
    let values = [
        "",
        "0",
        "7",
        "16",
        "99",
        "08",
        "010",
        "015",
        "+10",
        "-10",
        " 10",
        "10 ",
        "1 0",
        "0xa",
        "10.0",
        "1e1",
        "a",
        "1",
        "100",
        "150",
        "\u{661}\u{660}",
        "4294967306",
    ];
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in values {
            assert_eq!(answer(&format!("{name}={value}"), &DEDICATED).as_deref(), NONE, "{value}");
        }
    }
}

#[test]
fn rfc7692_7_1_answers_in_dedicated_mode() {
    let rows = [
        ("", ""),
        ("server_no_context_takeover", "server_no_context_takeover"),
        ("client_no_context_takeover", "client_no_context_takeover"),
        ("server_max_window_bits=9", "server_max_window_bits=9"),
        ("server_max_window_bits=15", "server_max_window_bits=15"),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=8", ""),
        ("client_max_window_bits=9", "client_max_window_bits=9"),
        ("client_max_window_bits=15", ""),
        (
            "client_max_window_bits; server_max_window_bits=12; server_no_context_takeover",
            "server_no_context_takeover; server_max_window_bits=12",
        ),
    ];
    for (offer, expected) in rows {
        assert_eq!(answer(offer, &DEDICATED).as_deref(), Some(expected), "{offer}");
    }
}

#[test]
fn rfc7692_7_1_1_shared_mode_keeps_no_context_whatever_was_asked() {
    let both = "server_no_context_takeover; client_no_context_takeover";
    for offer in ["", "client_max_window_bits", "server_no_context_takeover"] {
        assert_eq!(answer(offer, &SHARED).as_deref(), Some(both), "{offer}");
    }
    let params = negotiate([list("")], &SHARED).unwrap();
    assert!(params.server_no_context_takeover() && params.client_no_context_takeover());
}

#[test]
fn rfc7692_7_1_2_windows_of_the_config() {
    let config = Config { server_max_window_bits: 11, client_max_window_bits: 10, ..DEDICATED };
    let rows = [
        // offer, answer, the server's bits, the client's bits
        ("", "", 11, 15),
        ("server_max_window_bits=15", "server_max_window_bits=11", 11, 15),
        ("server_max_window_bits=9", "server_max_window_bits=9", 9, 15),
        ("client_max_window_bits", "client_max_window_bits=10", 11, 10),
        ("client_max_window_bits=15", "client_max_window_bits=10", 11, 10),
        ("client_max_window_bits=9", "client_max_window_bits=9", 11, 9),
        ("client_max_window_bits=8", "", 11, 15),
    ];
    for (offer, expected, server, client) in rows {
        assert_eq!(answer(offer, &config).as_deref(), Some(expected), "{offer}");
        let params = negotiate([list(offer)], &config).unwrap();
        assert_eq!(params.server_max_window_bits(), server, "{offer}");
        assert_eq!(params.client_max_window_bits(), client, "{offer}");
    }
}

#[test]
fn rfc7692_5_the_first_offer_that_can_be_kept_is_taken() {
    let rows = [
        (
            "x, server_max_window_bits=8, server_max_window_bits=10, ",
            Some("server_max_window_bits=10"),
        ),
        ("server_max_window_bits=9, server_max_window_bits=15", Some("server_max_window_bits=9")),
        ("x, y", None),
    ];
    for (offers, expected) in rows {
        assert_eq!(answer(offers, &DEDICATED).as_deref(), expected, "{offers}");
    }
    assert_eq!(negotiate(Vec::<List<'_>>::new(), &DEDICATED), None);
    assert_eq!(negotiate([list("")], &Config::new(Mode::Off)), None);
}

#[test]
fn offers_of_a_client() {
    let narrow = Config { server_max_window_bits: 10, client_max_window_bits: 3, ..DEDICATED };
    let rows = [
        (Config::new(Mode::Off), ""),
        (DEDICATED, "permessage-deflate; client_max_window_bits"),
        (
            SHARED,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits",
        ),
        (narrow, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"),
    ];
    for (config, expected) in rows {
        assert_eq!(offered(&config), expected);
    }
}

#[test]
fn rfc7692_7_answers_that_fail_the_connection() {
    let narrow = Config { server_max_window_bits: 10, client_max_window_bits: 11, ..DEDICATED };
    let rows = [
        (Config::new(Mode::Off), "", E::NotOffered),
        (DEDICATED, "x", E::Unknown),
        (DEDICATED, "client_max_window_bits", E::Invalid),
        (DEDICATED, "server_max_window_bits", E::Invalid),
        (DEDICATED, "server_max_window_bits=7", E::Invalid),
        (DEDICATED, "server_max_window_bits=16", E::Invalid),
        (DEDICATED, "client_max_window_bits=010", E::Invalid),
        (DEDICATED, "server_no_context_takeover=1", E::Invalid),
        (DEDICATED, "server_no_context_takeover; server_no_context_takeover", E::Repeated),
        (DEDICATED, "client_max_window_bits=10; client_max_window_bits=10", E::Repeated),
        (DEDICATED, "client_max_window_bits=8", E::ClientWindow),
        (SHARED, "", E::ContextTakeover),
        (SHARED, "client_no_context_takeover", E::ContextTakeover),
        (narrow, "", E::ServerWindow),
        (narrow, "server_max_window_bits=11", E::ServerWindow),
        (narrow, "server_max_window_bits=10; client_max_window_bits=12", E::ClientWindow),
    ];
    for (config, answer, error) in rows {
        assert_eq!(verify(answer, &config), Err(error), "{answer}");
    }
}

#[test]
fn rfc7692_7_1_answers_that_a_client_keeps() {
    let narrow = Config { server_max_window_bits: 10, client_max_window_bits: 11, ..DEDICATED };
    let both = "server_no_context_takeover; client_no_context_takeover";
    let rows = [
        // config, answer, (server, client) without takeover, (server, client) bits
        (DEDICATED, "", (false, false), (15, 15)),
        (DEDICATED, both, (true, true), (15, 15)),
        (DEDICATED, "server_max_window_bits=8", (false, false), (8, 15)),
        (DEDICATED, "client_max_window_bits=9", (false, false), (15, 9)),
        (SHARED, both, (true, true), (15, 15)),
        (SHARED, "server_no_context_takeover", (true, true), (15, 15)),
        (narrow, "server_max_window_bits=10", (false, false), (10, 11)),
        (narrow, "server_max_window_bits=9; client_max_window_bits=11", (false, false), (9, 11)),
    ];
    for (config, answer, takeover, bits) in rows {
        let params = verify(answer, &config).unwrap();
        let without = (params.server_no_context_takeover(), params.client_no_context_takeover());
        assert_eq!(without, takeover, "{answer}");
        let windows = (params.server_max_window_bits(), params.client_max_window_bits());
        assert_eq!(windows, bits, "{answer}");
    }
}

/// Whatever two of our configs meet, both ends agree on the same.
#[test]
fn both_roles_agree_with_each_other() {
    let bits = [0, 9, 10, 14, 15, 200];
    let mut met = 0;
    for mode in [Mode::Shared, Mode::Dedicated] {
        for [server, client] in bits.iter().flat_map(|&a| bits.map(|b| [a, b])) {
            let ours = Config { server_max_window_bits: server, ..Config::new(mode) };
            let theirs = Config { client_max_window_bits: client, ..DEDICATED };
            for (server, client) in [(ours, theirs), (theirs, ours)] {
                let offer = offered(&client);
                let offer = offer.strip_prefix("permessage-deflate; ").unwrap();
                let answer = answer(offer, &server).unwrap();
                let agreed = verify(&answer, &client).unwrap();
                let served = negotiate([list(offer)], &server).unwrap();
                assert_eq!(served.client_max_window_bits(), agreed.client_max_window_bits());
                assert!(served.server_max_window_bits() <= agreed.server_max_window_bits());
                assert_eq!(
                    served.server_no_context_takeover(),
                    agreed.server_no_context_takeover()
                );
                met += 1;
            }
        }
    }
    assert_eq!(met, 144);
}
