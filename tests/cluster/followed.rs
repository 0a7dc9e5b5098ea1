//! A node that another process follows.

use crate::common::{RawClient, Server};
use crate::lineage::Lineage;
use crate::nodes::Cluster;
use crate::record::Person;

/// The new process reads a room from Redis: what the old one had in memory is behind by the time
/// somebody comes, and a room that is there already is not followed.
#[test]
fn a_node_that_is_upgraded_hears_the_others_in_rooms_that_it_had() {
    let cluster = Cluster::start(1, &[]);
    let url = cluster.redis().url();
    let flags = ["--redis", &url, "--node", "followed", "--history-messages", "1000"];
    let mut server = Lineage::new(Server::serve(&[&flags[..], &["--drain", "1"]].concat()));
    let mut ann = cluster.nodes[0].person("/ws?name=ann");
    let epoch = ann.join("m.1", None)["epoch"].clone();
    let mut bob = Person::open(RawClient::connect(&server.first), "/ws?name=bob").0;
    bob.join("m.1", None);
    assert_eq!((bob.publish("m.1", "1"), ann.publish("m.1", "2")), (1, 2));
    server.upgrade();
    server.wait_for_the_old(15.0);
    assert_eq!(ann.publish("m.1", "3"), 3);
    let mut bob = Person::open(RawClient::connect(&server.first), "/ws?name=bob").0;
    let answer = bob.join("m.1", Some((&epoch, 1)));
    assert_eq!((&answer["recovered"], &answer["offset"]), (&true.into(), &3.into()), "{answer}");
    assert_eq!(ann.publish("m.1", "4"), 4);
    loop {
        let heard = bob.read();
        if heard["type"] == "text" {
            break assert_eq!(heard["offset"], 4, "{heard}");
        }
    }
    assert_eq!(bob.history("m.1", "")["offset"], 4);
    server.signal("TERM");
}
