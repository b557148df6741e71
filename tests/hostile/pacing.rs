//! Large messages among small ones: they go on as the peer shows that it reads, and nothing else waits
//! for them; nor do they wait for ever for answers that nobody will read.

use std::thread;

use crate::liar::{greet, method, next_call};
use crate::server::Orders;
use crate::support::frame::{ANSWER, CALL, DATA, Frame, PING, REPLY, varint};
use crate::support::over_every_scheme;
use crate::support::raw::{Raw, number};
use crate::target::TargetBlockingClient;
use crate::victim::attack;

/// Bytes of a large message that may be on their way in company.
const ON_THEIR_WAY: usize = 64 << 10;
/// Bytes of one that does not fit any transport's buffers.
const LARGE: usize = 60 << 20;

/// The large call's id; small ones count from 1.
const LARGE_ID: u64 = 0;

/// Makes a small call, reads until its reply, and says how much of the large message came before, and which
/// ping, if one came.
fn small_call(raw: &mut Raw, add: u16, id: u64) -> (usize, Option<u64>) {
    raw.send(&Frame::call(add, id, &[2, 3]));
    let (mut bytes, mut ping) = (0, None);
    loop {
        let frame = raw.frame().expect("it goes on");
        match frame.kind {
            DATA => bytes += frame.body.len(),
            PING => ping = Some(frame.id),
            REPLY if frame.id == LARGE_ID => bytes += frame.body.len() - 8,
            REPLY => {
                assert_eq!((frame.id, &frame.body[..]), (id, &[5][..]));
                return (bytes, ping);
            }
            kind => panic!("a frame of kind {kind}"),
        }
    }
}

#[test]
fn a_large_reply_goes_on_as_pings_are_answered_and_small_ones_do_not_wait() {
    attack(&Orders::default(), |victim| {
        victim.memory = crate::victim::MEMORY + 2 * LARGE;
        let (mut raw, hello) = victim.greeted();
        let (add, produce) = (number(&hello, "add"), number(&hello, "produce"));
        // Alone at first, it fills whatever is between the two sides.
        raw.send(&Frame::call(produce, LARGE_ID, &varint(LARGE as u64)));
        let mut came = 0;
        let mut ids = 1..;
        let mut call = |raw: &mut Raw| small_call(raw, add, ids.next().unwrap());
        let mut asked = None;
        while asked.is_none() {
            let (bytes, ping) = call(&mut raw);
            (came, asked) = (came + bytes, ping);
        }
        // What was on its way when the ping was sent, and then nothing more.
        came += call(&mut raw).0;
        for _ in 0..20 {
            assert_eq!(call(&mut raw), (0, None), "it goes on without being answered");
        }
        // An answer to what was not asked is none.
        raw.send(&Frame::new(PING, asked.unwrap() + 1).with_flags(ANSWER));
        assert_eq!(call(&mut raw), (0, None));
        // Answered, it goes on, a little at a time.
        for _ in 0..50 {
            raw.send(&Frame::new(PING, asked.unwrap()).with_flags(ANSWER));
            let (mut bytes, mut ping) = call(&mut raw);
            while ping.is_none() {
                let more = call(&mut raw);
                (bytes, ping) = (bytes + more.0, more.1);
            }
            assert!(bytes <= ON_THEIR_WAY, "{bytes} bytes for one answer");
            assert_eq!(ping, asked.map(|asked| asked + 1));
            (came, asked) = (came + bytes, ping);
        }
        finish(&mut raw, asked, came);
    });
}

/// Reads the large reply to its end, answering all pings.
fn finish(raw: &mut Raw, asked: Option<u64>, mut came: usize) {
    // The value's length stands before it.
    let total = LARGE + varint(LARGE as u64).len();
    raw.send(&Frame::new(PING, asked.unwrap()).with_flags(ANSWER));
    while came < total {
        let frame = raw.frame().expect("it goes on");
        match frame.kind {
            DATA => came += frame.body.len(),
            PING => raw.send(&Frame::new(PING, frame.id).with_flags(ANSWER)),
            kind => panic!("a frame of kind {kind}"),
        }
    }
    assert_eq!(came, total);
    raw.finish();
}

#[test]
fn a_large_call_goes_out_when_nobody_is_left_to_read_answers() {
    over_every_scheme(|subject| {
        let (mut listener, endpoint) = subject.endpoint().bind_resolved().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let client = TargetBlockingClient::connect(&endpoint).unwrap();
                let data = vec![7; LARGE / 2];
                // In company of a call whose answer is being waited for.
                thread::scope(|scope| {
                    let reader = scope.spawn(|| client.text("hello").unwrap());
                    let sender = scope.spawn(|| client.hold_oneway(&data).unwrap());
                    assert_eq!(reader.join().unwrap(), 5);
                    sender.join().unwrap();
                });
            });
            let mut raw = Raw::accept(&mut *listener);
            greet(&mut raw);
            let (text, hold) = (method("text"), method("hold_oneway"));
            let mut calls = [next_call(&mut raw), next_call(&mut raw)];
            calls.sort_by_key(|call| call.code == hold);
            assert_eq!(
                calls.each_ref().map(|call| (call.kind, call.code)),
                [(CALL, text), (CALL, hold)]
            );
            // No ping is answered, and then nobody waits for an answer of any kind.
            raw.send(&Frame::reply(calls[0].id, &[5]));
            let mut came = calls[1].body.len() - 8;
            while let Some(frame) = raw.frame() {
                came += if frame.kind == DATA { frame.body.len() } else { 0 };
            }
            assert_eq!(came, LARGE / 2 + varint((LARGE / 2) as u64).len());
        });
    });
}
