//! How much of the queues each connection may use, so that none can fill them for the others.
//!
//! All of a queue is given away beforehand. With the usual 16 KiB (`kernel.msgmnb`, of which 16,361 are
//! used) and 16 connections to a pair of queues, that is in each queue:
//!
//! | bytes | what for |
//! |---|---|
//! | 1,024 | clients that are coming in |
//! | 16 x 192 | news without bytes of the connection: acknowledgements, ends |
//! | 16 x 368 | the base: what each connection may always have in it |
//! | 6,377 | the pool: lent to those that have more to send, at most four times what is left in it |
//!
//! So one connection that sends alone has up to 5,456 bytes in the queue, two have 3,200 each, and however
//! many there are, each has 368. The server keeps the books of both queues. Of the reply queue it is the
//! only writer: it lends from the pool as it sends. For the request queue it hands out credit; what
//! a client was lent beyond the base lapses, on both sides alike, with its first message that does not say
//! [`MORE`](super::frame::MORE).
//!
//! Whoever receives takes everything out of the queue at once, whether or not its owner reads, and keeps it
//! in an inbox of [`INBOX`] bytes. No more credit is given than fits into that.
//!
//! Nothing in here makes a system call.

use super::frame::HEADER;
use crate::sys::message_queue::CAPACITY;

/// Connections that share a pair of queues.
pub(super) const SLOTS: usize = 16;

/// Bytes for clients that are coming in.
const LOBBY: usize = 1024;
/// Bytes of each connection for messages without bytes of the connection. At most so many can be there
/// at a time: 3 acknowledgements, 1 that answers [`HUNGRY`], 1 that says `HUNGRY`, 2 ends, 1 that says
/// that it has gone, 2 about room, 2 marks; 12 x 16 bytes.
///
/// [`HUNGRY`]: super::frame::HUNGRY
const NEWS: usize = 12 * HEADER;
/// The least base that lets a connection make progress: two messages, each worth its header.
const LEAST_BASE: usize = 256;
/// Bytes that are kept at most for an owner who does not read.
pub(super) const INBOX: usize = 128 << 10;
/// Windows are told in units of so many bytes.
const UNIT: usize = 16;
/// Shorter messages than this are not worth it.
const LEAST_MESSAGE: usize = 256;

/// How a pair of queues is shared, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// What each connection may always have in each queue.
    pub(super) base: usize,
    /// What is lent, in each queue.
    pub(super) pool: usize,
    /// The most that one connection may have in one queue.
    pub(super) window: usize,
    /// The longest message.
    pub(super) message: usize,
}

impl Sizes {
    /// Shares out a queue of `capacity` bytes whose messages have at most `longest`.
    ///
    /// # Errors
    /// Which limit is too low, and how low it may be.
    pub(super) fn of(capacity: usize, longest: usize) -> Result<Self, String> {
        let fixed = LOBBY + SLOTS * NEWS;
        let least = fixed + SLOTS * LEAST_BASE;
        if capacity < least {
            return Err(format!(
                "a message queue holds {capacity} bytes (kernel.msgmnb), and {least} are needed: raise it"
            ));
        }
        if longest < LEAST_MESSAGE {
            return Err(format!(
                "a message has at most {longest} bytes (kernel.msgmax), and {LEAST_MESSAGE} are needed: \
                 raise it"
            ));
        }
        let rest = capacity - fixed;
        let base = (rest / 2 / SLOTS).clamp(LEAST_BASE, 2 * CAPACITY) / UNIT * UNIT;
        let pool = rest - SLOTS * base;
        let window = (base + Pool::most(pool)).min(INBOX / 2) / UNIT * UNIT;
        Ok(Self { base, pool, window, message: CAPACITY.min(longest) })
    }
}

/// What is lent beyond the base, of one queue.
#[derive(Debug)]
pub(super) struct Pool {
    free: usize,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self { free: size }
    }

    /// Changes what a connection has borrowed to `wanted`, or as near to that as there is to lend.
    pub(super) fn lend(&mut self, borrowed: &mut usize, wanted: usize) {
        let all = self.free + *borrowed;
        // What is in use already cannot be taken back.
        let granted = wanted.min(Self::most(all).max(*borrowed));
        self.free = all - granted;
        *borrowed = granted;
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// What one may have of `all`, so that a fifth is left for the next.
    fn most(all: usize) -> usize {
        all / 5 * 4
    }
}

/// What the other side said cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Impossible(pub(super) &'static str);

/// The account of the direction in which this side sends.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Bytes of messages sent, and those of them that the peer has taken out of the queue.
    total: u64,
    taken: u64,
    /// How far `total` may go, as the peer has said.
    limit: u64,
    /// Where the last message ended that did not say `MORE`.
    rested: u64,
}

