//! The client's half of the handshake: no answer makes it panic, and one that it takes has the
//! accept value, and names nothing that was not offered.
//!
//! The input: what is offered, then the answer; `\xFF` in it stands for the right accept value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::handshake::{ClientRequest, Key};
use throng::http::{HeadLimits, HeadScan, HeaderSlots, ResponseHead, dechunk};
use throng_fuzz::Plan;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let offers = plan.byte();
    let Some(request) = request(offers) else { panic!("a plain request") };
    let accept = Key::from_nonce([7; 16]).accept();
    let answer: Vec<u8> =
        plan.rest().split(|byte| *byte == 0xFF).collect::<Vec<_>>().join(&accept[..]);
    let limits = HeadLimits::default();
    assert!(dechunk(&answer).len() <= answer.len());
    let Ok(Some(head_len)) = HeadScan::new().scan(&answer, &limits) else { return };
    let mut slots = HeaderSlots::new();
    let Ok(head) = ResponseHead::parse(&answer[..head_len], &mut slots, &limits) else { return };
    let Ok(accepted) = request.verify(&head) else { return };
    assert_eq!(head.status(), 101);
    let has_accept = answer.windows(accept.len()).any(|window| window == accept);
    assert!(has_accept, "taken without the accept value");
    let chosen = accepted.subprotocol();
    assert!(chosen.is_none_or(|name| offers & 1 != 0 && ["chat", "v2"].contains(&name)));
    for extension in accepted.extensions() {
        assert!(offers & 2 != 0 && extension.name() == "permessage-deflate");
        assert!(extension.params().count() <= answer.len());
    }
});

fn request(offers: u8) -> Option<ClientRequest> {
    let mut request = ClientRequest::new("example.com", "/chat", [7; 16]).ok()?;
    if offers & 1 != 0 {
        request = request.subprotocol("chat").ok()?.subprotocol("v2").ok()?;
    }
    if offers & 2 != 0 {
        request = request.extensions("permessage-deflate; client_max_window_bits").ok()?;
    }
    Some(request)
}
