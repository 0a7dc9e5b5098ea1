//! Compressed messages: any bytes, in any pieces and rooms, inflate to the same or fail the same;
//! what was deflated comes back, with and without a context; and nothing is left for the next.
//!
//! The input: which, the window, the level, the cuts, then messages or bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::extension::{Config, Deflater, Inflater, Mode};
use throng_fuzz::{Cuts, Plan};

/// No message is made longer than this: the rest of a bomb is not interesting.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let [which, window, level, room] = plan.bytes();
    let cuts = plan.cuts();
    let room = usize::from(room) + 1;
    if which & 1 == 0 {
        any_bytes(plan.rest(), cuts, room);
    } else {
        let config = Config {
            level: level % 11,
            mem_level: level / 11 % 11,
            ..Config::new(Mode::Dedicated)
        };
        there_and_back(plan, &config, window % 20, which & 2 == 0, cuts, room);
    }
});

/// The message in some bytes; `None` where they are none.
fn inflate(
    inflater: &mut Inflater,
    mut bytes: &[u8],
    mut cuts: Cuts<'_>,
    room: usize,
) -> Option<Vec<u8>> {
    let (mut message, mut room) = (Vec::new(), vec![0; room]);
    while !bytes.is_empty() {
        let (mut piece, rest) = bytes.split_at(cuts.next(bytes.len()));
        bytes = rest;
        loop {
            let n = inflater.step(&mut piece, &mut room).ok()?;
            message.extend_from_slice(&room[..n]);
            if message.len() > MESSAGE_BYTES_MAX {
                return None;
            }
            if n < room.len() {
                assert!(piece.is_empty(), "what is not inflated is lost");
                break;
            }
        }
    }
    inflater.finish().ok()?;
    Some(message)
}

fn any_bytes(bytes: &[u8], cuts: Cuts<'_>, room: usize) {
    let (mut one, mut other) = (Inflater::new(), Inflater::new());
    let whole = inflate(&mut one, bytes, Cuts::default(), 1 << 16);
    let pieces = inflate(&mut other, bytes, cuts, room);
    if whole.as_ref().or(pieces.as_ref()).is_none_or(|it| it.len() < MESSAGE_BYTES_MAX - (1 << 16))
    {
        assert_eq!(whole, pieces);
    }
    for mut inflater in [one, other] {
        inflater.reset();
        let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        let message = inflate(&mut inflater, &hello, Cuts::default(), 64);
        assert_eq!(message.as_deref(), Some(&b"Hello"[..]), "something was left");
    }
}

fn there_and_back(
    mut plan: Plan<'_>,
    config: &Config,
    window: u8,
    keeps: bool,
    cuts: Cuts<'_>,
    room: usize,
) {
    let (mut deflater, mut inflater) = (Deflater::new(config, window), Inflater::new());
    while !plan.is_used_up() {
        let [len, times] = plan.bytes();
        let payload = plan.take(usize::from(len)).repeat(usize::from(times % 40) + 1);
        let mut deflated = Vec::new();
        if !deflater.deflate(&payload, &mut deflated, !keeps) {
            assert!(deflated.is_empty() && !keeps);
            continue;
        }
        let back = inflate(&mut inflater, &deflated, cuts.clone(), room);
        assert_eq!(back.as_deref(), Some(&*payload));
        if !keeps {
            inflater.reset();
        }
    }
}
