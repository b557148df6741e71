//! The bytes on the wire, held fixed: what `tests/golden/*.hex` says is what is written and what is read.
//!
//! A change in one of those files is a change of the protocol. `docs/PROTOCOL.md` shows one of them as its
//! example, and `tests/golden/check.py` reads them all with nothing but that document for a guide.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "golden/hex.rs"]
mod hex;
#[path = "golden/live.rs"]
mod live;
#[path = "golden/payloads.rs"]
mod payloads;
#[path = "golden/service.rs"]
mod service;

use std::path::Path;
use std::process::Command;

use hex::{Vectors, assert_same};
use ipcall::__rt::{Service, ServiceDescriptor};
use ipcall_core::protocol::failure::{Failure, METHOD_ERROR, OK, Status};
use ipcall_core::protocol::hello::{Doorbell, Hello};
use ipcall_core::protocol::incoming::{Event, Incoming};
use ipcall_core::protocol::outgoing::{Bulk, Outgoing};
use ipcall_core::protocol::streams::{Arrived, Batch, Window};
use ipcall_core::wire::frame::{
    ANSWER, Credit, END, FRAGMENT, HEADER, Header, ITEM, Kind, MORE, ONEWAY, Prefix,
};
use ipcall_core::wire::payload::{self, DecodeLimits};
use ipcall_core::wire::shape::fingerprint;
use service::{ArithServer, CountServer, Desk, DivideError, limits};

/// The id of a connection's first call, as this implementation gives them.
const FIRST: u64 = 1 << 16;
const SECOND: u64 = 2 << 16;

fn arith() -> &'static ServiceDescriptor {
    ArithServer::new(Desk).descriptor()
}

fn hello(token: Option<&[u8]>, services: &[&'static ServiceDescriptor]) -> Hello {
    Hello::new(&limits(), token, services.iter().copied())
}

fn encoded<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload::encode(value, &mut bytes, usize::MAX).unwrap();
    bytes
}

fn decoded<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> T {
    payload::decode(bytes, &DecodeLimits::default()).unwrap()
}

fn frame(mut header: Header, body: &[u8]) -> Vec<u8> {
    header.length = body.len() as u32;
    [&header.to_bytes()[..], body].concat()
}

fn call(id: u64, method: u16, flags: u8, prefix: Prefix<'_>, arguments: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    prefix.write(&mut body);
    body.extend_from_slice(arguments);
    let flags = flags | prefix.flags();
    frame(Header { flags, code: method, ..Header::new(Kind::Call, id) }, &body)
}

fn reply(status: u16, payload: &[u8]) -> Vec<u8> {
    frame(Header { code: status, ..Header::new(Kind::Reply, FIRST) }, payload)
}

/// One that has seen the example's greeting.
fn greeted() -> Incoming {
    let mut incoming = Incoming::new(1 << 20, 1 << 20);
    put(&mut incoming, Vectors::load("conversation.hex").get("client-hello"));
    assert!(matches!(incoming.next_event(), Ok(Some(Event::Preface))));
    assert!(matches!(incoming.next_event(), Ok(Some(Event::Frame { .. }))));
    incoming
}

fn put(incoming: &mut Incoming, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (buffer, limit) = incoming.want();
        let (now, later) = bytes.split_at(limit.min(bytes.len()));
        buffer.extend_from_slice(now);
        incoming.received(now.len());
        if !later.is_empty() {
            assert!(incoming.next_event().unwrap().is_none(), "there is more than one event");
        }
        bytes = later;
    }
}

/// The body of a frame behind a preface.
fn hello_body(bytes: &[u8]) -> &[u8] {
    &bytes[8 + HEADER..]
}

