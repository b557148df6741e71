//! What goes first, what takes turns, and that all that was pushed arrives once at the other end.

use super::{Bulk, Outgoing};
use crate::protocol::testing::{
    Random, Received, Seed, call, feed, frames, greeted, pattern, plain, received_call,
};
use crate::wire::frame::{ANSWER, BODY, FRAGMENT, HEADER, Header, Kind, MORE, ONEWAY, PIECE};

const PLENTY: usize = usize::MAX;

/// A large call with `length` bytes of [`pattern`].
pub(super) fn large(id: u64, length: usize) -> Bulk {
    let header = Header::new(Kind::Call, id);
    let data = pattern(id, length);
    Bulk {
        header,
        remaining: None,
        metadata: Vec::new(),
        lead: Vec::new(),
        data,
        skip: 0,
        receipt: None,
    }
}

/// Writes at most `most` bytes, once.
pub(super) fn write(outgoing: &mut Outgoing, most: usize, out: &mut Vec<u8>) -> usize {
    let written = outgoing.slices(|slices| {
        let mut left = most;
        for slice in slices {
            let count = slice.len().min(left);
            out.extend_from_slice(&slice[..count]);
            left -= count;
        }
        assert!(left < most, "there is something to write and nothing is shown");
        most - left
    });
    let count = written.expect("there is something to write");
    outgoing.advance(count);
    count
}

pub(super) fn write_all(outgoing: &mut Outgoing, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !outgoing.is_empty() {
        write(outgoing, most, &mut out);
    }
    out
}

/// The kinds and ids of all that is written from now on.
pub(super) fn order(outgoing: &mut Outgoing) -> Vec<(Kind, u64)> {
    let bytes = write_all(outgoing, PLENTY);
    frames(&bytes).iter().map(|(header, _)| (header.kind, header.id)).collect()
}

/// What arrives at a peer that holds any amount.
pub(super) fn arrived(bytes: &[u8]) -> Vec<Received> {
    let mut incoming = greeted(PLENTY, PLENTY);
    let events = feed(&mut incoming, bytes, || PLENTY).expect("the bytes are in order");
    assert!(!incoming.is_midway());
    events
}

#[test]
fn urgent_goes_before_small_before_large() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(large(1, 70_000));
    outgoing.push(&call(2, b""));
    outgoing.push(&call(3, b""));
    outgoing.push_urgent(&plain(Kind::Cancel, 0, 4, b""));
    let order = order(&mut outgoing);
    let first = [(Kind::Cancel, 4), (Kind::Call, 2), (Kind::Call, 3), (Kind::Call, 1)];
    assert_eq!(order[..4], first);
    assert!(order[4..].iter().all(|frame| *frame == (Kind::Data, 1)));
}

#[test]
fn a_frame_that_has_begun_ends_before_an_urgent_one() {
    for written in 1..HEADER + 4 {
        let mut outgoing = Outgoing::new(PLENTY);
        outgoing.push(&call(1, b"body"));
        let mut out = Vec::new();
        write(&mut outgoing, written, &mut out);
        outgoing.push_urgent(&plain(Kind::Cancel, 0, 2, b""));
        out.extend(write_all(&mut outgoing, PLENTY));
        let kinds: Vec<Kind> = frames(&out).iter().map(|(header, _)| header.kind).collect();
        assert_eq!(kinds, [Kind::Call, Kind::Cancel], "{written} bytes were out");
    }
}

#[test]
fn a_fragment_that_has_begun_ends_first_and_the_next_one_waits() {
    for written in [1, HEADER - 1, HEADER, HEADER + 8, HEADER + 9, 3_000] {
        let mut outgoing = Outgoing::new(PLENTY);
        outgoing.push_bulk(large(1, 500_000));
        let mut out = Vec::new();
        write(&mut outgoing, written, &mut out);
        outgoing.push(&call(2, b"small"));
        outgoing.push_urgent(&plain(Kind::Cancel, 0, 3, b""));
        out.extend(write_all(&mut outgoing, PLENTY));
        let ids: Vec<u64> = frames(&out).iter().map(|(header, _)| header.id).collect();
        assert_eq!(ids[..4], [1, 3, 2, 1], "{written} bytes were out");
        assert_eq!(arrived(&out).len(), 3);
    }
}

#[test]
fn a_fragment_that_is_prepared_but_not_begun_is_overtaken() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push(&call(1, b"x"));
    outgoing.push_bulk(large(2, 70_000));
    let mut out = Vec::new();
    write(&mut outgoing, HEADER + 1, &mut out);
    outgoing.push_urgent(&plain(Kind::Cancel, 0, 3, b""));
    out.extend(write_all(&mut outgoing, PLENTY));
    let ids: Vec<u64> = frames(&out).iter().map(|(header, _)| header.id).collect();
    assert_eq!(ids[..3], [1, 3, 2]);
}

