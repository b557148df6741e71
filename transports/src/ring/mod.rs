//! A byte ring in shared memory, with one producer and one consumer, neither of which trusts the other.
//!
//! Each side of a connection has one piece of memory that it alone writes; the other side reads it, and
//! should be unable to do more. It holds the side's words, each on a cache line of its own, and behind
//! them the bytes that it sends:
//!
//! ```text
//!        0         64        128              192              256            4096      4096 + capacity
//!  side  | tail,   | head    | reader sleeps, | writer sleeps  | closed  | .. | bytes that it has   |
//!          bytes     bytes     odd while its    odd while its    1 when it      written
//!          written;  read      reader sleeps;   writer sleeps    writes no
//!          letter              deaf, 1 when it                   more
//!                              reads no more
//! ```
//!
//! `tail` counts the bytes that the side has written into its own ring, `head` those that it has read
//! from the other's, which it says only now and then; both only grow. So a ring from A to B is A's bytes and
//! `tail` with B's `head`.
//!
//! What is written in one go and is short stands beside the tail as well, as a letter: whoever waits for
//! the tail then has the bytes with it, in the same cache line, and saves the way of a second one between the
//! CPUs. The next letter may be written over it meanwhile, so it counts only if its stamp, which the writer
//! changes first and the reader looks at last, is that of the tail (`SYNC(letter)`, a sequence lock). Else the
//! bytes are in the ring.
//!
//! Whoever publishes an index looks afterwards whether the other side sleeps, and rings its bell once for
//! each sleep; whoever is about to sleep says so, and looks afterwards whether something has come. A fence
//! between the two steps of both makes one of them see the other (`SYNC(sleep)`).
//!
//! Own indices and the capacity are kept privately and never read back. An index of the other side is
//! loaded once, and checked against what is known; what is impossible is [`Corrupt`]. Bytes are copied out
//! before anyone looks at them.
//!
//! This is safe code over a [`Memory`]; where that comes from, and what a bell is, its users know.

mod consumer;
mod producer;
mod size;

use std::fmt;
use std::io;

pub(crate) use consumer::{Consumer, Read};
pub(crate) use producer::Producer;
pub(crate) use size::{SMALLEST, parse_size};

/// Bytes before the ring's own.
pub(crate) const CONTROL: usize = 4096;

/// Bytes of a cache line, and of the next one, which processors like to fetch along.
const LINE: usize = 64;

/// What one side says to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Bytes that it has written.
    Tail = 0,
    /// Bytes that it has read from the other side.
    Head = 1,
    /// How often its reader has gone to sleep and been awake again; odd while it sleeps.
    ReaderSleeps = 2,
    /// The same of its writer.
    WriterSleeps = 3,
    /// Not 0 when it will write nothing more.
    Closed = 4,
    /// Not 0 when it will read nothing more.
    Deaf = 5,
    /// Of the letter: the tail behind it, times 64, and its length.
    Stamp = 6,
    /// The bytes of the letter, eight at a time.
    Letter0 = 7,
    Letter1 = 8,
    Letter2 = 9,
    Letter3 = 10,
    Letter4 = 11,
    Letter5 = 12,
}

/// Number of words that there are.
#[cfg(test)]
const WORDS: usize = 13;

/// Where a letter goes.
const LETTER: [Word; 6] =
    [Word::Letter0, Word::Letter1, Word::Letter2, Word::Letter3, Word::Letter4, Word::Letter5];

/// Bytes of a word, and of the longest letter.
const BYTES: usize = size_of::<u64>();
const LETTER_BYTES: usize = BYTES * LETTER.len();

/// The stamp of a letter of `length` bytes that end at `tail`.
#[inline]
fn stamp(tail: u64, length: usize) -> u64 {
    // A length is less than 64, and no ring sees 2^58 bytes.
    tail << 6 | length as u64
}

