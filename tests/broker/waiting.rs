//! Messages that wait together and go out in one exchange: each has its own place, and comes to
//! who listens as if it had gone alone.

use std::time::{Duration, Instant};

use throng::hub::broker::{Answer, Channel, Link, MessageId, News, Place, Request};
use throng::hub::history::{Epoch, Keep, Placed, Span};

use crate::common::client::PATIENCE;
use crate::servers::Kind;

over_each_server!(each_has_its_own_place, what_is_kept_nowhere_comes_in_its_order);

fn publish<'a>(room: &'a str, keep: &'a Keep, id: Option<&'a str>, body: &'a [u8]) -> Request<'a> {
    let place = Place { room, keep, known: None, fresh: Epoch(7) };
    let id = id.map(|id| MessageId { sender: "ann", id, window: Duration::from_secs(60) });
    Request::Publish { place, id, body }
}

fn placed(answers: Vec<Answer>) -> Vec<Placed> {
    let placed = answers.into_iter().map(|answer| match answer {
        Answer::Published(placed) => placed,
        other => panic!("{other:?}"),
    });
    placed.collect()
}

/// So much news.
fn listen(link: &mut dyn Link, count: usize) -> Vec<News> {
    let (mut news, end) = (Vec::new(), Instant::now() + PATIENCE);
    while news.len() < count {
        assert!(Instant::now() < end, "only {news:?}");
        link.wait(Duration::from_millis(50), &mut news).expect("the link is whole");
    }
    news
}

fn each_has_its_own_place<S: Kind>() {
    let (server, keep) = (S::start(), Keep::default());
    let (mut writer, mut listener) = (server.link(), server.link());
    let subscribe = Request::Subscribe(Channel::Room("a"));
    listener.exchange(&[subscribe], &mut Vec::new()).expect("it is subscribed");
    let requests = [
        publish("a", &keep, None, b"1"),
        publish("b", &keep, None, b"x"),
        publish("a", &keep, Some("k"), b"2, and a space"),
        publish("a", &keep, Some("k"), b"2 again"),
        publish("a", &keep, None, b""),
    ];
    let answers = writer.exchange(&requests, &mut Vec::new()).expect("they are published");
    let places = placed(answers);
    let of: Vec<_> = places.iter().map(|one| (one.position.offset, one.is_repeat)).collect();
    assert_eq!(of, [(1, false), (1, false), (2, false), (2, true), (3, false)]);

    // All of them come again, and another beside.
    let requests = [
        publish("a", &keep, Some("k"), b"2 again"),
        publish("a", &keep, Some("l"), b"4"),
        publish("a", &keep, Some("k"), b"2 again"),
    ];
    let again = placed(writer.exchange(&requests, &mut Vec::new()).expect("they are published"));
    assert_eq!((again[0], again[2]), (places[3], places[3]));
    assert_eq!((again[1].position.offset, again[1].is_repeat), (4, false));
    let only = [publish("a", &keep, Some("k"), b"2 again")];
    let only = placed(writer.exchange(&only, &mut Vec::new()).expect("it is known"));
    assert_eq!(only, [places[3]]);

    let expected = ["1", "2, and a space", "", "4"];
    let heard = listen(&mut *listener, expected.len());
    for ((offset, body), news) in (1..).zip(expected).zip(heard) {
        let News::Message { room, position, body: heard } = news else { panic!("{news:?}") };
        assert_eq!((&*room, position.offset, &*heard), ("a", offset, body.as_bytes()));
        assert_eq!(position.epoch, places[0].position.epoch);
    }
    let place = Place { room: "a", keep: &keep, known: None, fresh: Epoch(8) };
    let (opens, span, messages_max, bytes_max) = (true, Span::Newest, 10, 1 << 20);
    let read = Request::Read { place, opens, span, messages_max, bytes_max };
    let answers = writer.exchange(&[read], &mut Vec::new()).expect("it is read");
    let [Answer::Rows(rows)] = &answers[..] else { panic!("{answers:?}") };
    let kept: Vec<_> = rows.rows.iter().map(|(offset, body)| (*offset, &**body)).collect();
    let expected: Vec<_> = (1..).zip(expected.map(str::as_bytes)).collect();
    assert_eq!((kept, rows.position.offset), (expected, 4));
}

fn what_is_kept_nowhere_comes_in_its_order<S: Kind>() {
    let server = S::start();
    let (mut writer, mut listener) = (server.link(), server.link());
    let subscribe = [Request::Subscribe(Channel::Room("a")), Request::Subscribe(Channel::Nodes)];
    listener.exchange(&subscribe, &mut Vec::new()).expect("it is subscribed");
    let bodies: Vec<_> = (0..300).map(|number| "x".repeat(number % 7)).collect();
    let say = |body| Request::Say { on: Channel::Room("a"), body };
    let says: Vec<_> = bodies.iter().map(|body| say(body.as_bytes())).collect();
    let answers = writer.exchange(&says, &mut Vec::new()).expect("it is said");
    assert_eq!(answers, vec![Answer::Done; says.len()]);
    for (news, body) in listen(&mut *listener, bodies.len()).iter().zip(&bodies) {
        let said = News::Said { room: Some("a".into()), body: body.as_bytes().into() };
        assert_eq!(news, &said);
    }
    let end = [Request::Say { on: Channel::Nodes, body: b"end, 1 2" }];
    writer.exchange(&end, &mut Vec::new()).expect("it is said");
    let said = News::Said { room: None, body: (*b"end, 1 2").into() };
    assert_eq!(listen(&mut *listener, 1), [said]);
}
