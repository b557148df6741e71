//! Waiting in a tokio task: `AsyncFd`, which is edge-triggered, and a waker for what is not a
//! descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::unix::AsyncFd;

use crate::connection::outbox::Blocked;
use crate::connection::source::{Filled, Source};
use crate::limits::Spin;
use crate::transport::{Interest, Listener};
use crate::wait::Spinner;

/// Lends `AsyncFd` the descriptor of what it holds.
struct Held<T>(T);

impl AsRawFd for Held<Source> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.half.as_fd().as_raw_fd()
    }
}

impl AsRawFd for Held<Box<dyn Listener>> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Registers a descriptor with the current runtime.
#[expect(
    deprecated,
    reason = "its successor is unsafe, because a type may change its descriptor; a half and a \
              listener keep theirs for life (see the cut), and nothing here is moved out of"
)]
fn register<T: AsRawFd>(inner: T, interest: tokio::io::Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}

/// A [`Source`] that a task can wait for.
pub(crate) struct TaskSource {
    source: AsyncFd<Held<Source>>,
    spinner: Spinner,
    /// Whether the source was armed since it was last read: only then does its descriptor say when
    /// there is more.
    armed: bool,
    /// How many bytes had been read when others last had their turn.
    turn: u64,
}

/// Bytes read at a time before others get their turn.
const QUANTUM: u64 = 64 << 10;

impl TaskSource {
    /// To be called within a runtime.
    pub(crate) fn new(source: Source, spin: Spin) -> io::Result<Self> {
        let source = register(Held(source), tokio::io::Interest::READABLE)?;
        Ok(Self { source, spinner: Spinner::new(spin), armed: false, turn: 0 })
    }

    pub(crate) fn source(&mut self) -> &mut Source {
        &mut self.source.get_mut().0
    }

    /// Whether nothing was there when it was last looked.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Reads once, or waits for something to read. Cancel safe.
    #[inline]
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let received = self.source.get_ref().0.received;
        if received - self.turn >= QUANTUM {
            self.turn = received;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let (filled, armed) = if !self.armed && self.spinner.tries() {
                // Whoever does not sleep need not ask what woke it.
                attempt(&mut self.source.get_mut().0, &mut self.spinner)?
            } else {
                match self.source.poll_read_ready_mut(cx) {
                    Poll::Ready(guard) => {
                        // The readiness was taken before the read: what comes later is a new one, which
                        // this does not clear.
                        let mut guard = guard?;
                        let got = attempt(&mut guard.get_inner_mut().0, &mut self.spinner)?;
                        if got.1 {
                            guard.clear_ready();
                        }
                        got
                    }
                    Poll::Pending if self.armed => {
                        self.turn = received;
                        return Poll::Pending;
                    }
                    Poll::Pending => attempt(&mut self.source.get_mut().0, &mut self.spinner)?,
                }
            };
            self.armed = armed;
            if filled != Filled::Nothing {
                return Poll::Ready(Ok(filled));
            }
            if !armed {
                // To be tried again, with others running in between.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Reads once; gives what came, and whether the source is armed for sleep.
#[inline]
fn attempt(source: &mut Source, spinner: &mut Spinner) -> io::Result<(Filled, bool)> {
    let filled = source.fill()?;
    let sleeps = match filled {
        Filled::Nothing => !spinner.again(),
        // The next wait begins here, without a read that only finds out what is known.
        Filled::Drained => !spinner.tries(),
        Filled::More | Filled::End => false,
    };
    if filled != Filled::Nothing {
        spinner.done();
    }
    Ok((filled, sleeps && source.half.arm_edge()))
}

impl TaskSource {
    /// Reads and drops all that comes. Ready when the peer has closed.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<()> {
        loop {
            let Ok(mut guard) = ready!(self.source.poll_read_ready_mut(cx)) else {
                return Poll::Ready(());
            };
            let half = &mut guard.get_inner_mut().0.half;
            into.clear();
            let limit = into.capacity();
            match half.try_read(into, limit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if half.arm() {
                        guard.clear_ready();
                    }
                }
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }
}

/// A [`Listener`] that a task can wait for.
pub(crate) struct TaskListener(AsyncFd<Held<Box<dyn Listener>>>);

impl TaskListener {
    /// To be called within a runtime.
    pub(crate) fn new(listener: Box<dyn Listener>) -> io::Result<Self> {
        register(Held(listener), tokio::io::Interest::READABLE).map(Self)
    }

    /// Whether no further client will come.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.get_ref().0.is_exhausted()
    }

    /// Takes the next client. Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<crate::transport::Transport> {
        loop {
            let mut guard = self.0.readable_mut().await?;
            match guard.get_inner_mut().0.try_accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                accepted => return accepted,
            }
        }
    }
}

/// Waits until a full peer may have room, or until others have run. Cancel safe.
pub(crate) async fn room(blocked: &mut Blocked) -> io::Result<()> {
    if !blocked.full {
        tokio::task::yield_now().await;
        return Ok(());
    }
    if !blocked.writer.half.arm() {
        return Ok(());
    }
    // Registered only while blocked: a registered writer would be woken whenever the peer reads.
    let interest = match blocked.writer.half.interest() {
        Interest::Readable => tokio::io::Interest::READABLE,
        Interest::Writable => tokio::io::Interest::WRITABLE,
    };
    let descriptor = register(blocked.writer.half.as_fd(), interest)?;
    descriptor.ready(interest).await.map(drop)
}

/// A tap on the shoulder of a task: something other than its descriptor wants to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Nudge {
    pending: AtomicBool,
    /// Stays until the task is polled with another, so that the task need not look whether it is there.
    waker: Mutex<Option<Waker>>,
}

/// What the task has of a [`Nudge`]: the waker that it has left there.
#[derive(Debug, Default)]
pub(crate) struct Nudged(Option<Waker>);

impl Nudge {
    pub(crate) fn nudge(&self) {
        self.pending.store(true, Ordering::Release);
        let waker = self.waker().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was a nudge since the last one that was taken; if not, the task, of which `nudged` is
    /// part, will be woken by the next.
    #[inline]
    pub(crate) fn poll_take(&self, nudged: &mut Nudged, cx: &Context<'_>) -> bool {
        if !nudged.0.as_ref().is_some_and(|left| left.will_wake(cx.waker())) {
            nudged.0 = Some(cx.waker().clone());
            self.waker().clone_from(&nudged.0);
        }
        // Looked at after the waker was left: a nudge before that shows here, one after it wakes.
        self.pending.load(Ordering::Acquire) && self.pending.swap(false, Ordering::AcqRel)
    }
}
