//! Peers that call and do not read the replies: what the server holds for them is bounded.

use std::time::Duration;

use crate::server::Orders;
use crate::support::frame::{Frame, PING, counted, varint};
use crate::support::raw::Raw;
use crate::support::waiting::until;
use crate::victim::{Victim, attack};

/// How long the server may take in nothing before it counts as having stopped.
const PATIENCE: Duration = Duration::from_millis(100);

/// Sends these calls without reading, for as long as the server takes them, and says how many it took.
fn send_and_never_read(victim: &Victim, method: &str, arguments: &[u8], calls: u64) -> (Raw, u64) {
    let (mut raw, number) = victim.caller(method);
    let length = Frame::call(number, 0, arguments).to_bytes().len();
    let mut sent = 0;
    while sent < calls {
        let some: Vec<u8> = (sent..calls.min(sent + 1000))
            .flat_map(|id| Frame::call(number, id, arguments).to_bytes())
            .collect();
        let written = raw.write_until_full(&some, PATIENCE);
        sent += (written / length) as u64;
        if written < some.len() {
            break;
        }
    }
    (raw, sent)
}

#[test]
fn small_replies_that_nobody_reads_stop_the_caller() {
    attack(&Orders::default(), |victim| {
        let (raw, sent) = send_and_never_read(victim, "echo", &counted(&[7; 1000]), 1_000_000);
        // The server itself is held to its limits by its memory (see `Victim::finish`); a TCP connection
        // may keep `tcp_rmem` and `tcp_wmem`, 36 MiB each way with some kernels, in the kernel.
        assert!(sent < 100_000, "{sent} calls were taken");
        victim.goes_on();
        drop(raw);
        victim.assert_end("PeerGone", "");
    });
}

#[test]
fn replies_larger_than_their_calls_stop_the_caller() {
    attack(&Orders::default(), |victim| {
        // Each asks for as much as goes in one frame.
        let (raw, sent) = send_and_never_read(victim, "produce", &varint(65_000), 1_000_000);
        assert!(sent < 300_000, "{sent} calls were taken");
        victim.goes_on();
        drop(raw);
        victim.assert_end("PeerGone", "");
    });
}

#[test]
fn large_replies_that_nobody_reads_stop_the_caller() {
    const LENGTH: u64 = 4 << 20;
    let orders = Orders { held: Some(16 << 20), ..Orders::default() };
    attack(&orders, |victim| {
        let (raw, _) = send_and_never_read(victim, "produce", &varint(LENGTH), 1_000_000);
        victim.goes_on();
        let calls = victim.counts().calls;
        drop(raw);
        victim.assert_end("PeerGone", "");
        assert!(calls > 0);
    });
}

#[test]
fn a_close_between_two_calls_with_answers_unread_is_no_orderly_end() {
    let orders = Orders { held: Some(16 << 20), ..Orders::default() };
    attack(&orders, |victim| {
        // As many whole calls as fill what the server keeps for one that does not read, and no part of a
        // further one, which would be an error of its own.
        let (mut raw, produce) = victim.caller("produce");
        (0..4).for_each(|id| raw.send(&Frame::call(produce, id, &varint(4 << 20))));
        // Too late for it to be read on after that.
        raw.send(&Frame::call(produce, 4, &varint(1)));
        until(|| victim.counts().calls >= 4);
        drop(raw);
        victim.assert_end("PeerGone", "");
    });
}

#[test]
fn pongs_that_nobody_reads_stop_the_pings() {
    attack(&Orders::default(), |victim| {
        let (mut raw, _) = victim.greeted();
        let pings = Frame::new(PING, 1).to_bytes().repeat(1_000_000);
        let written = raw.write_until_full(&pings, PATIENCE);
        assert!(written < pings.len(), "all of them were taken");
        drop(raw);
        victim.assert_end("PeerGone", "");
    });
}

#[test]
fn a_caller_that_reads_again_gets_everything() {
    attack(&Orders::default(), |victim| {
        let (mut raw, sent) = send_and_never_read(victim, "echo", &counted(&[7; 1000]), 5000);
        // What was written in part is ended when the server takes it.
        let mut next = 0;
        while next < sent {
            let reply = raw.frame().unwrap();
            assert_eq!((reply.id, reply.body.len()), (next, 1002));
            next += 1;
        }
        raw.finish();
    });
}
