//! Cancellation: a token that is cancelled once, and all the ways to notice it.
//!
//! State decides: whoever waits on a token looks at it again when woken. A [`CancelToken`] wakes tasks, makes a
//! descriptor readable and [ends system calls](interrupt), as far as somebody has asked for each.

mod interrupt;

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use ipcall_signals::Section;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Why something was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CancelCause {
    /// Whoever called has given it up.
    Caller = 1,
    /// Its time has run out.
    Deadline = 2,
    /// Whoever called is gone.
    PeerGone = 3,
    /// The server ends.
    Closing = 4,
}

impl CancelCause {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Caller,
            2 => Self::Deadline,
            3 => Self::PeerGone,
            4 => Self::Closing,
            _ => return None,
        })
    }
}

/// What a handler returns that has noticed that its call was cancelled. The caller does not get this: it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cancelled {
    /// Why.
    pub cause: CancelCause,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            CancelCause::Caller => "the call was cancelled",
            CancelCause::Deadline => "the call's time has run out",
            CancelCause::PeerGone => "the caller is gone",
            CancelCause::Closing => "the server is closing",
        })
    }
}

impl std::error::Error for Cancelled {}

/// Of no kind that the standard library would try again for, as it does for `Interrupted`.
impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::other(cancelled)
    }
}

/// Something that is cancelled at most once, for any number of calls: those that were made with it
/// ([`CallOptions::cancel_token`](crate::CallOptions::cancel_token)), or one that a handler works on
/// ([`Context::cancel_token`](crate::Context::cancel_token)).
///
/// Cheap to clone; all clones are one token.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<State>);

#[derive(Default)]
struct State {
    /// A [`CancelCause`], or 0. Set before `waiting` is looked at, and looked at after something was entered there.
    cause: AtomicU8,
    waiting: Mutex<Waiting>,
    /// Readable when cancelled; made when it is asked for, with `waiting` locked.
    descriptor: OnceLock<EventFd>,
}

/// Those who are to be told.
#[derive(Default)]
struct Waiting {
    wakers: Vec<(u64, Waker)>,
    keys: u64,
    sections: Vec<Arc<Section>>,
}

impl CancelToken {
    /// One that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels it, once and for all.
    pub fn cancel(&self) {
        self.cancel_because(CancelCause::Caller);
    }

    /// Whether it is cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.cause.load(Ordering::Acquire) != 0
    }

    /// Waits until it is cancelled. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + '_ {
        Noticed { token: self, key: None }
    }

    /// A descriptor that is readable once it is cancelled, for `poll(2)`. Not to be read. Made at the first call.
    ///
    /// # Errors
    /// That of `eventfd(2)`.
    pub fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if self.0.descriptor.get().is_none() {
            // Who cancels either finds it, or is found here to have done so.
            let _waiting = self.0.waiting();
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let made = EventFd::from_value_and_flags(u32::from(self.is_cancelled()), flags)?;
            // Another thread may have been faster.
            let _ = self.0.descriptor.set(made);
        }
        self.0.descriptor.get().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::Other.into())
    }

    /// Runs a system call that returns `EINTR` if this is cancelled, before or while it runs.
    ///
    /// See [`Context::interruptible`](crate::Context::interruptible).
    pub fn interruptible<R>(&self, call: impl FnOnce() -> R) -> R {
        let Ok(inside) = ipcall_signals::enter() else { return call() };
        let section = inside.section();
        self.0.waiting().sections.push(Arc::clone(section));
        if self.is_cancelled() {
            interrupt::interrupt(vec![Arc::clone(section)]);
        }
        let result = call();
        self.0.waiting().sections.retain(|other| !Arc::ptr_eq(other, section));
        result
    }

    /// Why it is cancelled, if it is.
    #[inline]
    pub fn cause(&self) -> Option<CancelCause> {
        CancelCause::from_number(self.0.cause.load(Ordering::Acquire))
    }

    /// Cancels it; the first cause stays.
    pub(crate) fn cancel_because(&self, cause: CancelCause) {
        let state = &self.0;
        let set = state.cause.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
        if set.is_err() {
            return;
        }
        let (wakers, sections) = {
            let mut waiting = state.waiting();
            (std::mem::take(&mut waiting.wakers), std::mem::take(&mut waiting.sections))
        };
        if let Some(descriptor) = state.descriptor.get() {
            // It is written once, and cannot be full.
            let _ = descriptor.write(1);
        }
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        if !sections.is_empty() {
            interrupt::interrupt(sections);
        }
    }

    /// Has `waker` woken when it is cancelled, in place of the one that was there under this key.
    pub(crate) fn poll_cancelled(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        let mut waiting = self.0.waiting();
        let found = key.and_then(|key| waiting.wakers.iter_mut().find(|(other, _)| *other == key));
        match found {
            Some((_, old)) => old.clone_from(waker),
            None => {
                waiting.keys += 1;
                *key = Some(waiting.keys);
                let entry = (waiting.keys, waker.clone());
                waiting.wakers.push(entry);
            }
        }
        // It may have been cancelled before there was someone to wake.
        if self.is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Nobody is to be woken under this key any more.
    pub(crate) fn forget(&self, key: Option<u64>) {
        if let Some(key) = key {
            self.0.waiting().wakers.retain(|(other, _)| *other != key);
        }
    }
}

impl State {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelToken").field(&self.cause()).finish()
    }
}

/// Waits for a token.
struct Noticed<'a> {
    token: &'a CancelToken,
    key: Option<u64>,
}

impl Future for Noticed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.token.poll_cancelled(&mut this.key, cx.waker())
    }
}

impl Drop for Noticed<'_> {
    fn drop(&mut self) {
        self.token.forget(self.key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#[path = "tests.rs"]
mod tests;
