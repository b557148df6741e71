//! Frames that break a rule: the connection ends, and both sides know why.

use crate::server::Orders;
use crate::support::frame::{
    ANSWER, CALL, CANCEL, CREDIT, DATA, DEADLINE, END, Frame, GOODBYE, HELLO, Hello, ITEM,
    METADATA, MORE, ONEWAY, PING, REPLY,
};
use crate::victim::{Victim, attack, attack_concurrent};

/// The reason of a `Goodbye` to a client that broke the protocol.
const VIOLATION: u16 = 3;

/// The first length that is sent in fragments, in bytes.
const LARGE: u64 = 65_537;

/// Sends `bytes` after the handshake, and checks that both sides say `text` of it.
#[track_caller]
fn send_wrong(victim: &mut Victim, bytes: &[u8], text: &str) {
    let (mut raw, _) = victim.greeted();
    raw.try_write(bytes);
    let (reason, told) = raw.goodbye();
    assert_eq!(reason, VIOLATION, "{told}");
    assert!(told.contains(text), "{told:?} has no {text:?}");
    assert_eq!(raw.rest(), b"", "a goodbye is the last frame");
    // It waits a moment for that, so that it does not take away what it said.
    raw.finish();
    victim.assert_end("ProtocolViolation", text);
}

fn send_each_wrong(orders: &Orders, wrong: &[(Vec<u8>, &str)]) {
    attack(orders, |victim| {
        for (bytes, text) in wrong {
            send_wrong(victim, bytes, text);
            victim.goes_on();
        }
        assert_eq!(victim.counts().violations, wrong.len() as u64);
    });
}