#[test]
fn hellos_are_written_and_read_as_ever() {
    let (conversation, others) = (Vectors::load("conversation.hex"), Vectors::load("hello.hex"));
    let count = CountServer::new(Desk).descriptor();
    let doorbell = Doorbell { signal: 23, pid: 4711 };
    for (name, golden, hello) in [
        ("client-hello", conversation.get("client-hello"), hello(None, &[])),
        ("server-hello", conversation.get("server-hello"), hello(None, &[arith()])),
        ("two-services", others.get("two-services"), hello(None, &[arith(), count])),
        ("token", others.get("token"), hello(Some(b"s3cret"), &[])),
        ("doorbell", others.get("doorbell"), Hello { doorbell, ..hello(None, &[]) }),
    ] {
        assert_same(name, &hello.to_bytes().unwrap(), golden);
        assert_eq!(Hello::from_body(hello_body(golden)).unwrap(), hello);
    }
}

#[test]
fn the_fingerprint_is_that_of_the_signature() {
    let golden = Vectors::load("hello.hex");
    let hello = Hello::from_body(hello_body(golden.get("two-services"))).unwrap();
    let methods = hello.services.iter().flat_map(|service| &service.methods);
    assert!(methods.clone().all(|it| it.fingerprint == fingerprint(&it.signature)));
    let signatures: Vec<&str> = methods.map(|method| method.signature.as_str()).collect();
    assert_eq!(signatures[2], "oneway (text: str)");
    assert_eq!(signatures[4], "(data: bytes) -> u64");
}

#[test]
fn calls_are_written_and_read_as_ever() {
    let golden = Vectors::load("calls.hex");
    let arguments = encoded(&(2u64, 3u64));
    let metadata = encoded(&[("trace", "42"), ("from", "é")][..]);
    let (none, all) = (Prefix::default(), &metadata[..]);
    let left = Prefix { remaining: Some(1_500_000_000), ..none };
    for (name, bytes) in [
        ("plain", call(FIRST, 0, 0, none, &arguments)),
        ("deadline", call(FIRST, 0, 0, left, &arguments)),
        ("metadata", call(FIRST, 0, 0, Prefix { metadata: all, ..none }, &arguments)),
        ("deadline-metadata", call(FIRST, 0, 0, Prefix { metadata: all, ..left }, &arguments)),
        ("divide", call(SECOND, 1, 0, none, &encoded(&(-7i64, 0i64)))),
        ("oneway", call(FIRST, 2, ONEWAY, none, &encoded(&("hi",)))),
    ] {
        assert_same(name, &bytes, golden.get(name));
    }
    let mut incoming = greeted();
    put(&mut incoming, golden.get("deadline-metadata"));
    let Ok(Some(Event::Call(call))) = incoming.next_event() else { panic!("a call comes") };
    assert_eq!((call.id, call.method, call.oneway), (FIRST, 0, false));
    assert_eq!(call.remaining, Some(1_500_000_000));
    assert_eq!(decoded::<Vec<(&str, &str)>>(&call.metadata), [("trace", "42"), ("from", "é")]);
    assert_eq!(decoded::<(u64, u64)>(&call.payload.to_payload()), (2, 3));
    put(&mut incoming, golden.get("oneway"));
    let Ok(Some(Event::Call(call))) = incoming.next_event() else { panic!("a call comes") };
    assert!(call.oneway && call.metadata.is_empty() && call.remaining.is_none());
}

