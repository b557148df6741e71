//! Bytes that break the rules: which rule, at once, and never a panic or more memory than is allowed.

use proptest::prelude::*;

use super::{Incoming, Violation};
use crate::protocol::testing::{
    Random, Received, Seed, beginning, call, feed, greeted, greeting, pattern, plain,
};
use crate::wire::frame::{
    ANSWER, BODY, BadFrame, DEADLINE, END, FRAGMENT, HEADER, HELLO_BODY, Header, ITEM, Kind,
    METADATA, MORE, PIECE, PREFACE, WITH_METADATA,
};

const LIMIT: usize = 1 << 20;
const HELD: usize = 300_000;

fn violation(incoming: &mut Incoming, bytes: &[u8]) -> (usize, Violation) {
    match feed(incoming, bytes, || usize::MAX) {
        Err((events, violation)) => (events.len(), violation),
        Ok(events) => panic!("this must be refused: {events:?}"),
    }
}

/// What is wrong with these frames after a proper greeting.
fn refused(bytes: &[u8]) -> Violation {
    violation(&mut greeted(LIMIT, HELD), bytes).1
}

fn fragment_fault(bytes: &[u8]) -> &'static str {
    match refused(bytes) {
        Violation::Fragment { what, .. } => what,
        other => panic!("expected a fault of a fragment, got {other:?}"),
    }
}

fn header(length: u32, kind: u8, flags: u8) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[kind, flags, 0, 0]);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[test]
fn the_first_wrong_byte_of_the_preface_is_refused_at_once() {
    for text in ["GET / HTTP/1.1\r\n", "\0", "\u{16}\u{3}\u{1}", "ipcall\n\n"] {
        let (events, violation) = violation(&mut Incoming::new(LIMIT, HELD), text.as_bytes());
        assert!(matches!(violation, Violation::Preface(_)), "{violation:?}");
        assert_eq!(events, 0);
    }
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE[..=at].to_vec();
        bytes[at] ^= 1;
        let (_, violation) = violation(&mut Incoming::new(LIMIT, HELD), &bytes);
        assert!(violation.to_string().contains("not the preface"), "{violation}");
    }
}

#[test]
fn nothing_but_a_hello_or_a_goodbye_may_come_first() {
    for kind in 1..=8 {
        let bytes = [&PREFACE[..], &header(0, kind, 0)].concat();
        let result = feed(&mut Incoming::new(LIMIT, HELD), &bytes, || usize::MAX);
        match Kind::from_number(kind) {
            Some(Kind::Hello | Kind::Goodbye) => assert!(result.is_ok()),
            Some(kind) => {
                assert_eq!(result.map_err(|(_, it)| it), Err(Violation::Early { kind }));
            }
            None => unreachable!("1 to 8 are known"),
        }
    }
}

#[test]
fn nothing_is_held_for_a_stranger() {
    let large = beginning(Kind::Call, 1, HELD as u64, &[0; 10]);
    let mut incoming = Incoming::new(LIMIT, HELD);
    let (events, violation) = violation(&mut incoming, &[&PREFACE[..], &large].concat());
    assert_eq!((events, violation), (1, Violation::Early { kind: Kind::Call }));
    assert!(incoming.partials.is_empty());
}

#[test]
fn kinds_and_flags_that_do_not_exist_are_refused() {
    for kind in [0, 9, 10, 255] {
        assert_eq!(refused(&header(0, kind, 0)), BadFrame::Kind(kind).into());
    }
    // An end goes with an item only, see below.
    let allowed = [0, 0b1111, 0b1, 0, 0b11_0000, 0b101_0000, 0b1_0000, 0];
    for (kind, allowed) in (1..=8).zip(allowed) {
        for bit in 0..8 {
            let flags = 1 << bit;
            let refused = Header::from_bytes(&header(0, kind, flags).try_into().expect("16 bytes"));
            assert_eq!(refused.is_ok(), flags & allowed != 0, "kind {kind}, flags {flags:#x}");
        }
    }
    let end_of_stream = header(0, Kind::Data as u8, ITEM | END).try_into().expect("16 bytes");
    assert!(Header::from_bytes(&end_of_stream).is_ok());
}

