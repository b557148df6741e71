//! Too many connections, and too much at once on one of them.

use ipcall::RpcError;
use ipcall::transport::Connector;

use crate::server::Orders;
use crate::support::as_many_as_fit;
use crate::support::frame::{CANCEL, Frame, ONEWAY, PING, REPLY, counted};
use crate::support::raw::{Raw, number};
use crate::support::waiting::until;
use crate::victim::{Victim, attack, attack_concurrent, attack_processes};

/// The reason of a `Goodbye` to a client for which there is no room.
const FULL: u16 = 2;
/// The status of a reply to a call for which there is no room.
const OVERLOADED: u16 = 7;

#[test]
fn connections_over_the_limit_are_told_and_closed() {
    let orders = Orders { connections: Some(10), handshake_ms: Some(60_000), ..Orders::default() };
    attack(&orders, |victim| {
        // The honest client has the tenth place.
        let mut inside: Vec<_> = (0..9).map(|_| victim.greeted().0).collect();
        for _ in 0..20 {
            let mut raw = victim.raw();
            raw.write(&crate::support::frame::Hello::default().to_bytes());
            raw.preface();
            let (reason, text) = raw.goodbye();
            assert_eq!(reason, FULL);
            assert!(text.contains("10 connections of the server"), "{text}");
            victim.assert_end("Overloaded", "10 connections of the server");
        }
        let counts = victim.counts();
        assert_eq!((counts.accepted, counts.refused), (10, 20));
        inside.pop().unwrap().finish();
        until(|| Raw::connect(victim.endpoint()).finds_a_welcome());
        drop_ends(victim);
    });
}

/// Forgets the refusals while the server had not seen yet that there is room.
fn drop_ends(victim: &mut Victim) {
    let refused = victim.counts().refused;
    for _ in 20..refused {
        victim.assert_end("Overloaded", "connections of the server");
    }
}

#[test]
fn a_flood_of_silent_connections_is_bounded() {
    let orders = Orders { connections: Some(10), handshake_ms: Some(60_000), ..Orders::default() };
    attack(&orders, |victim| {
        // Those over the limit wait to be told, and those over that are closed without a word.
        let mut silent = as_many_as_fit(9 + 64 + 30, || {
            let mut raw = begin(victim)?;
            raw.stands(None);
            Ok(raw)
        });
        if silent.len() < 9 + 64 + 30 {
            // The system has bounded it already.
            victim.goes_on();
            silent.iter_mut().for_each(Raw::finish);
            silent.iter().for_each(|_| victim.assert_end("PeerGone", "in the handshake"));
            return;
        }
        for _ in 0..30 {
            victim.assert_end("Overloaded", "10 connections of the server");
        }
        let closed = |raw: &mut Raw| raw.closes_within(std::time::Duration::ZERO);
        until(|| silent.iter_mut().filter_map(|raw| closed(raw).then_some(())).count() >= 30);
        assert_eq!(silent.iter_mut().filter_map(|raw| closed(raw).then_some(())).count(), 30);
        victim.goes_on();
        silent.iter_mut().for_each(Raw::finish);
        for _ in 0..9 + 64 {
            victim.assert_end("PeerGone", "in the handshake");
        }
    });
}

/// A connection that nobody may ever accept; an error if it does not even begin.
fn begin(victim: &Victim) -> Result<Raw, RpcError> {
    victim.endpoint().try_connect().map(Raw::new)
}

#[test]
fn a_server_without_descriptors_serves_those_it_has() {
    let orders = Orders { descriptors: Some(80), ..Orders::default() };
    attack_processes(&orders, |victim| {
        let mut crowd = as_many_as_fit(100, || begin(victim));
        let size = crowd.len();
        let hello = crate::support::frame::Hello::default().to_bytes();
        // Two descriptors for each connection, or more: not all of them fit, and one may be closed again
        // for want of another. Over some transports those that do not fit cannot even begin to write.
        let patience = std::time::Duration::from_millis(50);
        let greeting = |raw: &mut Raw| raw.stands(Some(patience)) && raw.try_write(&hello);
        let standing: Vec<_> =
            crowd.iter_mut().filter_map(|raw| greeting(raw).then_some(raw)).collect();
        assert!(standing.len() >= size / 10);
        assert!(standing.into_iter().any(Raw::is_welcomed));
        victim.goes_on();
        drop(crowd);
        until(|| Raw::try_connect(victim.endpoint()).is_some_and(Raw::finds_a_welcome));
        // Some have found no place, and some had gone when there was one.
        victim.ends_so_far();
    });
}

