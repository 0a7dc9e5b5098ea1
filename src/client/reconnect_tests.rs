//! The schedule, to the nanosecond, without waiting.

use super::*;

const MAX: u64 = u64::MAX;
const HALF: u64 = 1 << 63;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine that has just started to connect.
fn connecting(policy: Policy) -> Reconnect {
    let mut machine = Reconnect::new(policy);
    assert_eq!(machine.step(Event::Connect, Duration::ZERO, 0), State::Connecting);
    machine
}

/// Lets attempt after attempt end like this, each as soon as it is due, and gives the waits until
/// there are `count` or the machine gives up.
fn waits(machine: &mut Reconnect, ending: Ending, random: u64, count: usize) -> Vec<Duration> {
    let mut now = ms(1_000_000);
    let mut waits = Vec::new();
    while waits.len() < count && machine.step(Event::Ended(ending), now, random) == State::Waiting {
        let due = machine.due().expect("it waits");
        waits.push(due - now);
        if due > now {
            let early = due - Duration::from_nanos(1);
            assert_eq!(machine.step(Event::Tick, early, random), State::Waiting);
        }
        now = due;
        assert_eq!(machine.step(Event::Tick, now, random), State::Connecting);
    }
    waits
}

/// In milliseconds, rounded: full jitter stays a nanosecond below its bound.
fn rounded(waits: &[Duration]) -> Vec<u64> {
    waits.iter().map(|wait| (wait.as_micros() as u64 + 500) / 1000).collect()
}

