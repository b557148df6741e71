//! Peers that stop in the middle of something.

use std::time::Duration;

use crate::server::Orders;
use crate::support::frame::{Frame, Hello, PREFACE};
use crate::support::waiting::timed;
use crate::victim::attack;

/// The reason of a `Goodbye` to a client that did not go on.
const STALLED: u16 = 5;

/// How long a peer may take here, in ms.
const PROGRESS: u64 = 100;
const HANDSHAKE: u64 = 250;

/// What a busy machine may add.
const LOOSE: Duration = Duration::from_secs(5);

#[test]
fn who_stops_in_the_middle_of_a_frame_is_told_and_closed() {
    let orders = Orders { progress_ms: Some(PROGRESS), ..Orders::default() };
    attack(&orders, |victim| {
        let (_, add) = victim.caller("add");
        let call = Frame::call(add, 1, &[2, 3]).to_bytes();
        let begun = Frame::beginning(add, 1, 100_000, &[1; 100]).to_bytes();
        let fragment = Frame::fragment(1, &[1; 1000]).to_bytes();
        let stops = [
            call[..1].to_vec(),
            call[..16].to_vec(),
            call[..17].to_vec(),
            // Between two frames, and within the second.
            begun.clone(),
            [begun.clone(), fragment[..10].to_vec()].concat(),
            [begun, fragment[..500].to_vec()].concat(),
            // Behind a whole call.
            [call.clone(), call[..17].to_vec()].concat(),
        ];
        let count = stops.len() as u64;
        for stop in stops {
            let (mut raw, _) = victim.greeted();
            raw.write(&stop);
            let ((reason, text), took) = timed(|| raw.goodbye());
            assert_eq!(reason, STALLED, "{text}");
            assert!(text.contains("no further byte of a message for 100ms"), "{text}");
            let patience = Duration::from_millis(PROGRESS);
            // The clock may have started before the last byte was written.
            assert!(took * 2 > patience && took < patience + LOOSE, "{took:?}");
            raw.finish();
            victim.assert_end("PeerStalled", "no further byte of a message for 100ms");
        }
        assert_eq!(victim.counts().stalled, count);
    });
}

#[test]
fn who_goes_on_slowly_is_not_stalled() {
    // Enough that a busy machine does not make a pause that long.
    let progress = Duration::from_millis(400);
    let orders = Orders { progress_ms: Some(400), ..Orders::default() };
    attack(&orders, |victim| {
        let (mut raw, add) = victim.caller("add");
        // In all it takes longer than any pause may.
        for part in Frame::call(add, 1, &[2, 3]).to_bytes().chunks(5) {
            raw.write(part);
            std::thread::sleep(progress * 3 / 8);
        }
        assert_eq!(raw.frame().unwrap(), Frame::reply(1, &[5]));
        // Between two frames it may rest as long as it likes.
        std::thread::sleep(progress * 5 / 4);
        raw.send(&Frame::call(add, 2, &[2, 3]));
        assert_eq!(raw.frame().unwrap(), Frame::reply(2, &[5]));
        assert_eq!(victim.counts().stalled, 0);
    });
}

#[test]
fn who_does_not_greet_in_time_is_closed_silently() {
    let orders = Orders { handshake_ms: Some(HANDSHAKE), ..Orders::default() };
    attack(&orders, |victim| {
        let hello = Hello::default().to_bytes();
        let silences: [&[u8]; 4] = [b"", &PREFACE[..3], PREFACE, &hello[..hello.len() - 1]];
        for said in silences {
            let mut raw = victim.raw();
            raw.write(said);
            let (rest, took) = timed(|| raw.rest());
            assert_eq!(rest, b"");
            let patience = Duration::from_millis(HANDSHAKE);
            assert!(took * 2 > patience && took < patience + LOOSE, "{took:?}");
            victim.assert_end("PeerStalled", "no handshake for 250ms");
        }
        assert_eq!(victim.counts().stalled, 4);
    });
}

#[test]
fn a_slow_greeting_takes_no_longer_than_a_silent_one() {
    let orders = Orders { handshake_ms: Some(HANDSHAKE), ..Orders::default() };
    attack(&orders, |victim| {
        let mut raw = victim.raw();
        let drip = || {
            for byte in Hello::default().to_bytes() {
                if !raw.try_write(&[byte]) || raw.closes_within(Duration::from_millis(10)) {
                    return;
                }
            }
        };
        let (_, took) = timed(drip);
        assert!(took < Duration::from_millis(HANDSHAKE) + LOOSE, "{took:?}");
        victim.assert_end("PeerStalled", "no handshake for 250ms");
    });
}

#[test]
fn who_is_held_back_by_the_server_is_not_stalled() {
    let orders = Orders {
        progress_ms: Some(PROGRESS),
        // One that runs without a reply is as many as may.
        calls_in_flight: Some(1),
        ..Orders::default()
    };
    crate::victim::attack_concurrent(&orders, |victim| {
        let (mut raw, hold) = victim.caller("hold_oneway");
        let held = Frame::call(hold, 0, &[0]).with_flags(crate::support::frame::ONEWAY).to_bytes();
        // What comes behind it is not read, and it is a frame and a half.
        raw.write(&[held.clone(), held.clone(), held[..17].to_vec()].concat());
        std::thread::sleep(Duration::from_millis(PROGRESS * 3));
        assert_eq!(victim.counts().stalled, 0);
        assert!(!raw.closes_within(Duration::ZERO));
    });
}