#[test]
fn connections_come_and_go_by_the_hundred() {
    attack(&Orders::default(), |victim| {
        for round in 0..300 {
            let mut raw = victim.raw();
            match round % 3 {
                0 => {}
                1 => raw.write(b"\x89ip"),
                _ => raw.write(b"nonsense"),
            }
            drop(raw);
            let _ = victim.end();
        }
        assert_eq!(victim.counts().violations, 100);
    });
}

#[test]
fn more_calls_than_may_run_are_refused_one_by_one() {
    let orders = Orders { calls_in_flight: Some(8), ..Orders::default() };
    attack_concurrent(&orders, |victim| {
        let (mut raw, hold) = victim.caller("hold");
        let calls: Vec<u8> =
            (0..5000).flat_map(|id| Frame::call(hold, id, &[0]).to_bytes()).collect();
        raw.write(&calls);
        for id in 8..5000 {
            let reply = raw.frame().unwrap();
            assert_eq!((reply.kind, reply.code, reply.id), (REPLY, OVERLOADED, id));
        }
        // A slot is free as soon as a handler has ended.
        raw.send(&Frame::new(CANCEL, 3));
        assert_eq!(raw.frame().unwrap().id, 3);
        raw.write(&[Frame::call(hold, 6000, &[0]), Frame::call(hold, 6001, &[0])].concat_bytes());
        assert_eq!(raw.frame().unwrap().id, 6001);
        raw.finish();
    });
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl<const N: usize> ConcatBytes for [Frame; N] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(Frame::to_bytes).collect()
    }
}

#[test]
fn no_more_arguments_are_held_than_the_limit() {
    const LENGTH: usize = 1 << 20;
    let orders = Orders { held: Some(8 * LENGTH + 1000), ..Orders::default() };
    attack_concurrent(&orders, |victim| {
        let (mut raw, hello) = victim.greeted();
        let (hold, add) = (number(&hello, "hold"), number(&hello, "add"));
        let arguments = counted(&vec![7; LENGTH - 10]);
        let (first, rest) = arguments.split_at(1000);
        for id in 0..50 {
            raw.send(&Frame::beginning(hold, id, arguments.len() as u64, first));
            for part in rest.chunks(1 << 18) {
                raw.send(&Frame::fragment(id, part));
            }
        }
        for id in 8..50 {
            let reply = raw.frame().unwrap();
            assert_eq!((reply.kind, reply.code, reply.id), (REPLY, OVERLOADED, id));
            assert!(reply.text().contains("bytes of arguments"), "{}", reply.text());
        }
        // Other frames are still read: small calls, and what makes room.
        raw.send(&Frame::call(add, 100, &[2, 3]));
        assert_eq!(raw.frame().unwrap(), Frame::reply(100, &[5]));
        raw.send(&Frame::new(CANCEL, 2));
        assert_eq!(raw.frame().unwrap().id, 2);
        raw.finish();
        assert_none_hold(victim);
    });
}

/// Waits until no handler keeps arguments any more.
fn assert_none_hold(victim: &mut Victim) {
    let (mut raw, holding) = victim.caller("holding");
    until(|| {
        raw.send(&Frame::call(holding, 1, &[]));
        raw.frame().unwrap().body == [0]
    });
}

#[test]
fn calls_without_a_reply_are_not_read_on_for_ever() {
    let orders = Orders { calls_in_flight: Some(8), ..Orders::default() };
    attack_concurrent(&orders, |victim| {
        let (mut raw, hold) = victim.caller("hold_oneway");
        let call = Frame::call(hold, 0, &counted(&[7; 60_000])).with_flags(ONEWAY).to_bytes();
        // The server stops reading, so the transport fills up.
        let patience = std::time::Duration::from_millis(300);
        let written = raw.write_until_full(&call.repeat(500), patience);
        assert!(written < 300 * call.len(), "{written} bytes were taken");
        let (mut other, holding) = victim.caller("holding");
        until(|| {
            other.send(&Frame::call(holding, 1, &[]));
            other.frame().unwrap().body == [8]
        });
    });
}

#[test]
fn a_flood_of_pings_and_cancels_is_only_work() {
    attack(&Orders::default(), |victim| {
        let (mut raw, add) = victim.caller("add");
        let cancels: Vec<u8> = (0..5000).flat_map(|id| Frame::new(CANCEL, id).to_bytes()).collect();
        raw.write(&cancels);
        let pings: Vec<u8> = (0..2000).flat_map(|id| Frame::new(PING, id).to_bytes()).collect();
        raw.write(&pings);
        for id in 0..2000 {
            assert_eq!(raw.frame().unwrap().id, id);
        }
        raw.send(&Frame::call(add, 1, &[2, 3]));
        assert_eq!(raw.frame().unwrap(), Frame::reply(1, &[5]));
    });
}