#[test]
fn a_frame_over_its_limit_is_refused_by_its_header_alone() {
    for (kind, limit) in [(1, HELLO_BODY), (2, BODY), (3, BODY), (5, PIECE), (7, BODY), (8, BODY)] {
        for length in [limit as u32 + 1, u32::MAX] {
            let expected = BadFrame::Length {
                kind: Kind::from_number(kind).expect("it is known"),
                length,
                limit,
            };
            assert_eq!(refused(&header(length, kind, 0)), expected.into());
        }
    }
}

#[test]
fn a_body_too_short_for_its_fields_is_refused() {
    for (flags, needed) in
        [(MORE, 8), (DEADLINE, 8), (WITH_METADATA, 4), (MORE | DEADLINE | WITH_METADATA, 20)]
    {
        for length in 0..needed {
            let bytes = plain(Kind::Call, flags, 1, &vec![0; length]);
            let expected = BadFrame::Short { kind: Kind::Call, length };
            assert_eq!(refused(&bytes), expected.into(), "flags {flags:#x}");
        }
    }
}

#[test]
fn metadata_is_bounded_by_itself_and_by_its_frame() {
    let with_metadata = |length: usize, given: usize| {
        let body = [&(length as u32).to_le_bytes()[..], &vec![0; given]].concat();
        plain(Kind::Call, WITH_METADATA, 1, &body)
    };
    let bytes = with_metadata(METADATA, METADATA);
    assert!(feed(&mut greeted(LIMIT, HELD), &bytes, || usize::MAX).is_ok());
    for length in [METADATA + 1, u32::MAX as usize] {
        let expected = BadFrame::Metadata { kind: Kind::Call, length };
        assert_eq!(refused(&with_metadata(length, METADATA + 1)), expected.into());
    }
    let expected = BadFrame::Short { kind: Kind::Call, length: 13 };
    assert_eq!(refused(&with_metadata(10, 9)), expected.into());
}

#[test]
fn a_message_over_the_limit_is_refused_before_memory_is_taken() {
    for total in [LIMIT as u64 + 1, u64::MAX] {
        let mut incoming = greeted(LIMIT, usize::MAX);
        let (_, violation) = violation(&mut incoming, &beginning(Kind::Call, 1, total, b"x"));
        assert_eq!(violation, Violation::Message { total, limit: LIMIT });
        assert!(incoming.partials.is_empty());
    }
}

#[test]
fn a_call_over_the_limit_is_refused_in_one_frame_too() {
    let mut incoming = greeted(100, HELD);
    assert!(feed(&mut incoming, &call(1, &[0; 100]), || usize::MAX).is_ok());
    let (_, violation) = violation(&mut incoming, &call(2, &[0; 101]));
    assert_eq!(violation, Violation::Message { total: 101, limit: 100 });
}

#[test]
fn even_without_limits_the_largest_numbers_only_add_up() {
    let mut incoming = greeted(usize::MAX, HELD);
    let first = beginning(Kind::Call, 1, 100_000, b"x");
    feed(&mut incoming, &first, || usize::MAX).expect("in order");
    let (_, violation) = violation(&mut incoming, &beginning(Kind::Call, 2, u64::MAX, b"x"));
    assert_eq!(violation, Violation::Held { held: u64::MAX, limit: HELD });
}

#[test]
fn more_begun_than_may_be_held_is_refused() {
    let mut incoming = greeted(LIMIT, HELD);
    for id in 1..=3 {
        let bytes = beginning(Kind::Call, id, 100_000, b"x");
        feed(&mut incoming, &bytes, || usize::MAX).expect("together they are at the limit");
    }
    let (_, violation) = violation(&mut incoming, &beginning(Kind::Reply, 1, 65_537, b"x"));
    assert_eq!(violation, Violation::Held { held: 365_537, limit: HELD });
}