#[test]
fn replies_are_written_and_read_as_ever() {
    let golden = Vectors::load("replies.hex");
    let failure = |executed, limit, actual, text: &str| {
        encoded(&Failure { executed, limit, actual, text: text.to_owned() })
    };
    let cannot_decode = "the arguments cannot be decoded: the bytes end inside the value";
    let cannot_encode = "the result: the value cannot be encoded: too deep";
    let all = [
        ("ok", OK, encoded(&5u64)),
        ("ok-nothing", OK, encoded(&())),
        ("method-error", METHOD_ERROR, encoded(&DivideError::TooLarge { limit: -300 })),
        ("cancelled", Status::Cancelled as u16, failure(1, 0, 0, "")),
        ("withdrawn", Status::Cancelled as u16, failure(0, 0, 0, "")),
        ("deadline-exceeded", Status::DeadlineExceeded as u16, failure(0, 1_500_000_000, 0, "")),
        (
            "too-large",
            Status::TooLarge as u16,
            failure(2, 64 << 20, 70_000_000, "the result (in bytes)"),
        ),
        (
            "unknown-method",
            Status::UnknownMethod as u16,
            failure(0, 0, 0, "there is no method number 99"),
        ),
        ("panicked", Status::Panicked as u16, failure(1, 0, 0, "index out of bounds")),
        (
            "overloaded",
            Status::Overloaded as u16,
            failure(0, 1024, 0, "calls in flight on one connection"),
        ),
        ("refused", Status::Refused as u16, failure(0, 0, 0, "the server is shutting down")),
        ("bad-arguments", Status::BadArguments as u16, failure(0, 0, 0, cannot_decode)),
        ("bad-result", Status::BadResult as u16, failure(2, 0, 0, cannot_encode)),
    ];
    assert_eq!(golden.names().count(), all.len());
    for (name, status, payload) in all {
        assert_same(name, &reply(status, &payload), golden.get(name));
        let mut incoming = greeted();
        put(&mut incoming, golden.get(name));
        let Ok(Some(Event::Reply { id, status: read, payload: bytes })) = incoming.next_event()
        else {
            panic!("a reply comes")
        };
        assert_eq!((id, read, &bytes.to_payload()[..]), (FIRST, status, &payload[..]), "{name}");
    }
}

#[test]
fn frames_without_a_payload_are_written_and_read_as_ever() {
    let golden = Vectors::load("control.hex");
    let ping = Header { code: 513, ..Header::new(Kind::Ping, 0x1122_3344_5566_7788) };
    let goodbye = |reason| Header { code: reason, ..Header::new(Kind::Goodbye, 0) };
    let user = "user 1001 is not admitted here";
    let limit = "the limit of 1024 connections of the server is reached";
    let all = [
        ("cancel", Header::new(Kind::Cancel, FIRST), ""),
        ("ping", ping, ""),
        ("ping-answer", Header { flags: ANSWER, ..ping }, ""),
        ("goodbye-done", goodbye(0), ""),
        ("goodbye-refused", goodbye(1), user),
        ("goodbye-overloaded", goodbye(2), limit),
        ("goodbye-violation", goodbye(3), "a frame of unknown kind 9"),
        ("goodbye-shutting-down", goodbye(4), "the server has stopped"),
        ("goodbye-stalled", goodbye(5), "no further byte of a message for 10s"),
    ];
    assert_eq!(golden.names().count(), all.len());
    for (name, header, body) in all {
        assert_same(name, &frame(header, body.as_bytes()), golden.get(name));
        let mut incoming = greeted();
        put(&mut incoming, golden.get(name));
        let Ok(Some(Event::Frame { header: read, body: bytes })) = incoming.next_event() else {
            panic!("a frame comes")
        };
        assert_eq!(Header { length: 0, ..read }, header, "{name}");
        assert_eq!(bytes, body.as_bytes(), "{name}");
    }
}

#[test]
fn frames_of_streams_are_written_and_read_as_ever() {
    let golden = Vectors::load("streams.hex");
    let header = |kind, flags| Header { flags, ..Header::new(kind, FIRST) };
    let item = |number: u64| {
        let item = encoded(&number);
        [&(item.len() as u32).to_le_bytes()[..], &item].concat()
    };
    let items = |numbers: [u64; 2]| numbers.map(item).concat();
    let (credit, none) = (Credit { bytes: 131_076, items: 2 }, Credit::default());
    let all = [
        ("call", header(Kind::Call, 0), vec![]),
        ("arguments", header(Kind::Data, ITEM), items([1, 300])),
        ("arguments-end", header(Kind::Data, ITEM | END), vec![]),
        ("results", header(Kind::Data, ITEM | ANSWER), items([2, 600])),
        ("results-end", header(Kind::Reply, 0), vec![]),
    ];
    for (name, header, body) in &all {
        assert_same(name, &frame(*header, body), golden.get(name));
    }
    let credits = [
        ("credit-for-results", 0, credit),
        ("credit-for-arguments", ANSWER, credit),
        ("no-more-arguments", ANSWER | END, none),
    ];
    for (name, flags, credit) in credits {
        assert_same(name, &credit.to_frame(header(Kind::Credit, flags)), golden.get(name));
        assert_eq!(Credit::read(&golden.get(name)[HEADER..]), Ok(credit), "{name}");
    }
    assert_eq!(golden.names().count(), all.len() + credits.len());
    let mut arrived = Arrived::new(Window { bytes: 100, items: 2 });
    arrived.push(FIRST, &golden.get("arguments")[HEADER..]).unwrap();
    let mut batch = Batch::default();
    assert!(arrived.take(&mut batch.bytes));
    for number in [1_u64, 300] {
        assert_eq!(decoded::<u64>(batch.next_item().unwrap()), number);
    }
    assert!(batch.is_done());
}

