//! A cancellation overtakes what is queued, but never the call that it is about.

use super::Outgoing;
use super::tests::{arrived, large, order, write};
use crate::protocol::testing::{Received, call, feed, greeted, received_call};
use crate::wire::frame::{Header, Kind};

const PLENTY: usize = usize::MAX;

fn write_rest(outgoing: &mut Outgoing, bytes: &mut Vec<u8>) {
    while !outgoing.is_empty() {
        write(outgoing, PLENTY, bytes);
    }
}

#[test]
fn it_goes_before_the_queued_calls_of_others() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push(&call(1, b""));
    outgoing.push_bulk(large(2, 70_000));
    outgoing.push_cancel(9);
    assert_eq!(order(&mut outgoing)[..2], [(Kind::Cancel, 9), (Kind::Call, 1)]);
}

#[test]
fn it_goes_behind_its_own_small_call_that_is_still_queued() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push(&[call(1, b"one"), call(2, b"two")].concat());
    outgoing.push_cancel(1);
    let kinds = [(Kind::Call, 1), (Kind::Call, 2), (Kind::Cancel, 1)];
    assert_eq!(order(&mut outgoing), kinds);
}

#[test]
fn a_large_call_that_has_not_begun_is_begun_and_cancelled() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(large(1, 1 << 20));
    outgoing.push_cancel(1);
    assert_eq!(order(&mut outgoing), [(Kind::Call, 1), (Kind::Cancel, 1)]);
    assert_eq!(outgoing.bulk_bytes(), 0);
}

#[test]
fn the_rest_of_a_large_call_is_not_sent() {
    for written in [1, 5_000, 100_000] {
        let mut outgoing = Outgoing::new(PLENTY);
        outgoing.push_bulk(large(1, 8 << 20));
        let mut bytes = Vec::new();
        while bytes.len() < written {
            write(&mut outgoing, written - bytes.len(), &mut bytes);
        }
        outgoing.push_cancel(1);
        outgoing.push(&call(2, b"next"));
        write_rest(&mut outgoing, &mut bytes);
        assert!(bytes.len() < 1 << 20, "{} bytes were sent", bytes.len());
        assert_eq!(outgoing.bulk_bytes(), 0);
        let events = arrived(&bytes);
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events.contains(&Received::Withdrawn { id: 1, oneway: false }));
    }
}

#[test]
fn among_several_large_calls_only_the_cancelled_one_ends_early() {
    let mut outgoing = Outgoing::new(PLENTY);
    for id in 1..=3 {
        outgoing.push_bulk(large(id, 200_000));
    }
    let mut bytes = Vec::new();
    write(&mut outgoing, PLENTY, &mut bytes);
    write(&mut outgoing, PLENTY, &mut bytes);
    outgoing.push_cancel(1);
    write_rest(&mut outgoing, &mut bytes);
    let whole = |event: &Received| matches!(event, Received::Call { id: 2 | 3, .. });
    let events = arrived(&bytes);
    assert_eq!(events.iter().filter(|event| whole(event)).count(), 2);
    assert!(events.contains(&Received::Withdrawn { id: 1, oneway: false }));
}

#[test]
fn during_the_last_fragment_it_comes_behind_the_whole_call() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(large(1, 70_000));
    let mut out = Vec::new();
    while out.len() < 69_000 {
        let left = 69_000 - out.len();
        write(&mut outgoing, left, &mut out);
    }
    outgoing.push_cancel(1);
    write_rest(&mut outgoing, &mut out);
    let cancel = Received::Frame { header: Header::new(Kind::Cancel, 1), body: Vec::new() };
    assert_eq!(arrived(&out), [received_call(1, false, 70_000), cancel]);
}

#[test]
fn it_makes_room_for_the_next_large_message() {
    let mut outgoing = Outgoing::new(100_000);
    (1..=3).for_each(|id| outgoing.push_bulk(large(id, 90_000)));
    let mut out = Vec::new();
    write(&mut outgoing, 10, &mut out);
    outgoing.push_cancel(1);
    outgoing.push_cancel(2);
    write_rest(&mut outgoing, &mut out);
    let mut incoming = greeted(100_000, 100_000);
    let events = feed(&mut incoming, &out, || PLENTY).expect("no more than it holds is begun");
    assert!(matches!(events[0], Received::Withdrawn { id: 1, .. }));
    assert!(matches!(events[1], Received::Withdrawn { id: 2, .. }));
    assert_eq!(events[2], received_call(3, false, 90_000));
    assert!(!incoming.is_midway());
}

#[test]
fn a_reply_of_the_same_id_is_not_cancelled() {
    let mut outgoing = Outgoing::new(PLENTY);
    let mut bulk = large(1, 70_000);
    bulk.header.kind = Kind::Reply;
    outgoing.push_bulk(bulk);
    outgoing.push_cancel(1);
    let mut out = Vec::new();
    write_rest(&mut outgoing, &mut out);
    let events = arrived(&out);
    assert!(matches!(events[1], Received::Reply { id: 1, .. }));
}