#[test]
fn large_messages_take_turns_one_fragment_each() {
    let mut outgoing = Outgoing::new(PLENTY);
    (1..=3).for_each(|id| outgoing.push_bulk(large(id, 400_000)));
    let bytes = write_all(&mut outgoing, PLENTY);
    let frames = frames(&bytes);
    for turns in frames.chunks(3) {
        let ids: Vec<u64> = turns.iter().map(|(header, _)| header.id).collect();
        assert_eq!(ids, [1, 2, 3][..ids.len()]);
    }
    assert!(frames.iter().all(|(_, body)| body.len() <= FRAGMENT + 8));
    assert_eq!(arrived(&bytes).len(), 3);
}

#[test]
fn a_small_frame_waits_for_one_fragment_at_most() {
    let mut outgoing = Outgoing::new(PLENTY);
    (1..=3).for_each(|id| outgoing.push_bulk(large(id, 400_000)));
    let (mut out, mut pushed) = (Vec::new(), 0);
    for small in 10..20 {
        write(&mut outgoing, 10_000, &mut out);
        outgoing.push(&call(small, b""));
        pushed = out.len();
        let seen = |out: &[u8]| frames(out).iter().any(|(header, _)| header.id == small);
        while !seen(&out) {
            write(&mut outgoing, 10_000, &mut out);
        }
        assert!(out.len() - pushed <= FRAGMENT + 2 * HEADER + 10_000);
    }
    assert!(pushed < 1_200_000, "large messages were still on their way");
}

#[test]
fn no_frame_is_longer_than_its_limit() {
    for length in [FRAGMENT + 1, 2 * FRAGMENT, PIECE, PIECE + FRAGMENT, 5 * PIECE + 1] {
        for lead in [0, 1, FRAGMENT / 2] {
            let mut bulk = large(1, length);
            let data = bulk.data.split_off(lead);
            bulk.lead = std::mem::replace(&mut bulk.data, data);
            (bulk.remaining, bulk.metadata) = (Some(1), vec![9; 16 << 10]);
            let mut outgoing = Outgoing::new(PLENTY);
            outgoing.push_bulk(bulk);
            let bytes = write_all(&mut outgoing, PLENTY);
            for (header, body) in frames(&bytes) {
                let limit = if header.kind == Kind::Data { PIECE } else { BODY };
                assert!((1..=limit).contains(&body.len()));
            }
            let [Received::Call { payload, remaining: Some(1), metadata, .. }] =
                &arrived(&bytes)[..]
            else {
                panic!("one call arrives")
            };
            assert!(*payload == pattern(1, length) && metadata.len() == 16 << 10);
        }
    }
}

#[test]
fn a_reply_s_fragments_say_so() {
    let mut outgoing = Outgoing::new(PLENTY);
    let mut bulk = large(5, 70_000);
    bulk.header = Header { kind: Kind::Reply, code: 1, ..bulk.header };
    outgoing.push_bulk(bulk);
    let bytes = write_all(&mut outgoing, PLENTY);
    let frames = frames(&bytes);
    assert_eq!((frames[0].0.kind, frames[0].0.flags), (Kind::Reply, MORE));
    assert!(frames[1..].iter().all(|(header, _)| header.flags == ANSWER && header.code == 0));
    let reply = Received::Reply { id: 5, status: 1, payload: pattern(5, 70_000) };
    assert_eq!(arrived(&bytes), [reply]);
}

#[test]
fn bytes_before_the_payload_are_not_sent() {
    let mut bulk = large(1, 0);
    bulk.data = [&[0xee; 100][..], &pattern(1, 70_000)].concat();
    bulk.skip = 100;
    bulk.header.flags = ONEWAY;
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(bulk);
    let bytes = write_all(&mut outgoing, PLENTY);
    assert_eq!(arrived(&bytes), [received_call(1, true, 70_000)]);
}

#[test]
fn no_more_is_begun_than_the_peer_holds() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.set_open_limit(250_000);
    for (id, length) in [(1, 200_000), (2, 100_000), (3, 100_000), (4, 90_000), (5, 250_000)] {
        outgoing.push_bulk(large(id, length));
    }
    let bytes = write_all(&mut outgoing, PLENTY);
    // The peer's own count is the judge.
    let mut incoming = greeted(250_000, 250_000);
    let events = feed(&mut incoming, &bytes, || PLENTY).expect("no more than it holds is begun");
    assert_eq!(events.len(), 5);
}

#[test]
fn a_smaller_message_goes_while_a_larger_one_has_to_wait() {
    let mut outgoing = Outgoing::new(200_000);
    for (id, length) in [(1, 120_000), (2, 100_000), (3, 70_000)] {
        outgoing.push_bulk(large(id, length));
    }
    let mut begun = order(&mut outgoing);
    begun.retain(|(kind, _)| *kind == Kind::Call);
    assert_eq!(begun, [(Kind::Call, 1), (Kind::Call, 3), (Kind::Call, 2)]);
}