impl Sending {
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of messages that are in the queue, as far as is known.
    pub(super) fn in_queue(&self) -> usize {
        clamp(self.total - self.taken)
    }

    /// Bytes of messages that may be sent now, with `window` allowed in the queue.
    pub(super) fn room(&self, window: usize) -> usize {
        let granted = clamp(self.limit.saturating_sub(self.total));
        granted.min(window.saturating_sub(self.in_queue()))
    }

    /// What a client may do before it was told anything.
    pub(super) fn begin(&mut self, window: usize) {
        self.limit = window as u64;
    }

    /// The peer says, with the low bits, how much it has taken out.
    pub(super) fn acknowledge(&mut self, taken: u32) -> Result<(), Impossible> {
        let taken = self.taken + u64::from(taken.wrapping_sub(low(self.taken)));
        if taken > self.total {
            return Err(Impossible("more was acknowledged than was sent"));
        }
        self.taken = taken;
        Ok(())
    }

    /// The peer lets this side go so many units beyond what it has taken out. What goes beyond `base` may have
    /// been lent, and lapsed meanwhile.
    pub(super) fn grant(&mut self, units: u16, base: Option<usize>) {
        let window = usize::from(units) * UNIT;
        let window = match base {
            // The peer did not know yet, when it said so, that nothing more would come.
            Some(base) if self.taken < self.rested => window.min(base),
            _ => window,
        };
        self.limit = self.limit.max(self.taken + window as u64);
    }

    /// A message of `cost` bytes was sent, with or without `more` behind it. What was lent beyond `base`
    /// lapses at the end.
    pub(super) fn sent(&mut self, cost: usize, more: bool, base: Option<usize>) {
        self.total += cost as u64;
        if let Some(base) = base
            && !more
        {
            self.rested = self.total;
            let always = self.taken + base as u64;
            self.limit = self.limit.min(always.max(self.total));
        }
    }
}

/// The account of the direction in which this side receives.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// Bytes of messages taken out of the queue, and what the peer knows of that.
    total: u64,
    told: u64,
    /// How far `total` may go, and what the peer knows of that.
    limit: u64,
    told_limit: u64,
    /// Whether the last message said `MORE`.
    more: bool,
    /// Whether the peer soon has no credit left.
    hungry: bool,
}

impl Receiving {
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether the peer has more to send than it has said.
    pub(super) fn expects_more(&self) -> bool {
        self.more
    }

    /// What may still come.
    pub(super) fn expected(&self) -> usize {
        clamp(self.limit.saturating_sub(self.total))
    }

    /// A message of `cost` bytes has come. Without `more` behind it, what was lent beyond `base` lapses.
    pub(super) fn received(
        &mut self,
        cost: usize,
        more: bool,
        hungry: bool,
        base: Option<usize>,
    ) -> Result<(), Impossible> {
        let total = self.total + cost as u64;
        if total > self.limit {
            return Err(Impossible("more was sent than there was credit for"));
        }
        self.total = total;
        self.hungry = hungry;
        self.more = more;
        if let Some(base) = base
            && !more
        {
            self.limit = self.limit.min(self.total + base as u64);
            self.told_limit = self.told_limit.min(self.limit);
        }
        Ok(())
    }

    /// The peer says that it has no credit left, and more to send.
    pub(super) fn starves(&mut self) {
        self.hungry = true;
        self.more = true;
    }

    pub(super) fn is_hungry(&self) -> bool {
        self.hungry
    }

    /// Lets `window` bytes come, if that is more than were let before.
    pub(super) fn extend(&mut self, window: usize) {
        self.limit = self.limit.max(self.total + window as u64);
    }

    /// How many units the peer may go beyond what was taken out.
    pub(super) fn units(&self) -> u16 {
        u16::try_from(self.expected() / UNIT).unwrap_or(u16::MAX)
    }

    /// Whether the peer waits for credit to be told of, of which it always has `base` bytes.
    pub(super) fn is_awaited(&self, base: usize) -> bool {
        let taken = clamp(self.total - self.told);
        let gain = clamp(self.limit.saturating_sub(self.told_limit));
        // Otherwise it can wait for a message that goes there anyhow.
        self.hungry && taken.max(gain) >= base / 2
    }

    /// Whether the peer is not told yet that something was taken out that may have been lent to it, beyond
    /// `base`. Until then it is missing to others.
    pub(super) fn is_missing(&self, base: usize) -> bool {
        clamp(self.total - self.told) > base
    }

    /// The peer was told.
    pub(super) fn told(&mut self) {
        self.told = self.total;
        self.told_limit = self.limit;
    }
}

/// The low 32 bits: what goes over the queue. Less than 2^31 bytes are ever on their way.
pub(super) fn low(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}

fn clamp(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "credit_tests.rs"]
mod tests;
