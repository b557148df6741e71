//! One side's memory of a ring: control words and bytes, in a [`Mapping`] that another process has as well.
//!
//! Words are atomics, and bytes are copied in and out by atomic accesses.
#![allow(unsafe_code, reason = "bytes are read into memory that is not initialised")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use super::Mapping;
use crate::ring::{CONTROL, Memory, Order, Word};

/// Bytes that are copied by one access.
const STEP: usize = size_of::<u64>();

/// One side's memory. The mapping goes with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    mapping: Arc<Mapping>,
    /// Where it begins in the mapping, in bytes; a multiple of 8.
    offset: usize,
    /// Bytes of the ring. Invariant: `CONTROL` and these, from the offset on, are within the mapping.
    capacity: usize,
    /// Whether this is this process's side. Invariant: then the mapping is writable.
    own: bool,
}

impl Region {
    /// Maps the first bytes of `memory`: the control words, and a ring of `capacity`. The caller has made sure
    /// that it is that long and stays so: an access beyond its end would kill the process.
    ///
    /// # Errors
    /// `mmap(2)`'s.
    pub(crate) fn map(memory: impl AsFd, capacity: usize, writable: bool) -> io::Result<Self> {
        let mapping = Mapping::of_file(memory, CONTROL + capacity, writable)?;
        Ok(Self::within(&Arc::new(mapping), 0, capacity, writable))
    }

    /// The control words from `offset` on, and the ring of `capacity` behind them; this process's `own` side or
    /// the peer's.
    ///
    /// # Panics
    /// When they are not within the mapping, not aligned, or the own side and not writable.
    pub(crate) fn within(
        mapping: &Arc<Mapping>,
        offset: usize,
        capacity: usize,
        own: bool,
    ) -> Self {
        let end = offset + CONTROL + capacity;
        assert!(end <= mapping.length(), "memory up to {end} of {}", mapping.length());
        assert!(offset.is_multiple_of(STEP), "memory at {offset}, which is not aligned");
        assert!(mapping.is_writable() || !own, "the own side has to be writable");
        Self { mapping: Arc::clone(mapping), offset, capacity, own }
    }

    #[inline]
    fn word(&self, word: Word) -> &AtomicU64 {
        self.mapping.word(self.offset + word.offset())
    }

    /// `count` bytes of the ring, after a check that they are there.
    #[inline]
    fn bytes(&self, at: usize, count: usize) -> &[AtomicU8] {
        let within = at.checked_add(count).is_some_and(|end| end <= self.capacity);
        assert!(within, "{count} bytes at {at} of a ring of {}", self.capacity);
        self.mapping.bytes(self.offset + CONTROL + at, count)
    }
}

impl Memory for Region {
    #[inline]
    fn load(&self, word: Word, order: Order) -> u64 {
        self.word(word).load(match order {
            Order::Relaxed => Ordering::Relaxed,
            Order::Synchronizing => Ordering::Acquire,
        })
    }

    #[inline]
    fn store(&self, word: Word, value: u64, order: Order) {
        assert!(self.own, "the other side's words are not ours to write");
        self.word(word).store(
            value,
            match order {
                Order::Relaxed => Ordering::Relaxed,
                Order::Synchronizing => Ordering::Release,
            },
        );
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn release(&self) {
        fence(Ordering::Release);
    }

    #[inline]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn copy_in(&self, at: usize, bytes: &[u8]) {
        assert!(self.own, "the other side's bytes are not ours to write");
        let (before, steps, after) = split(self.bytes(at, bytes.len()));
        let (head, rest) = bytes.split_at(before.len());
        let (middle, tail) = rest.split_at(size_of_val(steps));
        let each = |to: &[AtomicU8], from: &[u8]| {
            to.iter().zip(from).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
        };
        each(before, head);
        for (to, from) in steps.iter().zip(middle.as_chunks::<STEP>().0) {
            to.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
        }
        each(after, tail);
    }

    #[inline]
    fn copy_out(&self, at: usize, count: usize, buffer: &mut Vec<u8>) {
        let (before, steps, after) = split(self.bytes(at, count));
        let room = buffer.capacity() - buffer.len();
        assert!(count <= room, "{count} bytes where there is room for {room}");
        let filled = buffer.len() + count;
        let into = &mut buffer.spare_capacity_mut()[..count];
        let (head, rest) = into.split_at_mut(before.len());
        let (middle, tail) = rest.split_at_mut(size_of_val(steps));
        let each = |to: &mut [MaybeUninit<u8>], from: &[AtomicU8]| {
            to.iter_mut().zip(from).for_each(|(to, from)| {
                to.write(from.load(Ordering::Relaxed));
            });
        };
        each(head, before);
        for (to, from) in middle.as_chunks_mut::<STEP>().0.iter_mut().zip(steps) {
            *to = from.load(Ordering::Relaxed).to_ne_bytes().map(MaybeUninit::new);
        }
        each(tail, after);
        // SAFETY: `filled` is within the capacity, as was checked, and the three parts that make up `count`
        // bytes have just been written.
        unsafe { buffer.set_len(filled) };
    }
}

/// The bytes up to the first that is aligned, as many whole words as follow, and the rest.
#[inline]
fn split(bytes: &[AtomicU8]) -> (&[AtomicU8], &[AtomicU64], &[AtomicU8]) {
    // SAFETY: eight atomic bytes that are aligned are an atomic number, whatever their values. That others
    // access them by bytes at the same time is what the peer may do anyway: both are relaxed.
    unsafe { bytes.align_to::<AtomicU64>() }
}