#[test]
fn a_message_larger_than_the_limit_goes_alone() {
    let mut outgoing = Outgoing::new(50_000);
    (1..=3).for_each(|id| outgoing.push_bulk(large(id, 100_000)));
    let ids: Vec<u64> = order(&mut outgoing).iter().map(|(_, id)| *id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn the_rest_of_a_frame_goes_before_all_else() {
    let mut outgoing = Outgoing::new(PLENTY);
    let bytes = call(1, b"begun elsewhere");
    outgoing.note_written(&bytes, 5);
    outgoing.push_urgent(&plain(Kind::Cancel, 0, 2, b""));
    assert_eq!(outgoing.queued(), bytes.len() - 5 + HEADER);
    let out = [&bytes[..5], &write_all(&mut outgoing, 3)].concat();
    assert_eq!(frames(&out).iter().map(|(header, _)| header.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn another_queue_is_taken_over_in_its_own_order() {
    let (mut one, mut other) = (Outgoing::new(PLENTY), Outgoing::new(PLENTY));
    one.push(&call(1, b""));
    one.push_bulk(large(2, 70_000));
    other.push_bulk(large(3, 70_000));
    other.push(&call(4, b""));
    other.push_urgent(&plain(Kind::Cancel, 0, 5, b""));
    one.append(&mut other);
    assert!(other.is_empty());
    let mut order = order(&mut one);
    order.retain(|(kind, _)| *kind != Kind::Data);
    let ids: Vec<u64> = order.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, [5, 1, 4, 2, 3]);
}

#[test]
fn only_small_frames_count_as_queued() {
    let mut outgoing = Outgoing::new(PLENTY);
    assert!(outgoing.is_empty());
    outgoing.push_bulk(large(1, 70_000));
    assert_eq!(outgoing.queued(), 0);
    assert!(!outgoing.is_empty());
    outgoing.push(&call(2, b"1234"));
    outgoing.push_urgent(&plain(Kind::Ping, 0, 3, b""));
    assert_eq!(outgoing.queued(), 2 * HEADER + 4);
    write(&mut outgoing, 10, &mut Vec::new());
    assert_eq!(outgoing.queued(), 2 * HEADER + 4 - 10);
    write_all(&mut outgoing, PLENTY);
    assert_eq!(outgoing.queued(), 0);
}

#[test]
fn writes_of_any_size_give_the_same_messages() {
    for most in (1..20).chain([63, 64, 1_000, 4_095, 4_096, 4_097, 65_535, 65_536, 65_552]) {
        let mut outgoing = Outgoing::new(PLENTY);
        outgoing.push(&call(1, b"one"));
        outgoing.push_bulk(large(2, 66_000));
        outgoing.push_bulk(large(3, 140_000));
        outgoing.push(&call(4, b"four"));
        let bytes = write_all(&mut outgoing, most);
        let events = arrived(&bytes);
        assert_eq!(events.len(), 4, "writes of {most} bytes");
        assert!(events.contains(&received_call(2, false, 66_000)));
        assert!(events.contains(&received_call(3, false, 140_000)));
    }
}

/// Pushes something random, and says what is to arrive of it.
fn push_random(outgoing: &mut Outgoing, random: &mut Random, id: u64) -> Received {
    match random.below(10) {
        0 => {
            outgoing.push_urgent(&plain(Kind::Cancel, 0, id, b""));
            let header = Header::new(Kind::Cancel, id);
            Received::Frame { header, body: Vec::new() }
        }
        1..4 => {
            let length = FRAGMENT + 50 + random.size(150_000);
            let mut bulk = large(id, length);
            match random.below(3) {
                0 => bulk.skip = random.below(50),
                1 => bulk.lead = pattern(id ^ 1, random.below(1_000)),
                _ => {}
            }
            let payload = [&bulk.lead[..], &bulk.data[bulk.skip..]].concat();
            outgoing.push_bulk(bulk);
            let metadata = Vec::new();
            Received::Call { id, method: 0, oneway: false, remaining: None, metadata, payload }
        }
        _ => {
            let length = random.below(3_000);
            outgoing.push(&call(id, &pattern(id, length)));
            received_call(id, false, length)
        }
    }
}

#[test]
fn whatever_is_pushed_arrives_once_through_writes_and_reads_of_any_size() {
    const HELD: usize = 400_000;
    for seed in 0..60 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let mut outgoing = Outgoing::new(HELD);
        let mut incoming = greeted(PLENTY, HELD);
        let (mut expected, mut events, mut pipe) = (Vec::new(), Vec::new(), Vec::new());
        let (most_written, most_read) = (256 << random.below(11), 256 << random.below(11));
        let mut next = 0;
        while next < 60 || !outgoing.is_empty() {
            if next < 60 && (outgoing.is_empty() || random.percent(5)) {
                expected.push(push_random(&mut outgoing, &mut random, next));
                next += 1;
            }
            if !outgoing.is_empty() {
                write(&mut outgoing, random.size(most_written), &mut pipe);
            }
            if random.percent(20) || outgoing.is_empty() {
                let read = feed(&mut incoming, &pipe, || random.size(most_read));
                events.extend(read.expect("the bytes are in order"));
                pipe.clear();
            }
        }
        assert!(!incoming.is_midway());
        assert_eq!(outgoing.open, 0);
        let id = |event: &Received| match event {
            Received::Call { id, .. }
            | Received::Reply { id, .. }
            | Received::Withdrawn { id, .. } => *id,
            Received::Frame { header, .. } => header.id,
            Received::Preface => u64::MAX,
        };
        events.sort_by_key(id);
        assert!(events == expected, "what arrived is not what was sent");
    }
}

/// What is written until the queue is at rest: the fragments' bytes, and the pings.
fn until_rest(outgoing: &mut Outgoing) -> (usize, Vec<u64>) {
    let mut out = Vec::new();
    while !outgoing.is_at_rest() {
        write(outgoing, PLENTY, &mut out);
    }
    let frames = frames(&out);
    let data = frames.iter().filter(|(header, _)| header.kind == Kind::Data);
    let pings = frames.iter().filter(|(header, _)| header.kind == Kind::Ping);
    (data.map(|(_, body)| body.len()).sum(), pings.map(|(header, _)| header.id).collect())
}

#[test]
fn among_small_frames_a_large_message_goes_on_with_each_answer() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(large(1, 10 << 20));
    outgoing.set_pace(true, 0);
    // Alone, it does not wait.
    write(&mut outgoing, PLENTY, &mut Vec::new());
    assert!(!outgoing.is_at_rest());
    outgoing.push(&call(2, b"small"));
    assert_eq!(until_rest(&mut outgoing), (32 << 10, vec![1]));
    for ping in 1..10 {
        outgoing.set_pace(true, ping);
        outgoing.push(&call(2 + ping, b"small"));
        assert_eq!(until_rest(&mut outgoing), (32 << 10, vec![ping + 1]));
        // A small frame does not wait, and is company even when it is not queued.
        outgoing.note_written(&call(100 + ping, b"small"), HEADER + 5);
        assert!(outgoing.is_at_rest());
    }
    // When nobody will read an answer, none is waited for.
    outgoing.set_pace(false, 9);
    assert!(until_rest(&mut outgoing).0 > 9 << 20);
    assert!(outgoing.is_empty());
}

#[test]
fn a_message_that_waits_for_an_answer_can_be_cancelled() {
    for begun in [true, false] {
        let mut outgoing = Outgoing::new(1 << 20);
        outgoing.push_bulk(large(1, 1 << 20));
        outgoing.push_bulk(large(2, 1 << 20));
        outgoing.set_pace(true, 0);
        write(&mut outgoing, PLENTY, &mut Vec::new());
        outgoing.push(&call(3, b"small"));
        until_rest(&mut outgoing);
        outgoing.push_cancel(if begun { 1 } else { 2 });
        assert!(!outgoing.is_at_rest());
        let shown = outgoing.slices(|slices| slices.iter().map(|slice| slice.len()).sum());
        // The first is ended by a frame at once; the second has to begin before.
        assert_eq!(shown, begun.then_some(HEADER));
        shown.into_iter().for_each(|count| outgoing.advance(count));
        assert!(outgoing.is_at_rest() && !outgoing.is_empty());
        outgoing.set_pace(true, 1);
        let order: Vec<_> = order_until_rest(&mut outgoing);
        assert!(!order.is_empty());
    }
}

/// The kinds and ids of what is written until the queue is at rest.
fn order_until_rest(outgoing: &mut Outgoing) -> Vec<(Kind, u64)> {
    let mut out = Vec::new();
    while !outgoing.is_at_rest() {
        write(outgoing, PLENTY, &mut out);
    }
    frames(&out).iter().map(|(header, _)| (header.kind, header.id)).collect()
}

#[test]
fn urgent_frames_are_no_company() {
    let mut outgoing = Outgoing::new(PLENTY);
    outgoing.push_bulk(large(1, 1 << 20));
    outgoing.set_pace(true, 0);
    for id in 0..20 {
        outgoing.push_urgent(&plain(Kind::Ping, ANSWER, id, b""));
        write(&mut outgoing, PLENTY, &mut Vec::new());
        if outgoing.is_empty() {
            return;
        }
        assert!(!outgoing.is_at_rest());
    }
    panic!("it should have been written by then");
}