#[test]
fn what_has_ended_is_no_longer_held() {
    let mut incoming = greeted(LIMIT, HELD);
    for id in 0..10 {
        let data = pattern(id, HELD);
        let mut bytes = beginning(Kind::Call, id, HELD as u64, &data[..1000]);
        data[1000..].chunks(PIECE).for_each(|piece| bytes.extend(plain(Kind::Data, 0, id, piece)));
        let events = feed(&mut incoming, &bytes, || usize::MAX).expect("one at a time");
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn a_message_that_fits_one_frame_may_not_come_in_several() {
    for total in [0, 1, 2, FRAGMENT as u64] {
        let bytes = beginning(Kind::Call, 1, total, b"x");
        assert_eq!(fragment_fault(&bytes), "a needless first fragment");
    }
}

#[test]
fn a_first_fragment_is_neither_empty_nor_all() {
    let what = "a first fragment that is all or nothing";
    assert_eq!(fragment_fault(&beginning(Kind::Call, 1, 70_000, b"")), what);
    for length in [65_537, 65_538] {
        assert_eq!(fragment_fault(&beginning(Kind::Call, 1, 65_537, &vec![0; length])), what);
    }
}

#[test]
fn a_message_begins_once() {
    let bytes = beginning(Kind::Call, 1, 70_000, b"x");
    assert_eq!(fragment_fault(&[&bytes[..], &bytes].concat()), "a second beginning");
    // The same id the other way round is another message.
    let answer = beginning(Kind::Reply, 1, 70_000, b"x");
    assert!(feed(&mut greeted(LIMIT, HELD), &[bytes, answer].concat(), || 999).is_ok());
}

#[test]
fn a_fragment_needs_a_beginning() {
    let what = "a fragment without a beginning";
    let begun = beginning(Kind::Call, 1, 70_000, b"x");
    assert_eq!(fragment_fault(&plain(Kind::Data, 0, 1, b"x")), what);
    for stray in [plain(Kind::Data, 0, 2, b"x"), plain(Kind::Data, ANSWER, 1, b"x")] {
        assert_eq!(fragment_fault(&[&begun[..], &stray].concat()), what);
    }
    let rest = plain(Kind::Data, 0, 1, &[0; 69_999]);
    let after = plain(Kind::Data, 0, 1, b"x");
    assert_eq!(fragment_fault(&[&begun[..], &rest, &after].concat()), what);
}

#[test]
fn nothing_follows_of_a_message_that_was_withdrawn() {
    let begun = beginning(Kind::Call, 1, 70_000, b"x");
    let cancel = plain(Kind::Cancel, 0, 1, b"");
    let more = plain(Kind::Data, 0, 1, b"x");
    let bytes = [&begun[..], &cancel, &more].concat();
    assert_eq!(fragment_fault(&bytes), "a fragment without a beginning");
}

#[test]
fn what_was_withdrawn_is_no_longer_held() {
    let mut incoming = greeted(LIMIT, HELD);
    for id in 0..10 {
        let begun = beginning(Kind::Call, id, HELD as u64, b"x");
        let bytes = [begun, plain(Kind::Cancel, 0, id, b"")].concat();
        let events = feed(&mut incoming, &bytes, || usize::MAX).expect("one at a time");
        assert_eq!(events, [Received::Withdrawn { id, oneway: false }]);
    }
    assert!(!incoming.is_midway());
}

#[test]
fn a_fragment_is_neither_empty_nor_past_the_end() {
    let begun = beginning(Kind::Call, 1, 70_000, b"x");
    for length in [0, 70_000, 70_001] {
        let bytes = [&begun[..], &plain(Kind::Data, 0, 1, &vec![0; length])].concat();
        assert_eq!(fragment_fault(&bytes), "a fragment that is empty or past the end");
    }
}

#[test]
fn what_came_before_a_violation_is_still_given_out() {
    let bytes = [call(1, b"good"), header(0, 99, 0), call(2, b"never seen")].concat();
    let (events, _) = violation(&mut greeted(LIMIT, HELD), &bytes);
    assert_eq!(events, 1);
}

/// What the peer has made it hold, checked against what it may.
fn assert_bounded(incoming: &Incoming) {
    let totals: usize = incoming.partials.iter().map(|partial| partial.total).sum();
    assert!(totals <= HELD);
    assert!(incoming.partials.len() <= HELD / FRAGMENT);
    for partial in &incoming.partials {
        assert!(partial.data.len() <= partial.total + HEADER);
        // A buffer that is used again may be up to four times too large.
        assert!(partial.data.capacity() <= 4 * (partial.total + HEADER));
        assert!(partial.metadata.len() <= METADATA);
    }
    assert!(incoming.buffer.capacity() <= HEADER + HELLO_BODY);
}

/// A peer that mostly keeps to the rules.
struct Dubious {
    random: Random,
    /// Messages begun, and the bytes of each that are to come.
    begun: Vec<(Kind, u64, usize)>,
    next: u64,
}

impl Dubious {
    fn frame(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut bytes = match random.below(10) {
            0..3 if self.begun.len() < 3 => {
                let kind = *random.choose(&[Kind::Call, Kind::Reply]).expect("there are two");
                let (total, first) = (FRAGMENT + 1 + random.below(60_000), random.size(5_000));
                self.next += 1;
                self.begun.push((kind, self.next, total - first));
                beginning(kind, self.next, total as u64, &vec![1; first])
            }
            0..7 if !self.begun.is_empty() => {
                let index = random.below(self.begun.len());
                let (kind, id, left) = &mut self.begun[index];
                let flags = if *kind == Kind::Reply { ANSWER } else { 0 };
                let bytes = plain(Kind::Data, flags, *id, &vec![2; random.size(60_000).min(*left)]);
                *left -= bytes.len() - HEADER;
                if *left == 0 {
                    self.begun.swap_remove(index);
                }
                bytes
            }
            7 => plain(Kind::Ping, 0, random.next(), &vec![3; random.below(100)]),
            8 => {
                plain(Kind::Data, random.below(32) as u8, self.next, &vec![4; random.size(100_000)])
            }
            _ => plain(Kind::Reply, 0, random.next(), &vec![5; random.size(70_000)]),
        };
        if random.percent(3) {
            let at = random.below(bytes.len().min(HEADER + 20));
            bytes[at] = random.next() as u8;
        }
        bytes
    }
}

#[test]
fn dubious_frames_never_panic_and_never_take_more_than_is_allowed() {
    let (mut arrived, mut violations) = (0, 0);
    for seed in 0..1_000 {
        let _seed = Seed(seed);
        let mut sizes = Random::new(seed);
        let mut peer = Dubious { random: Random::new(!seed), begun: Vec::new(), next: 0 };
        let mut incoming = greeted(LIMIT, HELD);
        for _ in 0..30 {
            let result = feed(&mut incoming, &peer.frame(), || sizes.size(100_000));
            assert_bounded(&incoming);
            match result {
                Ok(events) => arrived += events.len(),
                Err(_) => {
                    violations += 1;
                    break;
                }
            }
        }
    }
    assert!(arrived > 1_000 && violations > 500, "{arrived} arrived, {violations} violations");
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in any::<Vec<u8>>(), greeted_before in any::<bool>()) {
        let mut incoming = Incoming::new(LIMIT, HELD);
        let start = if greeted_before { greeting() } else { Vec::new() };
        let _ = feed(&mut incoming, &[start, bytes].concat(), || 7);
        assert_bounded(&incoming);
    }

    #[test]
    fn a_spoilt_byte_is_refused_or_read_as_something_else_but_nothing_is_invented(
        at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = [call(1, b"one"), call(2, b"two"), plain(Kind::Ping, 0, 3, b"")].concat();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let events = match feed(&mut greeted(LIMIT, HELD), &bytes, || usize::MAX) {
            Ok(events) | Err((events, _)) => events,
        };
        let payload = |event: &Received| match event {
            Received::Call { payload, .. } | Received::Reply { payload, .. } => payload.len(),
            Received::Frame { body, .. } => body.len(),
            Received::Preface | Received::Withdrawn { .. } => 0,
        };
        let taken: usize = events.iter().map(|event| HEADER + payload(event)).sum();
        prop_assert!(taken <= bytes.len());
    }
}
