//! The end of a ring that reads.

use super::{BYTES, Bell, Corrupt, LETTER, LETTER_BYTES, Memory, Order, Sleep, Word, stamp};

/// Room is given back when it is this part of the ring. Most reads then need not care for the writer: it waits
/// only when the ring is full for it, and before the reader can have read all of that it has given back some.
const PUBLISHED: u64 = 4;

/// Reads out of the other side's memory.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    own: M,
    peer: M,
    /// Bytes; a power of two.
    capacity: u64,
    /// Bytes read.
    head: u64,
    /// Bytes read as the other side knows it.
    published: u64,
    /// Whether that has changed since the writer's bell was thought of.
    is_news: bool,
    /// Bytes written by the other side when last looked at. Invariant: `head <= tail <= head + capacity`.
    tail: u64,
    sleep: Sleep,
    bell: Bell,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes, more than none.
    Bytes(usize),
    /// None are there.
    Nothing,
    /// None will come any more.
    End,
}

impl<M: Memory> Consumer<M> {
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
            head: 0,
            published: 0,
            is_news: false,
            tail: 0,
            sleep: Sleep::new(Word::ReaderSleeps),
            bell: Bell::new(Word::WriterSleeps),
        }
    }

    /// Appends at most `limit` bytes to `buffer`, within its capacity.
    ///
    /// # Errors
    /// When the other side's index is impossible.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<Read, Corrupt> {
        self.sleep.disarm(&self.own);
        if self.head == self.tail {
            self.look()?;
            if self.head == self.tail {
                let over = self.is_over()?;
                // Something may have come with the end.
                if self.head == self.tail {
                    return Ok(if over { Read::End } else { Read::Nothing });
                }
            }
        }
        let count = limit.min((self.tail - self.head) as usize);
        if !self.read_letter(buffer, count) {
            self.read_ring(buffer, count);
        }
        self.head += count as u64;
        if self.head - self.published >= self.capacity / PUBLISHED {
            // SYNC(consumed): the bytes are copied out before their room is given back.
            self.own.store(Word::Head, self.head, Order::Synchronizing);
            (self.published, self.is_news) = (self.head, true);
        }
        Ok(Read::Bytes(count))
    }

    /// Appends the `count` next bytes from beside the tail, if they are what is there.
    #[inline]
    fn read_letter(&self, buffer: &mut Vec<u8>, count: usize) -> bool {
        if count > LETTER_BYTES || self.head + count as u64 != self.tail {
            return false;
        }
        let mut letter = [0; LETTER_BYTES];
        let words = letter.as_chunks_mut::<BYTES>().0.iter_mut().take(count.div_ceil(BYTES));
        for (word, bytes) in LETTER.into_iter().zip(words) {
            *bytes = self.peer.load(word, Order::Relaxed).to_le_bytes();
        }
        // SYNC(letter): had any of it been of a later letter, so would be the stamp.
        self.peer.acquire();
        let is_whole = self.peer.load(Word::Stamp, Order::Relaxed) == stamp(self.tail, count);
        if is_whole {
            buffer.extend_from_slice(&letter[..count]);
        }
        is_whole
    }

    /// Appends the `count` next bytes from the ring.
    #[inline]
    fn read_ring(&self, buffer: &mut Vec<u8>, count: usize) {
        let at = (self.head & (self.capacity - 1)) as usize;
        let first = count.min(self.capacity as usize - at);
        self.peer.copy_out(at, first, buffer);
        if count > first {
            self.peer.copy_out(0, count - first, buffer);
        }
    }

    /// Whether nothing was there to read just now; the end does not count.
    #[inline]
    pub(crate) fn is_dry(&self) -> bool {
        self.head == self.tail && self.peer.load(Word::Tail, Order::Relaxed) == self.tail
    }

    /// Whether the writer's bell has to be rung; to be asked after each read that read something.
    #[inline]
    pub(crate) fn must_ring(&mut self) -> bool {
        std::mem::take(&mut self.is_news) && self.bell.is_due(&self.own, &self.peer)
    }

    /// Says that this side is about to sleep until there is something to read; `false` if there is, or if
    /// nothing will come any more.
    ///
    /// # Errors
    /// When the other side's index is impossible.
    #[inline]
    pub(crate) fn arm(&mut self) -> Result<bool, Corrupt> {
        self.sleep.arm(&self.own);
        self.look()?;
        let over = self.is_over()?;
        let nothing = self.head == self.tail && !over;
        if !nothing {
            self.sleep.disarm(&self.own);
        }
        Ok(nothing)
    }

    /// Says that nothing more will be read. The writer's bell is to be rung then.
    pub(crate) fn close(&mut self) {
        self.own.store(Word::Deaf, 1, Order::Relaxed);
    }

    /// Whether the other side will write nothing more than is known now.
    fn is_over(&mut self) -> Result<bool, Corrupt> {
        // SYNC(closed): what was written before is seen after it.
        let over = self.peer.load(Word::Closed, Order::Synchronizing) != 0;
        if over {
            self.look()?;
        }
        Ok(over)
    }

    /// Looks how far the other side has written.
    #[inline]
    fn look(&mut self) -> Result<(), Corrupt> {
        // SYNC(published): the bytes up to there are there.
        let value = self.peer.load(Word::Tail, Order::Synchronizing);
        let (least, most) = (self.tail, self.head + self.capacity);
        if !(least..=most).contains(&value) {
            return Err(Corrupt { word: Word::Tail, value, least, most });
        }
        self.tail = value;
        Ok(())
    }
}
