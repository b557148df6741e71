//! One direction of a stream: what may still be sent of it, and what has come and was not taken yet.
//!
//! Sans-IO. A stream is a sequence of items, each with its length (u32, little-endian) before it, and these bytes
//! go in `Data` frames that may be cut anywhere. It is limited in bytes and in items, lengths included: an item
//! counts where its first byte is. What the receiver has taken is granted anew, so that a sender is never further
//! ahead than a [`Window`], which bounds the memory at both ends.

use crate::protocol::incoming::Violation;
use crate::wire::frame::Credit;

/// Bytes of an item's length.
pub const LENGTH: usize = 4;

pub use crate::limits::Window;

impl Window {
    /// The largest item, in bytes.
    pub fn largest_item(self) -> usize {
        (self.bytes as usize).saturating_sub(LENGTH)
    }
}

/// What has come of a stream.
#[derive(Debug)]
pub struct Arrived {
    window: Window,
    /// Items that nobody has taken, the last perhaps in part.
    bytes: Vec<u8>,
    /// Where the first item begins that is not all here.
    whole: usize,
    /// Items of which at least a byte is here.
    items: u32,
    /// What the sender may still send.
    left: Credit,
    /// What was given out last.
    out: Credit,
    /// What was done with, and is not granted again yet.
    owed: Credit,
}

impl Arrived {
    /// Nothing yet, of a stream that begins with this window.
    pub fn new(window: Window) -> Self {
        let left = Credit { bytes: window.bytes, items: window.items };
        let (out, owed) = (Credit::default(), Credit::default());
        Self { window, bytes: Vec::new(), whole: 0, items: 0, left, out, owed }
    }

    /// Takes in the body of a frame.
    ///
    /// # Errors
    /// More than was granted, or an item that is larger than the window.
    pub fn push(&mut self, id: u64, body: &[u8]) -> Result<(), Violation> {
        let count = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let Some(bytes) = self.left.bytes.checked_sub(count) else {
            return Err(Violation::Stream { what: "more bytes than were granted", id });
        };
        self.left.bytes = bytes;
        let begun_before = self.whole < self.bytes.len();
        self.bytes.extend_from_slice(body);
        let mut items = 0;
        while let Some(head) = self.bytes[self.whole..].first_chunk::<LENGTH>() {
            let length = u32::from_le_bytes(*head) as usize;
            if length > self.window.largest_item() {
                return Err(Violation::Stream { what: "an item larger than its window", id });
            }
            if self.bytes.len() - self.whole < LENGTH + length {
                break;
            }
            self.whole += LENGTH + length;
            items += 1;
        }
        items += u32::from(self.whole < self.bytes.len());
        items -= u32::from(begun_before);
        let Some(left) = self.left.items.checked_sub(items) else {
            return Err(Violation::Stream { what: "more items than were granted", id });
        };
        self.left.items = left;
        self.items += items;
        Ok(())
    }

    /// Whether the stream can end here.
    pub fn is_whole(&self) -> bool {
        self.whole == self.bytes.len()
    }

    /// Whether [`take`](Self::take) has something to do: items to give, or room to make for one.
    pub fn is_due(&self) -> bool {
        self.whole > 0 || self.is_starved()
    }

    /// Gives all whole items for `taken`, which was given before and is done with. `false` if there are none.
    pub fn take(&mut self, taken: &mut Vec<u8>) -> bool {
        let out = std::mem::take(&mut self.out);
        self.owed.bytes += out.bytes;
        self.owed.items += out.items;
        taken.clear();
        if self.whole == 0 {
            return false;
        }
        std::mem::swap(taken, &mut self.bytes);
        self.bytes.extend_from_slice(&taken[self.whole..]);
        taken.truncate(self.whole);
        self.whole = 0;
        let rest = u32::from(!self.bytes.is_empty());
        self.out = Credit { bytes: taken.len() as u32, items: self.items - rest };
        self.items = rest;
        true
    }

    /// What is to be granted now, to be asked after [`take`](Self::take). Not for every item: half a window at a time,
    /// or all that there is when the sender cannot come to the end of an item otherwise.
    pub fn grant(&mut self) -> Option<Credit> {
        let Credit { bytes, items } = self.owed;
        let much = bytes > self.window.bytes / 2 || items > self.window.items / 2;
        if !much && (bytes == 0 || !self.is_starved()) {
            return None;
        }
        self.owed = Credit::default();
        self.left.bytes += bytes;
        self.left.items += items;
        Some(Credit { bytes, items })
    }

    /// Whether the sender may not send all of the item that has begun.
    fn is_starved(&self) -> bool {
        let begun = &self.bytes[self.whole..];
        let length = begun
            .first_chunk()
            .map_or(self.window.largest_item(), |head| u32::from_le_bytes(*head) as usize);
        !begun.is_empty() && (self.left.bytes as usize) < LENGTH + length - begun.len()
    }

    /// Forgets what is here, and what comes: nobody takes it any more.
    pub fn discard(&mut self) {
        self.bytes = Vec::new();
        self.whole = 0;
    }
}

/// What may be sent of a stream.
#[derive(Debug)]
pub struct Allowance {
    left: Credit,
    stopped: bool,
}

impl Allowance {
    /// That of a stream that begins with this window, which is the receiver's.
    pub fn new(window: Window) -> Self {
        let left = Credit { bytes: window.bytes, items: window.items };
        Self { left, stopped: false }
    }

    /// The receiver grants more. More than can be counted is as much as can: it is the receiver that gets it.
    pub fn grant(&mut self, credit: Credit) {
        self.left = self.left.plus(credit);
    }

    /// The receiver wants no more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether the receiver wants no more.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes all that is allowed.
    pub fn take(&mut self) -> Credit {
        std::mem::take(&mut self.left)
    }
}

/// The items of a batch that was [taken](Arrived::take), one after the other.
#[derive(Debug, Default)]
pub struct Batch {
    /// To be given to [`Arrived::take`] when there is no further item.
    pub bytes: Vec<u8>,
    at: usize,
}

impl Batch {
    /// The next item's bytes.
    #[inline]
    pub fn next_item(&mut self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.at..)?;
        let (head, rest) = rest.split_first_chunk::<LENGTH>()?;
        let item = rest.get(..u32::from_le_bytes(*head) as usize)?;
        self.at += LENGTH + item.len();
        Some(item)
    }

    /// Whether it has been read to its end.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Begins anew, after [`Arrived::take`].
    pub fn rewind(&mut self) {
        self.at = 0;
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
