//! Whether this process is the one that did something, or a child that it has forked since.
//!
//! One page of memory is zero in a forked child (`MADV_WIPEONFORK`, madvise(2)), so looking costs a load
//! and no system call.
#![allow(unsafe_code, reason = "a mapping that lives as long as the process")]

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// Bytes of the page.
const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The page, and the number of the last generation of processes.
static PAGE_AND_LAST: Mutex<(Option<&'static AtomicU64>, u64)> = Mutex::new((None, 0));

/// This process, as opposed to its forked children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisProcess {
    page: &'static AtomicU64,
    generation: u64,
}

impl ThisProcess {
    /// The current process.
    ///
    /// # Errors
    /// When there is no memory for the page, or the kernel is older than Linux 4.14.
    pub(crate) fn current() -> io::Result<Self> {
        let mut known = PAGE_AND_LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let page = match known.0 {
            Some(page) => page,
            None => *known.0.insert(make_page()?),
        };
        if page.load(Ordering::Relaxed) == 0 {
            known.1 += 1;
            page.store(known.1, Ordering::Relaxed);
        }
        Ok(Self { page, generation: page.load(Ordering::Relaxed) })
    }

    /// Whether this runs in the same process.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.page.load(Ordering::Relaxed) == self.generation
    }

    /// An error in any other.
    #[inline]
    pub(crate) fn check(self) -> io::Result<()> {
        if self.is_current() { Ok(()) } else { Err(forked()) }
    }
}

#[cold]
fn forked() -> io::Error {
    io::Error::other(
        "this process was forked from the one that made the connection, and cannot use it: connect anew",
    )
}

fn make_page() -> io::Result<&'static AtomicU64> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice replaces none that is there.
    let start = unsafe { mmap_anonymous(None, PAGE, access, MapFlags::MAP_PRIVATE) }?;
    // SAFETY: the advice is about this mapping, which nobody uses yet, and all that it does is to make it
    // zero in a child.
    unsafe { madvise(start, PAGE.get(), MmapAdvise::MADV_WIPEONFORK) }?;
    // SAFETY: the mapping is never removed, aligned to a page, and zero, which is an atomic number.
    Ok(unsafe { start.cast::<AtomicU64>().as_ref() })
}
