//! The lobby: a segment in which clients claim a slot, and learn what the server makes of it.
//!
//! ```text
//!  word   0        1       2         3          4             16 ..           64 + 8 * slot
//!         magic,   start,  bytes of  1 once     1 when slots  one bit a slot: state, key, id,
//!         written  of this a ring    nobody is  are to be     it has rung     left, reason
//!         last     server            let in     looked at     for the server
//! ```
//!
//! A slot's state is a stage and a pid in one word, so that whoever claims it is known from the first
//! instruction on. Clients look for a free slot with the lobby's lock held, and each step is a change of the state
//! that it expects (`compare_exchange`).
//!
//! Everybody who may open the segment can write all of it. So the server believes nothing that stands here:
//! what a slot says is a request, and is checked against its private table and the kernel's own records.

use crate::sys::Words;

/// Clients that a server can have.
pub(super) const SLOTS: usize = 256;

/// Bytes of the segment.
pub(super) const SIZE: usize = size_of::<u64>() * (FIRST_SLOT + SLOTS * SLOT);

const MAGIC: u64 = u64::from_le_bytes(*b"ipcsysv\x01");

const MAGIC_AT: usize = 0;
const START: usize = 1;
const CAPACITY: usize = 2;
const CLOSED: usize = 3;
const REQUEST: usize = 4;
const RUNG: usize = 16;
const FIRST_SLOT: usize = 64;

/// Words of a slot: a cache line.
const SLOT: usize = 8;
const STATE: usize = 0;
const KEY: usize = 1;
const ID: usize = 2;
const LEFT: usize = 3;
const REASON: usize = 4;

/// The lobby's memory, as either side has it.
#[derive(Clone, Debug)]
pub(super) struct Lobby(Words);

/// One slot of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    words: &'a Words,
    first: usize,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody is there.
    Free = 0,
    /// The client makes its segment.
    Claimed = 1,
    /// The segment is there.
    Ready = 2,
    /// The server has attached the segment, and marked it for removal.
    Taken = 3,
    /// The server does not want it.
    Refused = 4,
}

/// Why the server does not want a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has stopped listening.
    Closed = 1,
    /// The segment is not what it should be.
    Nonsense = 2,
    /// There is no memory for it.
    Memory = 3,
}

impl Lobby {
    pub(super) fn new(words: Words) -> Self {
        Self(words)
    }

    /// Lets clients in.
    pub(super) fn open(&self, start: u64, capacity: usize) {
        self.0.store(START, start);
        self.0.store(CAPACITY, capacity as u64);
        self.0.store(MAGIC_AT, MAGIC);
    }

    /// Whether it is open, and that of the server that has started so.
    pub(super) fn is_open(&self, start: u64) -> bool {
        self.0.load(MAGIC_AT) == MAGIC && self.0.load(START) == start && !self.is_closed()
    }

    /// Bytes of a ring.
    pub(super) fn capacity(&self) -> usize {
        usize::try_from(self.0.load(CAPACITY)).unwrap_or(usize::MAX)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.0.store(CLOSED, 1);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(CLOSED) != 0
    }

    /// Notes that the client of this slot has something to say; then the server's bell is to be rung.
    pub(super) fn note_rung(&self, slot: usize) {
        self.0.set_bits(RUNG + slot / 64, 1 << (slot % 64));
    }

    /// Asks the server to look which slots are free; then its bell is to be rung.
    pub(super) fn request(&self) {
        self.0.store(REQUEST, 1);
    }

    /// Whether that was asked, once.
    pub(super) fn take_request(&self) -> bool {
        self.0.swap(REQUEST, 0) != 0
    }

    /// The slots whose clients have something to say, each once.
    pub(super) fn take_rung(&self) -> impl Iterator<Item = usize> {
        (0..SLOTS / 64).flat_map(|group| {
            let mut bits = self.0.swap(RUNG + group, 0);
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(group * 64 + bit)
            })
        })
    }

    /// # Panics
    /// When there is no such slot.
    pub(super) fn slot(&self, slot: usize) -> Slot<'_> {
        assert!(slot < SLOTS, "slot {slot} of {SLOTS}");
        Slot { words: &self.0, first: FIRST_SLOT + slot * SLOT }
    }
}

impl Slot<'_> {
    /// How far the client is, and its pid; `None` for what means nothing.
    pub(super) fn state(self) -> Option<(Stage, u32)> {
        let state = self.load(STATE);
        let stage = match state & 0xff {
            0 => Stage::Free,
            1 => Stage::Claimed,
            2 => Stage::Ready,
            3 => Stage::Taken,
            4 => Stage::Refused,
            _ => return None,
        };
        Some((stage, u32::try_from(state >> 8).ok()?))
    }

    /// Goes on from one stage to the next; `false` if it is not at that one.
    pub(super) fn advance(self, pid: u32, from: Stage, to: Stage) -> bool {
        let state = |stage| match stage {
            Stage::Free => 0,
            stage => u64::from(pid) << 8 | stage as u64,
        };
        self.words.replace(self.first + STATE, state(from), state(to))
    }

    /// The key by which the client's segment is found.
    pub(super) fn key(self) -> Option<i32> {
        i32::try_from(self.load(KEY)).ok()
    }

    pub(super) fn set_key(self, key: i32) {
        self.store(KEY, u64::try_from(key).unwrap_or(0));
    }

    /// The number of the client's segment.
    pub(super) fn id(self) -> Option<i32> {
        i32::try_from(self.load(ID)).ok()
    }

    pub(super) fn set_id(self, id: i32) {
        self.store(ID, u64::try_from(id).unwrap_or(u64::MAX));
    }

    /// Whether the client needs the slot no more.
    pub(super) fn has_left(self) -> bool {
        self.load(LEFT) != 0
    }

    pub(super) fn leave(self) {
        self.store(LEFT, 1);
    }

    /// Why the client was refused.
    pub(super) fn reason(self) -> Reason {
        match self.load(REASON) {
            1 => Reason::Closed,
            3 => Reason::Memory,
            _ => Reason::Nonsense,
        }
    }

    pub(super) fn refuse(self, pid: u32, reason: Reason) {
        self.store(REASON, reason as u64);
        self.advance(pid, Stage::Ready, Stage::Refused);
    }

    /// Lets the next client have it.
    pub(super) fn free(self) {
        [KEY, ID, LEFT, REASON].into_iter().for_each(|word| self.store(word, 0));
        self.store(STATE, 0);
    }

    fn load(self, word: usize) -> u64 {
        self.words.load(self.first + word)
    }

    fn store(self, word: usize, value: u64) {
        self.words.store(self.first + word, value);
    }
}
