//! Arguments that are none: that call fails, and nothing else.

use crate::server::Orders;
use crate::support::frame::{CALL, Frame, METADATA, REPLY, counted, varint};
use crate::support::raw::Raw;
use crate::victim::{Victim, attack};

/// The status of a reply to a call whose arguments cannot be decoded.
const BAD_ARGUMENTS: u16 = 9;

/// Sends arguments in one frame or in fragments, as it has to be.
fn send_arguments(raw: &mut Raw, method: u16, id: u64, arguments: &[u8]) {
    if arguments.len() <= 65_536 {
        return raw.send(&Frame::call(method, id, arguments));
    }
    let (first, rest) = arguments.split_at(1000);
    raw.send(&Frame::beginning(method, id, arguments.len() as u64, first));
    for part in rest.chunks(100_000) {
        raw.send(&Frame::fragment(id, part));
    }
}

/// Calls `method` with wrong arguments, and checks what is said of them.
#[track_caller]
fn call_wrong(victim: &mut Victim, method: &str, arguments: &[u8], text: &str) {
    let (mut raw, number) = victim.caller(method);
    send_arguments(&mut raw, number, 1, arguments);
    let reply = raw.frame().expect("only the call fails");
    assert_eq!((reply.kind, reply.code, reply.id), (REPLY, BAD_ARGUMENTS, 1), "{}", reply.text());
    assert_eq!(reply.body[0], 0, "it was not executed");
    assert!(reply.text().contains(text), "{:?} has no {text:?}", reply.text());
    // The connection goes on.
    let (mut other, add) = victim.caller("add");
    for raw in [&mut raw, &mut other] {
        raw.send(&Frame::call(add, 2, &[2, 3]));
        assert_eq!(raw.frame().unwrap(), Frame::reply(2, &[5]));
    }
    victim.goes_on();
}

#[test]
fn a_million_nested_levels_do_not_overflow_the_stack() {
    attack(&Orders::default(), |victim| {
        let mut nested = vec![1; 1_000_000];
        nested.push(0);
        call_wrong(victim, "tree", &nested, "deeper than the limit of 64 levels");
        call_wrong(victim, "tree", &[1; 60_000], "deeper than the limit of 64 levels");
    });
}

#[test]
fn a_set_of_a_billion_units_costs_nothing() {
    attack(&Orders::default(), |victim| {
        let text = "1000000000 elements";
        call_wrong(victim, "units", &varint(1_000_000_000), text);
        call_wrong(victim, "units", &varint(u64::MAX), "elements");
    });
}

#[test]
fn a_mebibyte_that_asks_for_gigabytes_gets_none() {
    attack(&Orders::default(), |victim| {
        const ROWS: usize = 1 << 20;
        let rows = [varint(ROWS as u64), vec![0; ROWS]].concat();
        // What it may take is not taken at once.
        victim.memory = 420 << 20;
        call_wrong(victim, "wide", &rows, "bytes of memory, over the limit of 268435456");
    });
}

#[test]
fn lengths_that_lie_are_not_believed() {
    attack(&Orders::default(), |victim| {
        for length in [10, 1 << 20, u64::from(u32::MAX), u64::MAX] {
            let wrong = [varint(length), b"short".to_vec()].concat();
            call_wrong(victim, "text", &wrong, "end inside the value");
            call_wrong(victim, "echo", &wrong, "end inside the value");
        }
    });
}

#[test]
fn bytes_left_over_are_an_error() {
    attack(&Orders::default(), |victim| {
        call_wrong(victim, "add", &[2, 3, 4], "1 bytes are left over");
        call_wrong(victim, "text", b"\x02hello", "3 bytes are left over");
        let large = [counted(&[7; 100_000]), vec![0; 5]].concat();
        call_wrong(victim, "echo", &large, "5 bytes are left over");
        call_wrong(victim, "text", &[counted(&[b'x'; 100_000]), vec![0; 5]].concat(), "left over");
    });
}

#[test]
fn values_that_do_not_exist_are_an_error() {
    attack(&Orders::default(), |victim| {
        call_wrong(victim, "add", &[], "end inside the value");
        call_wrong(victim, "add", &[2], "end inside the value");
        call_wrong(victim, "add", &[0xff; 20], "too large for its type");
        call_wrong(victim, "text", b"\x02\xff\xfe", "not UTF-8");
        call_wrong(victim, "tree", &[2], "variant");
        call_wrong(victim, "wide", &[1, 7], "neither 0 nor 1");
    });
}

#[test]
fn metadata_that_is_none_fails_its_call() {
    attack(&Orders::default(), |victim| {
        let (mut raw, add) = victim.caller("add");
        let wrong: [&[u8]; 3] = [&[1], &[0xff; 11], &[1, 1, b'k', 1, b'v', 0]];
        for (id, metadata) in (1..).zip(wrong) {
            let length = (metadata.len() as u32).to_le_bytes();
            let body = [&length, metadata, &[2, 3]].concat();
            raw.send(&Frame { kind: CALL, flags: METADATA, code: add, id, body });
            let reply = raw.frame().unwrap();
            assert_eq!((reply.code, reply.id), (BAD_ARGUMENTS, id));
            assert!(reply.text().contains("metadata"), "{}", reply.text());
        }
        raw.send(&Frame::call(add, 9, &[2, 3]));
        assert_eq!(raw.frame().unwrap(), Frame::reply(9, &[5]));
    });
}
