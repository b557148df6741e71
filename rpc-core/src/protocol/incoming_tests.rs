//! The same bytes give the same events, in whatever pieces they come.

use proptest::prelude::*;

use super::{BUFFER, Incoming};
use crate::protocol::testing::{
    Random, Received, beginning, call, feed, frame, greeted, greeting, pattern, plain,
    received_call,
};
use crate::wire::frame::{
    ANSWER, BODY, END, FRAGMENT, HEADER, Header, ITEM, Kind, METADATA, MORE, ONEWAY, PIECE,
    PREFACE, Prefix,
};

const LIMIT: usize = 1 << 20;

fn whole(bytes: &[u8]) -> Vec<Received> {
    feed(&mut Incoming::new(LIMIT, LIMIT), bytes, || usize::MAX).expect("the bytes are in order")
}

fn in_two(bytes: &[u8], at: usize) -> Vec<Received> {
    let mut incoming = Incoming::new(LIMIT, LIMIT);
    let (first, second) = bytes.split_at(at);
    let mut events = feed(&mut incoming, first, || usize::MAX).expect("in order");
    events.extend(feed(&mut incoming, second, || usize::MAX).expect("in order"));
    assert!(!incoming.is_midway());
    events
}

/// A call with every optional field, in one frame.
fn full_call(id: u64, payload: &[u8]) -> Vec<u8> {
    let prefix = Prefix { total: None, remaining: Some(5_000), metadata: b"meta" };
    let mut header = Header::new(Kind::Call, id);
    (header.flags, header.code) = (prefix.flags() | ONEWAY, 0x0102);
    let mut body = Vec::new();
    prefix.write(&mut body);
    body.extend_from_slice(payload);
    frame(header, &body)
}

/// Frames of every kind that a peer may send, without large messages.
fn small_frames() -> Vec<Vec<u8>> {
    let mut status = Header::new(Kind::Reply, 3);
    status.code = 9;
    vec![
        call(1, b"payload"),
        call(2, b""),
        full_call(0x0102_0304_0506_0708, b"arguments"),
        frame(status, b"result"),
        plain(Kind::Cancel, 0, 2, b""),
        plain(Kind::Ping, 0, 9, b"body"),
        plain(Kind::Ping, ANSWER, 9, b""),
        plain(Kind::Credit, 0, 4, b"12345678"),
        plain(Kind::Data, ITEM, 4, b"items"),
        plain(Kind::Data, ITEM | ANSWER | END, 5, b""),
        plain(Kind::Credit, ANSWER | END, 4, b"12345678"),
        plain(Kind::Goodbye, 0, 0, "auf Wiedersehen".as_bytes()),
    ]
}

/// Two large calls and a large reply, fragments in turns, with small frames between them.
fn large_frames() -> Vec<Vec<u8>> {
    let (one, two, three) = (pattern(1, 70_000), pattern(2, 80_000), pattern(1, 66_000));
    vec![
        beginning(Kind::Call, 1, 70_000, &one[..1]),
        beginning(Kind::Call, 2, 80_000, &two[..40_000]),
        plain(Kind::Data, 0, 1, &one[1..30_000]),
        call(3, b"small"),
        beginning(Kind::Reply, 1, 66_000, &three[..4_096]),
        plain(Kind::Data, ANSWER, 1, &three[4_096..65_999]),
        plain(Kind::Data, 0, 2, &two[40_000..79_999]),
        plain(Kind::Cancel, 0, 3, b""),
        plain(Kind::Data, 0, 2, &two[79_999..]),
        plain(Kind::Data, 0, 1, &one[30_000..]),
        plain(Kind::Data, ANSWER, 1, &three[65_999..]),
        call(4, b""),
    ]
}

fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    [greeting(), frames.concat()].concat()
}

#[test]
fn every_small_frame_arrives_as_it_was_sent() {
    let events = whole(&stream(&small_frames()));
    assert_eq!(events[0], Received::Preface);
    assert!(matches!(&events[1], Received::Frame { header, .. } if header.kind == Kind::Hello));
    let full = Received::Call {
        id: 0x0102_0304_0506_0708,
        method: 0x0102,
        oneway: true,
        remaining: Some(5_000),
        metadata: b"meta".to_vec(),
        payload: b"arguments".to_vec(),
    };
    assert_eq!(events[4], full);
    let reply = Received::Reply { id: 3, status: 9, payload: b"result".to_vec() };
    assert_eq!(events[5], reply);
    let Received::Frame { header, body } = &events[13] else { panic!("the last is a goodbye") };
    assert_eq!((header.kind, &body[..]), (Kind::Goodbye, "auf Wiedersehen".as_bytes()));
    assert_eq!(events.len(), 14);
}

#[test]
fn small_frames_split_at_any_byte_are_the_same() {
    let bytes = stream(&small_frames());
    let expected = whole(&bytes);
    for at in 0..=bytes.len() {
        assert_eq!(in_two(&bytes, at), expected, "split at {at}");
    }
}

