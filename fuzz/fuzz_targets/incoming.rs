//! A list of operations on the receiving side: frames that are mostly frames, spoilt here and there, in
//! pieces of any size.
//!
//! Nothing may panic, what is held stays within its limit, and the same bytes in one piece give the same
//! events. How to run it stands in `fuzz/Cargo.toml`.

#![no_main]

use std::collections::BTreeMap;

use ipcall_core::Limits;
use ipcall_core::protocol::hello::Hello;
use ipcall_core::protocol::incoming::{Event, Incoming, Violation};
use ipcall_core::wire::frame::{ANSWER, FRAGMENT, HEADER, Header, Kind, MORE, Prefix};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const MESSAGE: usize = 200_000;
const HELD: usize = 300_000;

#[derive(Arbitrary, Debug)]
enum Operation {
    /// Preface and `Hello`.
    Greet,
    /// The first frame of a large message.
    Begin { answer: bool, id: u8, more: u16, first: u16, deadline: Option<u64>, metadata: u16 },
    /// A further fragment: so many 255ths of what is left, and more than that if `beyond`.
    Data { answer: bool, id: u8, share: u8, beyond: bool },
    /// Ends a large message early, if it is a call.
    Cancel { id: u8 },
    /// A frame of any kind.
    Frame { kind: u8, flags: u8, code: u16, id: u64, body: Vec<u8> },
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Changes a byte of what the last operation has added.
    Spoil { at: u16, byte: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    greeted: bool,
    operations: Vec<Operation>,
    /// Sizes of the pieces, used in turns.
    pieces: Vec<u16>,
}

fn frame(mut header: Header, body: &[u8], out: &mut Vec<u8>) {
    header.length = body.len() as u32;
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(body);
}

fn greeting() -> Vec<u8> {
    Hello::new(&Limits::default(), None, []).to_bytes().expect("no services fit any hello")
}

/// The bytes of a list of operations.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Where the last operation began.
    last: usize,
    /// What is left of messages begun: by whether it is an answer, and id.
    left: BTreeMap<(bool, u8), usize>,
}

impl Stream {
    fn add(&mut self, operation: &Operation) {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        match operation {
            Operation::Greet => out.extend_from_slice(&greeting()),
            Operation::Begin { answer, id, more, first, deadline, metadata } => {
                let kind = if *answer { Kind::Reply } else { Kind::Call };
                let metadata = vec![b'm'; usize::from(*metadata)];
                let total = FRAGMENT + 2 * usize::from(*more);
                let prefix = Prefix {
                    total: Some(total as u64),
                    remaining: deadline.filter(|_| !answer),
                    metadata: if *answer { &[] } else { &metadata },
                };
                let mut body = Vec::new();
                prefix.write(&mut body);
                body.resize(body.len() + usize::from(*first), *id);
                let flags = prefix.flags() | MORE;
                frame(Header { flags, ..Header::new(kind, u64::from(*id)) }, &body, out);
                self.left.insert((*answer, *id), total.saturating_sub(usize::from(*first)));
            }
            Operation::Data { answer, id, share, beyond } => {
                let flags = if *answer { ANSWER } else { 0 };
                let header = Header { flags, ..Header::new(Kind::Data, u64::from(*id)) };
                let left = self.left.entry((*answer, *id)).or_default();
                let length = *left * usize::from(*share) / 255;
                frame(header, &vec![*id; length + usize::from(*beyond)], out);
                *left -= length;
            }
            Operation::Cancel { id } => {
                frame(Header::new(Kind::Cancel, u64::from(*id)), &[], out);
                self.left.remove(&(false, *id));
            }
            Operation::Frame { kind, flags, code, id, body } => {
                let at = out.len() + 4;
                let header = Header { code: *code, ..Header::new(Kind::Ping, *id) };
                frame(header, body, out);
                (out[at], out[at + 1]) = (*kind, *flags);
            }
            Operation::Raw(bytes) => out.extend_from_slice(bytes),
            Operation::Spoil { at, byte } => {
                let added = out.len() - self.last;
                if added > 0 {
                    // Headers are where it matters.
                    out[self.last + usize::from(*at) % added.min(2 * HEADER)] ^= *byte;
                }
                return;
            }
        }
        self.last = start;
    }
}

/// What became of the bytes: of each event a line, and why it ended.
fn receive(
    bytes: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Vec<(u64, usize)>, Option<Violation>) {
    let mut incoming = Incoming::new(MESSAGE, HELD);
    let (mut events, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (buffer, limit) = incoming.want();
        assert!((1..=buffer.capacity() - buffer.len()).contains(&limit));
        let (now, later) = rest.split_at(piece().clamp(1, limit).min(rest.len()));
        buffer.extend_from_slice(now);
        // A buffer that is used again may be up to four times too large.
        assert!(buffer.capacity() <= 4 * (MESSAGE + HEADER).max(1 << 20));
        incoming.received(now.len());
        rest = later;
        loop {
            match incoming.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => events.push(summary(&event)),
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

fn summary(event: &Event<'_>) -> (u64, usize) {
    match event {
        Event::Preface => (0, 0),
        Event::Call(call) => {
            assert!(call.payload.len() <= MESSAGE);
            (call.id, call.payload.len())
        }
        Event::Reply { id, payload, .. } => (*id, payload.len()),
        Event::Withdrawn { id, .. } => (*id, 0),
        Event::Frame { header, body } => {
            assert_eq!(header.length as usize, body.len());
            (header.id, body.len())
        }
    }
}

fuzz_target!(|input: Input| {
    let mut stream = Stream::default();
    if input.greeted {
        stream.add(&Operation::Greet);
    }
    input.operations.iter().for_each(|operation| stream.add(operation));
    let bytes = stream.bytes;
    let mut sizes = input.pieces.iter().cycle().map(|size| usize::from(*size));
    let in_pieces = receive(&bytes, || sizes.next().unwrap_or(usize::MAX));
    let whole = receive(&bytes, || usize::MAX);
    // A wrong preface is refused as soon as it shows, with as much of it as was there.
    match (&in_pieces.1, &whole.1) {
        (Some(Violation::Preface(_)), Some(Violation::Preface(_))) => {}
        _ => assert_eq!(in_pieces, whole),
    }
});
