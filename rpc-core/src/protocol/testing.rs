//! What the tests of this folder share: frames to feed, events to keep, wakers that count, and random
//! numbers from a seed that a failing test prints.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};

use crate::limits::Limits;
use crate::protocol::hello::Hello;
use crate::protocol::incoming::{Event, Incoming, Violation};
use crate::wire::frame::{Header, Kind, MORE, Prefix};

/// Counts how often it was woken.
#[derive(Default)]
pub(super) struct Bell(AtomicUsize);

impl Bell {
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::<Self>::default();
        (Arc::clone(&bell), Waker::from(bell))
    }

    /// How often it was woken since last asked.
    pub(super) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Random numbers by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    /// Mostly small, sometimes up to `most`, never 0.
    pub(super) fn size(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let range = most.min(1 << self.below(bits as usize + 1));
        1 + self.below(range)
    }

    pub(super) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

/// Says which seed a failure belongs to.
pub(super) struct Seed(pub(super) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {:#x}", self.0);
        }
    }
}

/// An [`Event`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Preface,
    Call {
        id: u64,
        method: u16,
        oneway: bool,
        remaining: Option<u64>,
        metadata: Vec<u8>,
        payload: Vec<u8>,
    },
    Reply {
        id: u64,
        status: u16,
        payload: Vec<u8>,
    },
    Withdrawn {
        id: u64,
        oneway: bool,
    },
    Frame {
        header: Header,
        body: Vec<u8>,
    },
}

impl From<Event<'_>> for Received {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Preface => Self::Preface,
            Event::Call(call) => Self::Call {
                id: call.id,
                method: call.method,
                oneway: call.oneway,
                remaining: call.remaining,
                metadata: call.metadata.into_owned(),
                payload: call.payload.to_payload(),
            },
            Event::Reply { id, status, payload } => {
                Self::Reply { id, status, payload: payload.to_payload() }
            }
            Event::Withdrawn { id, oneway } => Self::Withdrawn { id, oneway },
            Event::Frame { header, body } => Self::Frame { header, body: body.to_vec() },
        }
    }
}

/// Gives bytes to `incoming` in pieces of the sizes that `size` says, and takes all that comes of it.
pub(super) fn feed(
    incoming: &mut Incoming,
    mut bytes: &[u8],
    mut size: impl FnMut() -> usize,
) -> Result<Vec<Received>, (Vec<Received>, Violation)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (buffer, limit) = incoming.want();
        assert!(limit > 0, "it must always want something");
        assert!(limit <= buffer.capacity() - buffer.len(), "there is capacity for what it wants");
        let (now, later) = bytes.split_at(size().clamp(1, limit).min(bytes.len()));
        buffer.extend_from_slice(now);
        incoming.received(now.len());
        bytes = later;
        loop {
            match incoming.next_event() {
                Ok(Some(event)) => all.push(event.into()),
                Ok(None) => break,
                Err(violation) => return Err((all, violation)),
            }
        }
    }
    Ok(all)
}

/// Preface and `Hello`.
pub(super) fn greeting() -> Vec<u8> {
    Hello::new(&Limits::default(), None, []).to_bytes().expect("no services fit any hello")
}

/// One that has seen the greeting.
pub(super) fn greeted(message_limit: usize, held_limit: usize) -> Incoming {
    let mut incoming = Incoming::new(message_limit, held_limit);
    let events = feed(&mut incoming, &greeting(), || usize::MAX).expect("the greeting is in order");
    assert_eq!(events.len(), 2);
    incoming
}

/// A frame with this body.
pub(super) fn frame(mut header: Header, body: &[u8]) -> Vec<u8> {
    header.length = body.len() as u32;
    [&header.to_bytes()[..], body].concat()
}

/// A frame of this kind.
pub(super) fn plain(kind: Kind, flags: u8, id: u64, body: &[u8]) -> Vec<u8> {
    frame(Header { flags, ..Header::new(kind, id) }, body)
}

/// A small call.
pub(super) fn call(id: u64, payload: &[u8]) -> Vec<u8> {
    plain(Kind::Call, 0, id, payload)
}

/// The first frame of a large call or reply.
pub(super) fn beginning(kind: Kind, id: u64, total: u64, first: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    Prefix { total: Some(total), ..Prefix::default() }.write(&mut body);
    body.extend_from_slice(first);
    plain(kind, MORE, id, &body)
}

/// The frames in these bytes, whole ones all.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(Header, &[u8])> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let header = Header::from_bytes(head).expect("it is a header");
        let Some((body, rest)) = rest.split_at_checked(header.length as usize) else { break };
        frames.push((header, body));
        bytes = rest;
    }
    frames
}

/// Bytes that tell where they stand and whose they are.
pub(super) fn pattern(id: u64, length: usize) -> Vec<u8> {
    // Prime, so that what is repeated does not come at round places.
    const PERIOD: usize = 1_048_573;
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..PERIOD).map(|at| (at.wrapping_mul(0x9e37) >> 8) as u8).collect());
    let mut start = (id.wrapping_mul(31) % 1009) as usize;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let count = (length - bytes.len()).min(PERIOD - start);
        bytes.extend_from_slice(&BYTES[start..start + count]);
        start = 0;
    }
    bytes
}

/// What a call of this id, made with `bytes` of [`pattern`], arrives as.
pub(super) fn received_call(id: u64, oneway: bool, length: usize) -> Received {
    let (metadata, payload) = (Vec::new(), pattern(id, length));
    Received::Call { id, method: 0, oneway, remaining: None, metadata, payload }
}