impl Word {
    /// Where it lies, in bytes.
    pub(crate) fn offset(self) -> usize {
        match self {
            Self::Tail | Self::Head | Self::ReaderSleeps | Self::WriterSleeps | Self::Closed => {
                self as usize * LINE
            }
            // Looked at together.
            Self::Deaf => Self::ReaderSleeps.offset() + BYTES,
            // The rest of the tail's line.
            _ => Self::Tail.offset() + (self as usize - Self::Stamp as usize + 1) * BYTES,
        }
    }
}

/// What a store or a load makes visible, or sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing but itself.
    Relaxed,
    /// A store: all that was written before. A load: all that was written before the store that it sees.
    Synchronizing,
}

/// The memory of one side, as this process has it.
///
/// Its size is [`CONTROL`] and the ring's capacity. It may change at any time under the hands of whoever
/// reads it.
pub(crate) trait Memory: Send + 'static {
    /// Reads a word.
    fn load(&self, word: Word, order: Order) -> u64;

    /// Writes a word. To be called for one's own memory only.
    fn store(&self, word: Word, value: u64, order: Order);

    /// Orders what was done to all words before against what is done afterwards, in one order for all who
    /// do that.
    fn fence(&self);

    /// Orders the store before it against those behind it: who sees one of these sees that, after
    /// [`acquire`](Self::acquire).
    fn release(&self);

    /// Orders the loads before it against those behind it.
    fn acquire(&self);

    /// Copies `bytes` into the ring, from `at` on, which is counted from the ring's beginning. To be called
    /// for one's own memory only.
    ///
    /// # Panics
    /// When they do not fit.
    fn copy_in(&self, at: usize, bytes: &[u8]);

    /// Appends `count` bytes of the ring, from `at` on, to `buffer`, within its capacity.
    ///
    /// # Panics
    /// When there are not so many, or no room for them.
    fn copy_out(&self, at: usize, count: usize, buffer: &mut Vec<u8>);
}

/// The other side has written what cannot be: it does not keep to the protocol of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt {
    word: Word,
    value: u64,
    /// What it could have been.
    least: u64,
    most: u64,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, value, least, most } = self;
        write!(f, "the shared ring's {word:?} is {value}, and can be {least} to {most}")
    }
}

impl std::error::Error for Corrupt {}

impl From<Corrupt> for io::Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::new(io::ErrorKind::InvalidData, corrupt)
    }
}

/// One side's sleep, as that side has it.
#[derive(Debug)]
struct Sleep {
    word: Word,
    /// See [`Word::ReaderSleeps`].
    count: u64,
}

impl Sleep {
    fn new(word: Word) -> Self {
        Self { word, count: 0 }
    }

    fn is_armed(&self) -> bool {
        self.count % 2 == 1
    }

    /// Says that this side is about to sleep. Whatever would wake it is to be looked at afterwards.
    fn arm(&mut self, own: &impl Memory) {
        if !self.is_armed() {
            self.count += 1;
            own.store(self.word, self.count, Order::Relaxed);
        }
        // SYNC(sleep): the other side publishes, fences, and looks whether this one sleeps.
        own.fence();
    }

    /// Says that this side does not sleep any more.
    #[inline]
    fn disarm(&mut self, own: &impl Memory) {
        if self.is_armed() {
            self.count += 1;
            own.store(self.word, self.count, Order::Relaxed);
        }
    }
}

/// The other side's sleep, as the one has it who rings the bell.
#[derive(Debug)]
struct Bell {
    word: Word,
    /// The sleep for which it was rung last.
    rung: u64,
}

impl Bell {
    fn new(word: Word) -> Self {
        Self { word, rung: 0 }
    }

    /// Whether the bell has to be rung, because the other side sleeps, or is about to. To be called after
    /// an index was published. Answers `true` once for each sleep.
    #[inline]
    fn is_due(&mut self, own: &impl Memory, peer: &impl Memory) -> bool {
        // SYNC(sleep): the other side says that it sleeps, fences, and looks what was published.
        own.fence();
        let count = peer.load(self.word, Order::Relaxed);
        let due = count % 2 == 1 && count != self.rung;
        if due {
            self.rung = count;
        }
        due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod loom_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
