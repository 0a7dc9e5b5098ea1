//! Tables while many write them: who reads one has all of it, soon.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use throng::hub::broker::{Answer, Request};

use crate::servers::Kind;

const WRITERS: usize = 3;
const FIELDS: usize = 8;

over_each_server!(a_table_is_read_whole_while_it_is_written);

fn put(field: &str) -> Request<'_> {
    Request::Put { table: "t", field, value: b"x", lease: Duration::from_secs(60) }
}

fn a_table_is_read_whole_while_it_is_written<S: Kind>() {
    let server = S::start();
    let name = |writer, field| format!("{writer}.{field}");
    let names_of = |writer| (0..FIELDS).map(move |field| name(writer, field));
    let all: BTreeSet<String> = (0..WRITERS).flat_map(names_of).collect();
    let mut reader = server.link();
    let puts: Vec<_> = all.iter().map(|name| put(name)).collect();
    reader.exchange(&puts, &mut Vec::new()).expect("they are put");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (mut link, names) = (server.link(), names_of(writer).collect::<Vec<_>>());
            let is_over = &is_over;
            scope.spawn(move || {
                let puts: Vec<_> = names.iter().map(|name| put(name)).collect();
                while !is_over.load(Ordering::Relaxed) {
                    link.exchange(&puts, &mut Vec::new()).expect("they are put");
                }
            });
        }
        let begin = Instant::now();
        let mut longest = Duration::ZERO;
        while begin.elapsed() < Duration::from_secs(4) {
            let asked = Instant::now();
            let list = [Request::List { table: "t" }];
            let answers = reader.exchange(&list, &mut Vec::new()).expect("the link is whole");
            longest = longest.max(asked.elapsed());
            let [Answer::Fields(fields)] = &answers[..] else { panic!("{answers:?}") };
            let found: BTreeSet<String> = fields.iter().map(|(name, _)| (**name).into()).collect();
            assert_eq!(found, all);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(longest < Duration::from_secs(2), "one took {longest:?}");
    });
}
