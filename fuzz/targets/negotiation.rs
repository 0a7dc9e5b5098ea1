//! permessage-deflate: whatever is offered, what is answered is by the rules, and a client that has
//! made the offer can take it. Whatever is answered, a client does not panic.
//!
//! The input: two configurations, then the text of parameter lists: `;` between parameters, `,`
//! between lists.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::extension::{Config, Mode, Params, negotiate, verify_answer, write_offer};
use throng_fuzz::Plan;

type List<'a> = Vec<(&'a str, Option<&'a str>)>;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let (server, client) = (config(&mut plan), config(&mut plan));
    let Ok(text) = str::from_utf8(plan.rest()) else { return };
    if let Some(params) = negotiate(text.split(',').map(list), &server) {
        check(params);
        let mut answer = String::new();
        params.write_answer(&mut answer);
        let asked: Vec<_> = text.split(',').map(list).collect();
        let hints = asked.iter().flatten().any(|(name, _)| *name == "client_max_window_bits");
        assert!(hints || !answer.contains("client_max_window_bits"), "{text}: {answer}");
    }
    for answer in text.split(',').map(list) {
        if let Ok(params) = verify_answer(answer, &client) {
            assert!((8..=15).contains(&params.server_max_window_bits()));
            assert!((9..=15).contains(&params.client_max_window_bits()));
        }
    }
    both(&server, &client);
});

fn config(plan: &mut Plan<'_>) -> Config {
    let [mode, server, client] = plan.bytes();
    Config {
        server_max_window_bits: server % 20,
        client_max_window_bits: client % 20,
        ..Config::new([Mode::Off, Mode::Shared, Mode::Dedicated][usize::from(mode % 3)])
    }
}

fn list(text: &str) -> List<'_> {
    text.split(';')
        .filter(|param| !param.is_empty())
        .map(|param| match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        })
        .collect()
}

fn check(params: Params) {
    assert!((9..=15).contains(&params.server_max_window_bits()), "{params:?}");
    assert!((8..=15).contains(&params.client_max_window_bits()), "{params:?}");
}

/// What one end writes, the other can read, and both understand the same.
fn both(server: &Config, client: &Config) {
    let (mut offer, mut answer) = (String::new(), String::new());
    write_offer(client, &mut offer);
    if offer.is_empty() {
        return;
    }
    let offers: Vec<_> = offer.split(',').map(parameters).collect();
    let Some(params) = negotiate(offers, server) else { return };
    params.write_answer(&mut answer);
    let understood = verify_answer(parameters(&answer), client);
    let Ok(understood) = understood else { panic!("{offer} {answer} {understood:?}") };
    let resets = |it: Params| (it.server_no_context_takeover(), it.client_no_context_takeover());
    assert_eq!(resets(understood), resets(params), "{offer} {answer}");
    // A server may deflate with a smaller window than it says.
    assert!(params.server_max_window_bits() <= understood.server_max_window_bits());
    assert!(understood.client_max_window_bits() <= params.client_max_window_bits());
}

/// The parameters of one element of the header, behind its name.
fn parameters(element: &str) -> List<'_> {
    let params = element.split(';').skip(1).map(str::trim);
    params
        .map(|param| match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        })
        .collect()
}
