//! Memory that another process has mapped as well, and may change at any time.
//!
//! No reference to its bytes ever exists: words are atomics, and bytes are copied in and out by atomic
//! accesses, which is what makes a concurrent writer no undefined behaviour but just other bytes.
#![allow(unsafe_code, reason = "shared memory has no owner that the compiler could know")]

use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::ring::{CONTROL, Memory, Order, Word};

/// Bytes that are copied by one access.
const STEP: usize = size_of::<u64>();

/// A mapping of one side's memory: control words and ring. Unmapped when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Region(Arc<Mapping>);

#[derive(Debug)]
struct Mapping {
    /// Invariant: `length` bytes from here on are mapped, for reading, and for writing if `writable`, until
    /// this is dropped; the start is aligned to a page.
    start: NonNull<u8>,
    length: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to the process and not to a thread, and is accessed by atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Region {
    /// Maps the first bytes of `memory`: the control words, and a ring of `capacity`. The caller has made sure
    /// that it is that long and stays so: an access beyond its end would kill the process.
    ///
    /// # Errors
    /// `mmap(2)`'s.
    pub(crate) fn map(memory: impl AsFd, capacity: usize, writable: bool) -> io::Result<Self> {
        let length = CONTROL + capacity;
        let size = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
        let access = if writable {
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
        } else {
            ProtFlags::PROT_READ
        };
        // SAFETY: a new mapping at a place of the kernel's choice replaces none that is there.
        let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, memory, 0) }?;
        Ok(Self(Arc::new(Mapping { start: start.cast(), length, writable })))
    }

    /// The word at this offset, which is within the control words.
    fn word(&self, word: Word) -> &AtomicU64 {
        let offset = word.offset();
        assert!(offset + size_of::<AtomicU64>() <= CONTROL, "a word outside the control words");
        // SAFETY: the offset is within the mapping, because that has `CONTROL` bytes at least.
        let place = unsafe { self.0.start.add(offset) }.cast::<AtomicU64>();
        // SAFETY: it is mapped for as long as `self` lives, it is aligned, because the start is to a page
        // and the offset to 8 bytes, and any bytes are an atomic number; all who share it use atomics.
        unsafe { place.as_ref() }
    }

    /// `count` bytes of the ring, after a check that they are there.
    fn bytes(&self, at: usize, count: usize) -> &[AtomicU8] {
        let capacity = self.0.length - CONTROL;
        let within = at.checked_add(count).is_some_and(|end| end <= capacity);
        assert!(within, "{count} bytes at {at} of a ring of {capacity}");
        // SAFETY: `CONTROL + at` is at most the mapping's length, as was checked.
        let start = unsafe { self.0.start.add(CONTROL + at) }.cast::<AtomicU8>();
        // SAFETY: so many bytes are mapped from there on for as long as `self` lives, as was checked; any
        // byte is an atomic one, and all who share them use atomics.
        unsafe { slice::from_raw_parts(start.as_ptr(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and with the last clone of the region nobody uses it.
        let unmapped = unsafe { munmap(self.start.cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
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
        assert!(self.0.writable, "the other side's words are not ours to write");
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
    fn copy_in(&self, at: usize, bytes: &[u8]) {
        assert!(self.0.writable, "the other side's bytes are not ours to write");
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