/// The arguments of the large call.
fn large() -> Vec<u8> {
    let data: Vec<u8> = (0..149_997u32).map(|i| (31 * i + 7) as u8).collect();
    let payload = encoded(&(serde_bytes::Bytes::new(&data),));
    assert_eq!(payload.len(), 150_000);
    payload
}

/// FNV-1a, 64 bits, here over bytes that are no text.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn fragments_are_read_as_ever() {
    let (golden, payload) = (Vectors::load("fragments.hex"), large());
    let mut stream = Vec::new();
    for (name, part) in ["first", "second", "third"].iter().zip(payload.chunks(FRAGMENT)) {
        stream.extend_from_slice(golden.get(name));
        stream.extend_from_slice(part);
    }
    let sum: [u8; 8] = golden.get("checksum").try_into().unwrap();
    assert_eq!(checksum(&stream), u64::from_le_bytes(sum));
    let mut incoming = greeted();
    put(&mut incoming, &stream);
    let Ok(Some(Event::Call(call))) = incoming.next_event() else { panic!("a call comes") };
    assert_eq!((call.id, call.method), (FIRST, 4));
    assert!(call.payload.to_payload() == payload);
    let answer: [u8; HEADER] = golden.get("answer").try_into().unwrap();
    let header = Header { length: 65_536, flags: ANSWER, ..Header::new(Kind::Data, FIRST) };
    assert_eq!(Header::from_bytes(&answer), Ok(header));
}

#[test]
fn fragments_are_written_within_the_rules() {
    let mut outgoing = Outgoing::new(1 << 20);
    let header = Header { code: 4, ..Header::new(Kind::Call, FIRST) };
    let (metadata, lead) = (Vec::new(), Vec::new());
    outgoing.push_bulk(Bulk {
        header,
        remaining: None,
        metadata,
        lead,
        data: large(),
        skip: 0,
        receipt: None,
    });
    let mut stream = Vec::new();
    while !outgoing.is_empty() {
        let count = outgoing.slices(|slices| {
            slices.iter().for_each(|slice| stream.extend_from_slice(slice));
            slices.iter().map(|slice| slice.len()).sum()
        });
        outgoing.advance(count.expect("there is something to write"));
    }
    let golden: [u8; HEADER] =
        Vectors::load("fragments.hex").get("first")[..HEADER].try_into().unwrap();
    let head = Header::from_bytes(stream.first_chunk().unwrap()).unwrap();
    let expected = Header::from_bytes(&golden).unwrap();
    assert_eq!(Header { length: 0, ..head }, Header { length: 0, ..expected });
    assert_eq!(head.flags, MORE);
    assert_eq!(stream[HEADER..HEADER + 8], 150_000u64.to_le_bytes());
    let mut incoming = greeted();
    put(&mut incoming, &stream);
    let Ok(Some(Event::Call(call))) = incoming.next_event() else { panic!("a call comes") };
    assert!(call.payload.to_payload() == large());
}

#[test]
fn the_document_s_example_is_the_golden_conversation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```hex\n").expect("the example is a block of hex");
    let (block, _) = rest.split_once("```").expect("the block ends");
    assert_eq!(Vectors::parse(block), Vectors::load("conversation.hex"));
}

#[test]
fn a_decoder_made_from_the_document_alone_understands_every_vector() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let check =
        Command::new("python3").arg("-B").arg(folder.join("check.py")).arg(&folder).output();
    let Ok(output) = check else {
        println!("skipped: there is no python3 here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
