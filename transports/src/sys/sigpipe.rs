//! Writing to a pipe with `SIGPIPE` held back, for kernels without `RWF_NOSIGNAL`.
//!
//! The signal that a broken pipe raises is meant for the writing thread. So it is blocked there around
//! the write, and one that came of the write is taken out again before it is unblocked. The
//! process's disposition is not touched, and a signal that was pending before stays pending.
//!
//! System calls: `rt_sigprocmask(2)` twice for each write; `rt_sigpending(2)` if the thread had the
//! signal blocked already; `rt_sigtimedwait(2)` when the pipe is broken.
#![allow(unsafe_code, reason = "nix offers neither sigpending nor sigtimedwait")]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::uio::writev;

/// Writes a prefix of the concatenated slices without raising `SIGPIPE`.
///
/// # Errors
/// What `writev(2)` reports, `WouldBlock` and `BrokenPipe` among it, never `Interrupted`.
pub(super) fn write(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let held = Held::back()?;
    let result = loop {
        match writev(fd, slices) {
            Err(Errno::EINTR) => {}
            result => break result,
        }
    };
    if result == Err(Errno::EPIPE) {
        held.take();
    }
    Ok(result?)
}

/// `SIGPIPE`, blocked in this thread for as long as this lives.
struct Held {
    sigpipe: SigSet,
    /// The thread had blocked it before, which is then not undone.
    was_blocked: bool,
    /// One was pending before, which is then not taken. Only a blocked signal can be.
    was_pending: bool,
}

impl Held {
    fn back() -> nix::Result<Self> {
        let mut sigpipe = SigSet::empty();
        sigpipe.add(Signal::SIGPIPE);
        let before = sigpipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let was_blocked = before.contains(Signal::SIGPIPE);
        let mut held = Self { sigpipe, was_blocked, was_pending: false };
        if was_blocked {
            held.was_pending = is_pending()?;
        }
        Ok(held)
    }

    /// Takes the signal that a write has raised.
    fn take(&self) {
        if self.was_pending {
            // Both are one now, because standard signals merge.
            return;
        }
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            // SAFETY: both pointers lead to values that live until the call returns, and a null
            // pointer for the signal's details is allowed.
            let taken =
                unsafe { libc::sigtimedwait(self.sigpipe.as_ref(), ptr::null_mut(), &at_once) };
            if Errno::result(taken) != Err(Errno::EINTR) {
                // Taken, or (EAGAIN) there was none.
                return;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.was_blocked {
            let unblocked = self.sigpipe.thread_unblock();
            debug_assert!(unblocked.is_ok(), "{unblocked:?}");
        }
    }
}

fn is_pending() -> nix::Result<bool> {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending writes a whole set to where the pointer leads, which has room for one.
    Errno::result(unsafe { libc::sigpending(pending.as_mut_ptr()) })?;
    // SAFETY: `pending` is a set that sigpending, which has succeeded, has just initialised.
    let found = unsafe { libc::sigismember(pending.as_ptr(), libc::SIGPIPE) };
    Ok(found == 1)
}

#[cfg(test)]
#[path = "sigpipe_tests.rs"]
mod tests;