#[test]
fn lengths_beyond_all_limits_are_found_in_the_header() {
    let wrong: Vec<_> = [CALL, CANCEL, DATA, CREDIT, PING, GOODBYE]
        .into_iter()
        .map(|kind| (Frame::new(kind, 1).to_bytes_of_length(u32::MAX), "4294967295 bytes"))
        .chain([
            (Frame::new(CALL, 1).to_bytes_of_length(81_941), "the limit is 81940"),
            (Frame::new(DATA, 1).to_bytes_of_length(262_145), "the limit is 262144"),
        ])
        .collect();
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn kinds_that_do_not_exist_are_refused() {
    let wrong: Vec<_> = [0, 9, 10, 0x47, 0x80, 0xff]
        .into_iter()
        .map(|kind| (Frame::new(kind, 1).to_bytes(), "unknown kind"))
        .collect();
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn flags_of_other_kinds_are_refused() {
    let allowed = |kind| match kind {
        CALL => MORE | DEADLINE | METADATA | ONEWAY,
        REPLY => MORE,
        DATA => ANSWER | ITEM,
        CREDIT => ANSWER | END,
        PING => ANSWER,
        _ => 0,
    };
    let wrong: Vec<_> = [CALL, REPLY, CANCEL, DATA, CREDIT, PING, GOODBYE]
        .into_iter()
        .flat_map(|kind| (0..8).map(move |bit| (kind, 1 << bit)))
        .filter(|(kind, flag)| allowed(*kind) & flag == 0)
        .map(|(kind, flags)| (Frame::new(kind, 1).with_flags(flags).to_bytes(), "with flags"))
        .collect();
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn frames_that_a_client_may_not_send_are_refused() {
    let wrong = [
        (Hello::default().frame().to_bytes(), "a Hello frame to a server"),
        (Frame::reply(1, &[1]).to_bytes(), "a reply to 1, which nobody called"),
        (Frame::new(CREDIT, 1).to_bytes(), "too short for its fields"),
        (Frame::new(CREDIT, 1).with_flags(ANSWER).to_bytes(), "a Credit frame to a server"),
        (Frame::fragment(1, &[1; 100]).with_flags(ANSWER).to_bytes(), "without a beginning"),
        (Frame::new(HELLO, 0).to_bytes(), "a Hello frame to a server"),
    ];
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn bodies_too_short_for_their_fields_are_refused() {
    let call = |flags, body: &[u8]| Frame::call(0, 1, body).with_flags(flags).to_bytes();
    let short = "too short for its fields";
    let wrong = [
        (call(MORE, &[]), short),
        (call(MORE, &[0; 7]), short),
        (call(DEADLINE, &[0; 7]), short),
        (call(METADATA, &[0; 3]), short),
        (call(METADATA, &[5, 0, 0, 0, 1, 2, 3, 4]), short),
        (call(METADATA, &[0xff; 100]), "4294967295 bytes of metadata"),
        (call(METADATA, &[&[1, 0x40, 0, 0], [0; 20_000].as_slice()].concat()), "16385 bytes"),
        (call(DEADLINE | METADATA, &[0; 11]), short),
        (call(MORE | DEADLINE, &[0xff; 15]), short),
    ];
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn messages_over_the_limit_are_refused_by_their_announcement() {
    let announce = |total| Frame::beginning(1, 1, total, &[0; 100]).to_bytes();
    let wrong = [
        (announce(200_001), "200001 bytes, and the limit is 200000"),
        (announce(u64::MAX), "18446744073709551615 bytes"),
        (announce(u64::MAX / 2 + 1), "9223372036854775808 bytes"),
    ];
    send_each_wrong(&Orders { message: Some(200_000), ..Orders::default() }, &wrong);
}

#[test]
fn more_begun_than_may_be_held_is_refused() {
    let begin = |id, total| Frame::beginning(1, id, total, &[0; 100]).to_bytes();
    let wrong = [
        ([begin(1, 200_000), begin(2, 200_001)].concat(), "400001 bytes are under way"),
        ((1..=7).flat_map(|id| begin(id, LARGE)).collect(), "the limit is 400000"),
    ];
    let orders = Orders { held: Some(400_000), ..Orders::default() };
    send_each_wrong(&orders, &wrong);
}

#[test]
fn fragments_that_fit_nothing_are_refused() {
    let begin = |total, first: usize| Frame::beginning(1, 7, total, &vec![0; first]).to_bytes();
    let data = |length: usize| Frame::fragment(7, &vec![0; length]).to_bytes();
    let wrong = [
        (data(100), "a fragment without a beginning of message 7"),
        ([begin(LARGE, 100), data(65_438)].concat(), "past the end"),
        ([begin(LARGE, 100), data(65_000), data(438)].concat(), "past the end"),
        ([begin(LARGE, 100), data(0)].concat(), "empty or past the end"),
        ([begin(LARGE, 100), begin(LARGE, 100)].concat(), "a second beginning of message 7"),
        (begin(LARGE, 0), "all or nothing"),
        (begin(65_536, 100), "needless"),
        (begin(0, 0), "needless"),
        // The last of a whole message, and one more.
        ([begin(LARGE, 1), data(65_536), data(1)].concat(), "without a beginning"),
    ];
    send_each_wrong(&Orders::default(), &wrong);
}

#[test]
fn what_is_too_large_for_one_frame_is_refused() {
    let wrong = [(Frame::call(1, 1, &[0; 70_000]).to_bytes(), "70000 bytes")];
    send_each_wrong(&Orders { message: Some(66_000), ..Orders::default() }, &wrong);
}

#[test]
fn the_id_of_a_running_call_cannot_be_used_again() {
    attack_concurrent(&Orders::default(), |victim| {
        let (mut raw, hold) = victim.caller("hold");
        let call = Frame::call(hold, 5, &[0]);
        raw.write(&[call.to_bytes(), call.to_bytes()].concat());
        let (reason, text) = raw.goodbye();
        assert_eq!(reason, VIOLATION);
        assert!(text.contains("a second call with the id 5"), "{text}");
        raw.finish();
        victim.assert_end("ProtocolViolation", "a second call with the id 5");
        // The first one goes with the connection.
        let (mut raw, holding) = victim.caller("holding");
        crate::support::waiting::until(|| {
            raw.send(&Frame::call(holding, 1, &[]));
            raw.frame().unwrap().body == [0]
        });
    });
}

#[test]
fn what_was_called_before_a_violation_is_answered_first() {
    attack(&Orders::default(), |victim| {
        let (mut raw, add) = victim.caller("add");
        let right = Frame::call(add, 1, &[2, 3]).to_bytes();
        raw.write(&[right, Frame::new(0, 0).to_bytes()].concat());
        assert_eq!(raw.frame().unwrap(), Frame::reply(1, &[5]));
        assert_eq!(raw.goodbye().0, VIOLATION);
        raw.finish();
        victim.assert_end("ProtocolViolation", "unknown kind 0");
    });
}

#[test]
fn what_means_nothing_does_nothing() {
    attack(&Orders::default(), |victim| {
        let (mut raw, add) = victim.caller("add");
        let harmless = [
            Frame::new(CANCEL, 99),
            Frame::new(PING, 1).with_flags(ANSWER),
            Frame { body: vec![0; 81_940], ..Frame::new(CANCEL, 1) },
            Frame { body: b"bye".to_vec(), code: 999, ..Frame::new(GOODBYE, 0) },
            Frame::call(add, u64::MAX, &[1, 1]),
            Frame::call(add, 0, &[1, 1]),
            Frame::call(add, 0, &[1, 1]),
        ];
        for frame in &harmless {
            raw.send(frame);
        }
        for id in [u64::MAX, 0, 0] {
            assert_eq!(raw.frame().unwrap(), Frame::reply(id, &[2]));
        }
        raw.finish();
        assert_eq!(raw.rest(), b"");
        assert_eq!(victim.counts().violations, 0);
    });
}

#[test]
fn pings_are_answered_with_the_same_numbers() {
    attack(&Orders::default(), |victim| {
        let (mut raw, _) = victim.greeted();
        for id in [0, 1, u64::MAX] {
            let ping = Frame { code: 0xabcd, body: b"body".to_vec(), ..Frame::new(PING, id) };
            raw.send(&ping);
            let answer = Frame { flags: ANSWER, body: Vec::new(), ..ping };
            assert_eq!(raw.frame().unwrap(), answer);
        }
    });
}
