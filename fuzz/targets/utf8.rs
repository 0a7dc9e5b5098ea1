//! UTF-8 in pieces, against the standard library. The input: the cuts, then the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::frame::Utf8;
use throng_fuzz::Plan;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let mut cuts = plan.cuts();
    let bytes = plan.rest();
    let (mut text, mut at, mut valid) = (Utf8::default(), 0, 0);
    while at < bytes.len() {
        let end = at + cuts.next(bytes.len() - at);
        let pushed = text.push(&bytes[at..end]);
        match std::str::from_utf8(&bytes[valid..end]) {
            Ok(_) => {
                assert!(pushed.is_ok() && text.is_boundary(), "{at}..{end}");
                valid = end;
            }
            Err(error) if error.error_len().is_none() => {
                assert!(pushed.is_ok() && !text.is_boundary(), "{at}..{end}");
                valid += error.valid_up_to();
            }
            Err(_) => {
                assert!(pushed.is_err(), "{at}..{end}");
                return;
            }
        }
        at = end;
    }
});
