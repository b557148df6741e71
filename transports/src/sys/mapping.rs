//! A piece of this process's address space that another process has as well, and may change at any time.
//!
//! No reference to its bytes ever exists that is not to atomics, which is what makes a concurrent writer no
//! undefined behaviour but just other bytes.
#![allow(unsafe_code, reason = "shared memory has no owner that the compiler could know")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU64};

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::Segment;

/// Memory that is shared with another process. Dropping it takes it out of the address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Invariant: `length` bytes from here on are mapped, for reading, and for writing if `writable`, until
    /// this is dropped; the start is aligned to a page.
    start: NonNull<u8>,
    length: usize,
    writable: bool,
    origin: Origin,
}

/// How it came there, which is how it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    File,
    Segment,
}

// SAFETY: the mapping belongs to the process and not to a thread, and is accessed by atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of a file. The caller has made sure that it is that long and stays so: an
    /// access beyond its end would kill the process.
    ///
    /// # Errors
    /// `mmap(2)`'s.
    pub(super) fn of_file(file: impl AsFd, length: usize, writable: bool) -> io::Result<Self> {
        let size = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
        let access = if writable {
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
        } else {
            ProtFlags::PROT_READ
        };
        // SAFETY: a new mapping at a place of the kernel's choice replaces none that is there.
        let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { start: start.cast(), length, writable, origin: Origin::File })
    }

    /// Attaches a System V segment, for reading and writing, that has `length` bytes.
    ///
    /// # Errors
    /// `InvalidData` when it has another size; `shmat(2)`'s.
    pub(crate) fn of_segment(segment: Segment, length: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses a place where nothing is.
        let start = unsafe { libc::shmat(segment.id(), std::ptr::null(), 0) };
        if start.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidInput)?.cast();
        let mut this = Self { start, length: 0, writable: true, origin: Origin::Segment };
        // Its size never changes, and as long as it is attached its id is no other's.
        let size = segment.status()?.size;
        if size != length {
            let text = format!("a segment of {size} bytes where there should be {length}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        this.length = length;
        Ok(this)
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The number at this offset, which is a multiple of 8. If this is not writable, it may only be read.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        let within = offset.is_multiple_of(size_of::<AtomicU64>())
            && offset.checked_add(size_of::<AtomicU64>()).is_some_and(|end| end <= self.length);
        assert!(within, "a word at {offset} of {} bytes", self.length);
        // SAFETY: the offset is within the mapping, as was checked.
        let place = unsafe { self.start.add(offset) }.cast::<AtomicU64>();
        // SAFETY: it is mapped for as long as `self` lives, it is aligned, because the start is to a page
        // and the offset to 8 bytes, and any bytes are an atomic number; all who share it use atomics.
        unsafe { place.as_ref() }
    }

    /// `count` bytes from `offset` on. If this is not writable, they may only be read.
    #[inline]
    pub(super) fn bytes(&self, offset: usize, count: usize) -> &[AtomicU8] {
        let within = offset.checked_add(count).is_some_and(|end| end <= self.length);
        assert!(within, "{count} bytes at {offset} of {}", self.length);
        // SAFETY: the offset is at most the mapping's length, as was checked.
        let start = unsafe { self.start.add(offset) }.cast::<AtomicU8>();
        // SAFETY: so many bytes are mapped from there on for as long as `self` lives, as was checked; any
        // byte is an atomic one, and all who share them use atomics.
        unsafe { slice::from_raw_parts(start.as_ptr(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.start.cast();
        let gone = match self.origin {
            // SAFETY: the mapping is this one's own, and whoever borrows from it has ended.
            Origin::File => unsafe { munmap(start, self.length) }.is_ok(),
            // SAFETY: as above.
            Origin::Segment => unsafe { libc::shmdt(start.as_ptr()) == 0 },
        };
        debug_assert!(gone, "{}", io::Error::last_os_error());
    }
}