#[test]
fn fragments_in_turns_become_the_messages_they_are_of() {
    let events = whole(&stream(&large_frames()));
    let reply = Received::Reply { id: 1, status: 0, payload: pattern(1, 66_000) };
    let small = |id, payload: &[u8]| {
        let (metadata, payload) = (Vec::new(), payload.to_vec());
        Received::Call { id, method: 0, oneway: false, remaining: None, metadata, payload }
    };
    assert_eq!(events[2], small(3, b"small"));
    assert!(matches!(events[3], Received::Frame { .. }));
    assert_eq!(events[4], received_call(2, false, 80_000));
    assert_eq!(events[5], received_call(1, false, 70_000));
    assert_eq!(events[6], reply);
    assert_eq!(events[7], small(4, b""));
    assert_eq!(events.len(), 8);
}

#[test]
fn large_frames_split_around_any_header_are_the_same() {
    let frames = large_frames();
    let bytes = stream(&frames);
    let expected = whole(&bytes);
    let mut boundary = greeting().len();
    for length in frames.iter().map(Vec::len) {
        for at in boundary.saturating_sub(20)..=bytes.len().min(boundary + 44) {
            assert_eq!(in_two(&bytes, at), expected, "split at {at}");
        }
        boundary += length;
    }
}

#[test]
fn bytes_that_come_one_by_one_are_the_same() {
    for frames in [small_frames(), large_frames()] {
        let bytes = stream(&frames);
        let single = feed(&mut Incoming::new(LIMIT, LIMIT), &bytes, || 1).expect("in order");
        assert_eq!(single, whole(&bytes));
    }
}

#[test]
fn every_frame_may_be_as_long_as_its_limit() {
    let (payload, metadata) = (pattern(1, FRAGMENT), vec![7; METADATA]);
    let prefix = Prefix { total: Some(LIMIT as u64), remaining: Some(1), metadata: &metadata };
    let mut body = Vec::new();
    prefix.write(&mut body);
    body.extend_from_slice(&payload);
    assert_eq!(body.len(), BODY);
    let mut header = Header::new(Kind::Call, 1);
    header.flags = prefix.flags();
    let mut frames = vec![frame(header, &body)];
    let rest = pattern(2, LIMIT - FRAGMENT);
    frames.extend(rest.chunks(PIECE).map(|piece| plain(Kind::Data, 0, 1, piece)));
    frames.push(plain(Kind::Ping, 0, 0, &vec![1; BODY]));
    let mut random = Random::new(5);
    for most in [1 << 10, 1 << 20] {
        let bytes = stream(&frames);
        let mut incoming = Incoming::new(LIMIT, LIMIT);
        let events = feed(&mut incoming, &bytes, || random.size(most)).expect("in order");
        let Received::Call { payload: arrived, remaining, metadata: meta, .. } = &events[2] else {
            panic!("the call comes first")
        };
        assert_eq!((remaining, meta), (&Some(1), &metadata));
        assert!(*arrived == [&payload[..], &rest].concat());
        assert_eq!(events.len(), 4);
    }
}

#[test]
fn a_long_hello_is_taken_and_its_memory_given_back() {
    let hello = plain(Kind::Hello, 0, 0, &vec![0; 1 << 20]);
    let mut incoming = Incoming::new(LIMIT, LIMIT);
    let bytes = [&PREFACE[..], &hello].concat();
    let events = feed(&mut incoming, &bytes, || 10_000).expect("in order");
    assert_eq!(events.len(), 2);
    assert!(incoming.buffer.capacity() >= 1 << 20);
    incoming.want();
    assert!(incoming.buffer.capacity() <= BUFFER * 2);
}

#[test]
fn one_is_midway_only_between_the_first_byte_and_the_last() {
    let mut incoming = greeted(LIMIT, LIMIT);
    assert!(!incoming.is_midway());
    let bytes = call(1, b"x");
    feed(&mut incoming, &bytes[..1], || 1).expect("in order");
    assert!(incoming.is_midway());
    feed(&mut incoming, &bytes[1..], || 100).expect("in order");
    assert!(!incoming.is_midway());
    let data = pattern(1, 70_000);
    feed(&mut incoming, &beginning(Kind::Call, 1, 70_000, &data[..10]), || 100).expect("in order");
    assert!(incoming.is_midway(), "the rest of the message is to come");
    feed(&mut incoming, &plain(Kind::Data, 0, 1, &data[10..50_000]), || 999).expect("in order");
    assert!(incoming.is_midway());
    feed(&mut incoming, &plain(Kind::Data, 0, 1, &data[50_000..]), || 999).expect("in order");
    assert!(!incoming.is_midway());
}

#[test]
fn fragments_are_received_where_they_belong_with_one_header_ahead() {
    let mut incoming = greeted(LIMIT, LIMIT);
    let data = pattern(1, 70_000);
    let mut head = Header::new(Kind::Data, 1);
    head.length = 60_000;
    let bytes = [&beginning(Kind::Call, 1, 70_000, &data[..10])[..], &head.to_bytes()].concat();
    feed(&mut incoming, &bytes, || usize::MAX).expect("in order");
    let (buffer, limit) = incoming.want();
    assert_eq!((&buffer[..], limit), (&data[..10], 60_000 + HEADER));
}