#[test]
fn the_first_retry_comes_at_once_then_exponential_backoff_up_to_the_cap() {
    let mut machine = connecting(Policy::default());
    let longest = waits(&mut machine, Ending::Unreachable, MAX, 10);
    let expected = [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
    assert_eq!(rounded(&longest), expected);
    assert!(longest.iter().all(|wait| *wait <= ms(30_000)));
    assert_eq!(machine.retries(), 10);

    let halves = waits(&mut connecting(Policy::default()), Ending::Lost, HALF, 9);
    let expected = [0, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000].map(ms);
    assert_eq!(halves, expected, "exactly half of each bound");

    let none = waits(&mut connecting(Policy::default()), Ending::Lost, 0, 5);
    assert_eq!(none, [Duration::ZERO; 5], "full jitter goes down to nothing");
}

#[test]
fn rfc6455_7_2_3_a_random_first_delay_of_up_to_5_s() {
    let longest = waits(&mut connecting(Policy::rfc6455()), Ending::Lost, MAX, 4);
    assert_eq!(rounded(&longest), [5000, 500, 1000, 2000]);
    let quarter = waits(&mut connecting(Policy::rfc6455()), Ending::Lost, 1 << 62, 2);
    assert_eq!(quarter, [ms(1250), ms(125)]);
}

#[test]
fn who_is_sent_away_does_not_come_back_at_once() {
    for code in [1001, 1002, 1009, 1011, 1012, 1013] {
        let ending = Ending::Closed(CloseCode::new(code));
        let waits = waits(&mut connecting(Policy::default()), ending, HALF, 3);
        assert_eq!(waits, [250, 500, 1000].map(ms), "{code}");
    }
}

#[test]
fn huge_numbers_do_not_overflow() {
    let policy = Policy { base: Duration::MAX, cap: Duration::MAX, ..Policy::default() };
    let mut machine = connecting(policy);
    for _ in 0..200 {
        let state = machine.step(Event::Ended(Ending::Lost), Duration::MAX, MAX);
        assert_eq!((state, machine.due()), (State::Waiting, Some(Duration::MAX)));
        machine.step(Event::Tick, Duration::MAX, 0);
    }
    let mut machine = connecting(Policy::default());
    assert_eq!(rounded(&waits(&mut machine, Ending::Lost, MAX, 100))[99], 30_000);
}

#[test]
fn the_number_of_retries_is_bounded() {
    for retries in [0, 1, 3] {
        let policy = Policy { retries_max: Some(retries), ..Policy::default() };
        let mut machine = connecting(policy);
        let waits = waits(&mut machine, Ending::Unreachable, 0, 100);
        assert_eq!(waits.len(), retries as usize);
        assert_eq!((machine.state(), machine.due()), (State::Failed, None));
        // Who asks again gets the whole number again.
        assert_eq!(machine.step(Event::Connect, ms(5), 0), State::Connecting);
        assert_eq!(machine.retries(), 0);
    }
}

#[test]
fn a_success_resets_the_counter_but_only_one_that_holds() {
    let mut machine = connecting(Policy::default());
    waits(&mut machine, Ending::Lost, HALF, 4);
    assert_eq!(machine.step(Event::Opened, ms(10_000), 0), State::Connected);
    machine.step(Event::Ended(Ending::Lost), ms(14_999), HALF);
    assert_eq!(machine.retries(), 5, "thrown out again: no success");
    assert_eq!(machine.due(), Some(ms(14_999 + 2000)));
    machine.step(Event::Tick, ms(20_000), 0);
    machine.step(Event::Opened, ms(20_000), 0);
    machine.step(Event::Ended(Ending::Lost), ms(25_000), HALF);
    assert_eq!((machine.retries(), machine.due()), (1, Some(ms(25_000))), "at once again");
    machine.step(Event::Tick, ms(25_000), 0);
    machine.step(Event::Ended(Ending::Lost), ms(25_000), HALF);
    assert_eq!(machine.due(), Some(ms(25_250)), "and from the base on");

    let policy = Policy { stable_after: Duration::ZERO, ..Policy::default() };
    let mut machine = connecting(policy);
    waits(&mut machine, Ending::Lost, 0, 4);
    machine.step(Event::Opened, ms(1), 0);
    machine.step(Event::Ended(Ending::Lost), ms(1), 0);
    assert_eq!(machine.retries(), 1, "every handshake counts");
}

#[test]
fn every_state_and_event() {
    use Event::{Close, Connect, Ended, Opened, Tick};
    use State::{Closing, Connected, Connecting, Disconnected, Failed, Waiting};
    let events = [Connect, Opened, Ended(Ending::Lost), Close, Tick];
    let table = [
        (Disconnected, [Connecting, Disconnected, Disconnected, Disconnected, Disconnected]),
        (Connecting, [Connecting, Connected, Waiting, Disconnected, Connecting]),
        (Connected, [Connected, Connected, Waiting, Closing, Connected]),
        (Closing, [Closing, Closing, Disconnected, Closing, Closing]),
        (Waiting, [Connecting, Waiting, Waiting, Disconnected, Connecting]),
        (Failed, [Connecting, Failed, Failed, Disconnected, Failed]),
    ];
    for (state, after) in table {
        for (event, expected) in events.into_iter().zip(after) {
            let mut machine = Reconnect::new(Policy::default());
            machine.state = state;
            assert_eq!(machine.step(event, ms(1), 0), expected, "{state:?} {event:?}");
        }
    }
    let mut machine = Reconnect::new(Policy::default());
    (machine.state, machine.at) = (Waiting, ms(2));
    assert_eq!(machine.step(Tick, ms(1), 0), Waiting, "not due yet");
    assert_eq!(machine.step(Connect, ms(1), 0), Connecting, "whoever asks need not wait");
}

#[test]
fn what_is_final_by_default() {
    let closed = |code| default_fate(Ending::Closed(CloseCode::new(code)));
    assert_eq!(closed(1000), Fate::Done);
    assert_eq!(closed(1008), Fate::Fail);
    for code in [1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 1013, 1014] {
        assert_eq!(closed(code), Fate::RetryLater, "{code}");
    }
    for code in [3000, 3999, 4000, 4999] {
        assert_eq!(closed(code), Fate::Retry, "{code}");
    }
    assert_eq!(default_fate(Ending::Closed(None)), Fate::Retry);
    assert_eq!(default_fate(Ending::Impossible), Fate::Fail);
    assert_eq!(default_fate(Ending::Broken), Fate::RetryLater);
    for status in [200, 301, 400, 401, 403, 404, 407, 426] {
        assert_eq!(default_fate(Ending::Refused(status)), Fate::Fail, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(default_fate(Ending::Refused(status)), Fate::RetryLater, "{status}");
    }
    let mut machine = connecting(Policy::default());
    let normal = Event::Ended(Ending::Closed(Some(CloseCode::NORMAL)));
    assert_eq!(machine.step(normal, ms(1), 0), State::Disconnected);
    let own = Policy { fate: |_| Fate::Fail, ..Policy::default() };
    assert_eq!(connecting(own).step(Event::Ended(Ending::Lost), ms(1), 0), State::Failed);
}
