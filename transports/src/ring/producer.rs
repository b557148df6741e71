//! The end of a ring that writes.

use std::io::IoSlice;

use super::{BYTES, Bell, Corrupt, LETTER, LETTER_BYTES, Memory, Order, Sleep, Word, stamp};

/// Writes into its own memory what the other side reads.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    own: M,
    peer: M,
    /// Bytes; a power of two.
    capacity: u64,
    /// Bytes written.
    tail: u64,
    /// Bytes read by the other side when last looked at. Invariant: `head <= tail <= head + capacity`.
    head: u64,
    sleep: Sleep,
    bell: Bell,
}

impl<M: Memory> Producer<M> {
    /// For memory that is all zero.
    ///
    /// # Panics
    /// When the capacity is not a power of two.
    pub(crate) fn new(own: M, peer: M, capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "a ring of {capacity} bytes");
        Self {
            own,
            peer,
            capacity: capacity as u64,
            tail: 0,
            head: 0,
            sleep: Sleep::new(Word::WriterSleeps),
            bell: Bell::new(Word::ReaderSleeps),
        }
    }

    /// Writes as much of the concatenated buffers as there is room for, and says how much: 0 if there is
    /// none.
    ///
    /// # Errors
    /// When the other side's index is impossible.
    #[inline]
    pub(crate) fn write(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize, Corrupt> {
        self.sleep.disarm(&self.own);
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut room = self.known_room();
        if room < wanted {
            self.look()?;
            room = self.known_room();
        }
        let mut left = room;
        for buffer in buffers {
            let some = &buffer[..buffer.len().min(left)];
            self.put(some);
            left -= some.len();
            if left == 0 {
                break;
            }
        }
        let written = room - left;
        if written > 0 {
            if written <= LETTER_BYTES {
                self.write_letter(buffers, written);
            }
            // SYNC(published): the bytes are there before the index says so.
            self.own.store(Word::Tail, self.tail, Order::Synchronizing);
        }
        Ok(written)
    }

    /// Puts the first `length` bytes of the buffers beside the tail.
    #[inline]
    fn write_letter(&self, buffers: &[IoSlice<'_>], length: usize) {
        let mut letter = [0; LETTER_BYTES];
        let mut at = 0;
        for buffer in buffers {
            let some = &buffer[..buffer.len().min(length - at)];
            letter[at..at + some.len()].copy_from_slice(some);
            at += some.len();
        }
        self.own.store(Word::Stamp, stamp(self.tail, length), Order::Relaxed);
        // SYNC(letter): whoever sees a byte of this letter sees its stamp, too.
        self.own.release();
        let words = letter.as_chunks::<BYTES>().0.iter().take(length.div_ceil(BYTES));
        for (word, bytes) in LETTER.into_iter().zip(words) {
            self.own.store(word, u64::from_le_bytes(*bytes), Order::Relaxed);
        }
    }

    /// Whether the reader's bell has to be rung; to be asked after each write that wrote something.
    #[inline]
    pub(crate) fn must_ring(&mut self) -> bool {
        self.bell.is_due(&self.own, &self.peer)
    }

    /// Whether the other side reads nothing more.
    #[inline]
    pub(crate) fn is_unheard(&self) -> bool {
        self.peer.load(Word::Deaf, Order::Relaxed) != 0
    }

    /// Says that this side is about to sleep until there is room; `false` if there is some, or if the other
    /// side reads nothing more.
    ///
    /// # Errors
    /// When the other side's index is impossible.
    pub(crate) fn arm(&mut self) -> Result<bool, Corrupt> {
        self.sleep.arm(&self.own);
        self.look()?;
        let waits = self.known_room() == 0 && !self.is_unheard();
        if !waits {
            self.sleep.disarm(&self.own);
        }
        Ok(waits)
    }

    /// Says that nothing more will be written. The reader's bell is to be rung then.
    pub(crate) fn close(&mut self) {
        // SYNC(closed): the last index is there before.
        self.own.store(Word::Closed, 1, Order::Synchronizing);
    }

    fn known_room(&self) -> usize {
        (self.head + self.capacity - self.tail) as usize
    }

    /// Looks how far the other side has read.
    fn look(&mut self) -> Result<(), Corrupt> {
        // SYNC(consumed): the bytes up to there were copied out before.
        let value = self.peer.load(Word::Head, Order::Synchronizing);
        if !(self.head..=self.tail).contains(&value) {
            let (least, most) = (self.head, self.tail);
            return Err(Corrupt { word: Word::Head, value, least, most });
        }
        self.head = value;
        Ok(())
    }

    /// Copies bytes for which there is room.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let at = (self.tail & (self.capacity - 1)) as usize;
        let (first, rest) = bytes.split_at(bytes.len().min(self.capacity as usize - at));
        self.own.copy_in(at, first);
        if !rest.is_empty() {
            self.own.copy_in(0, rest);
        }
        self.tail += bytes.len() as u64;
    }
}