#[test]
fn a_byte_string_that_is_all_of_a_message_arrives_with_its_length() {
    let mut payload = vec![0xf0, 0xa2, 0x04];
    payload.extend(pattern(1, 70_000));
    let with = |length: u8| [&[length], &payload[1..]].concat();
    // The true length, one too small, one too large.
    for payload in [with(0xf0), with(0xef), with(0xf1)] {
        for first in (1..10).chain([4_096]) {
            let data = plain(Kind::Data, 0, 1, &payload[first..]);
            let begun = beginning(Kind::Call, 1, 70_003, &payload[..first]);
            let events = whole(&stream(&[begun, data, call(2, b"next")]));
            let Received::Call { payload: arrived, .. } = &events[2] else { panic!("a call") };
            assert!(*arrived == payload, "first fragment of {first} bytes");
            assert_eq!(events.len(), 4);
        }
    }
}

#[test]
fn a_cancel_in_the_midst_of_a_call_withdraws_it() {
    let data = pattern(1, 70_000);
    let frames = [
        beginning(Kind::Call, 1, 70_000, &data[..10]),
        beginning(Kind::Reply, 1, 70_000, &data[..10]),
        plain(Kind::Data, 0, 1, &data[10..5_000]),
        plain(Kind::Cancel, 0, 1, b""),
        plain(Kind::Cancel, 0, 1, b""),
        beginning(Kind::Call, 2, 70_000, &data[..10]),
        plain(Kind::Data, 0, 2, &data[10..]),
        plain(Kind::Data, ANSWER, 1, &data[10..]),
    ];
    let events = whole(&stream(&frames));
    assert_eq!(events[2], Received::Withdrawn { id: 1, oneway: false });
    let second = Received::Frame { header: Header::new(Kind::Cancel, 1), body: Vec::new() };
    assert_eq!(events[3], second, "there is nothing to withdraw any more");
    assert!(matches!(events[4], Received::Call { id: 2, .. }));
    assert!(matches!(events[5], Received::Reply { id: 1, .. }), "an answer is not withdrawn");
    assert_eq!(events.len(), 6);
}

/// A random conversation's frames, and what arrives of them.
fn conversation(random: &mut Random) -> (Vec<Vec<u8>>, Vec<Received>) {
    struct Sending {
        kind: Kind,
        id: u64,
        data: Vec<u8>,
        sent: usize,
    }
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let mut open: Vec<Sending> = Vec::new();
    for id in 0..20 {
        let total = FRAGMENT + 1 + random.below(30_000);
        let kind = if random.percent(50) { Kind::Call } else { Kind::Reply };
        if open.len() < 4 {
            let data = pattern(id, total);
            let sent = random.size(40_000);
            frames.push(beginning(kind, id, total as u64, &data[..sent]));
            open.push(Sending { kind, id, data, sent });
        }
        for _ in 0..random.below(4) {
            let length = random.size(3000);
            frames.push(call(id, &pattern(id, length)));
            events.push(received_call(id, false, length));
        }
        while open.len() > random.below(5) {
            let index = random.below(open.len());
            let Sending { kind, id, data, sent } = &mut open[index];
            let length = random.size(40_000).min(data.len() - *sent);
            let flags = if *kind == Kind::Reply { ANSWER } else { 0 };
            frames.push(plain(Kind::Data, flags, *id, &data[*sent..*sent + length]));
            *sent += length;
            if *sent == data.len() {
                let (kind, id, total) = (*kind, *id, data.len());
                events.push(match kind {
                    Kind::Call => received_call(id, false, total),
                    _ => Received::Reply { id, status: 0, payload: pattern(id, total) },
                });
                open.swap_remove(index);
            }
        }
    }
    // What is still open ends in one piece.
    for Sending { kind, id, data, sent } in open {
        let (flags, event) = match kind {
            Kind::Call => (0, received_call(id, false, data.len())),
            _ => (ANSWER, Received::Reply { id, status: 0, payload: data.clone() }),
        };
        frames.push(plain(Kind::Data, flags, id, &data[sent..]));
        events.push(event);
    }
    (frames, events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_conversation_in_any_pieces_is_the_same(seed in any::<u64>(), bits in 0u32..20) {
        let mut random = Random::new(seed);
        let (frames, expected) = conversation(&mut random);
        let mut incoming = greeted(LIMIT, LIMIT);
        let most = 1 << bits;
        let events = feed(&mut incoming, &frames.concat(), || random.size(most));
        prop_assert!(events.as_ref().is_ok_and(|events| *events == expected), "{:?}", events.err());
        prop_assert!(!incoming.is_midway());
        let more = frames.iter().any(|frame| frame[5] & MORE != 0);
        prop_assert!(more, "a conversation without a large message shows nothing");
    }
}
