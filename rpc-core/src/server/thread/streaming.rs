//! Calls with streams: each has a thread of its own, so that their connection's goes on reading for them. It also
//! writes what they could not.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use crate::cancel::{CancelCause, CancelToken};
use crate::connection::outbox::{Blocked, Message};
use crate::protocol::failure::{Failure, Status};
use crate::protocol::requests::Rejection;
use crate::server::Shared;
use crate::server::session::{
    Session, Started, cancelled, cut_short, ended_by, guarded, rejected, settled,
};
use crate::service::{Kind, Reply, Terms};
use crate::stream::{Ends, Port};
use crate::wait::park::with_waker;
use crate::wait::thread::Doorbell;

/// The calls with streams of one connection.
pub(super) struct Streaming {
    shared: Arc<Shared>,
    session: Arc<Session>,
    state: Mutex<State>,
    /// Wakes the connection's thread.
    bell: Doorbell,
    /// The server does not end before they have.
    _alive: Option<Arc<super::Alive>>,
}

#[derive(Default)]
struct State {
    running: HashMap<u64, Stop>,
    /// Calls whose handlers have ended, and whose replies are being sent.
    ending: usize,
    /// What waits for the peer to read.
    blocked: Option<Blocked>,
}

/// What ends a handler.
struct Stop {
    token: CancelToken,
    ends: Ends,
    deadline: Option<Instant>,
}

impl Stop {
    fn stop(&self, cause: CancelCause) {
        self.token.cancel_because(cause);
        self.ends.fail(&cut_short(cause));
    }
}

impl Streaming {
    pub(super) fn new(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        alive: Option<Arc<super::Alive>>,
    ) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            state: Mutex::default(),
            bell: Doorbell::new()?,
            _alive: alive,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the connection's thread when there is something [to write](Self::take_blocked) or the last has ended.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub(super) fn silence(&self) {
        self.bell.silence();
    }

    /// What is to be written when there is room.
    pub(super) fn take_blocked(&self) -> Option<Blocked> {
        self.state().blocked.take()
    }

    /// Whether there is something to write.
    pub(super) fn has_blocked(&self) -> bool {
        self.state().blocked.is_some()
    }

    /// Whether there are none.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.running.is_empty() && state.ending == 0
    }

    /// Gives a handler its thread. The reply, if it cannot be had.
    pub(super) fn start(self: &Arc<Self>, id: u64, started: Started) -> Result<(), Reply> {
        let Started { kind, terms, budget, streams } = started;
        let running = Running { streaming: Arc::clone(self), id, begun: false, ended: false };
        {
            let mut state = self.state();
            let limit = self.session.limits.calls_in_flight;
            if state.running.len() >= limit as usize {
                drop(state);
                running.forget();
                return Err(rejected(Rejection::Overloaded { limit }));
            }
            let token = terms.token.clone().unwrap_or_default();
            let (ends, deadline) = (streams.unwrap_or_default(), terms.deadline);
            state.running.insert(id, Stop { token, ends, deadline });
        }
        let run = move || running.run(kind, &terms, budget);
        let thread = thread::Builder::new().name("ipcall-stream".to_owned());
        // One that is not started is answered when it is dropped.
        let _ = thread.spawn(run);
        Ok(())
    }

    /// Whether a call with this id is here.
    pub(super) fn runs(&self, id: u64) -> bool {
        self.state().running.contains_key(&id)
    }

    /// Whether the call is here; if so, it is cancelled.
    pub(super) fn cancel(&self, id: u64, cause: CancelCause) -> bool {
        let state = self.state();
        let stop = state.running.get(&id);
        stop.into_iter().for_each(|stop| stop.stop(cause));
        stop.is_some()
    }

    /// Cancels all.
    pub(super) fn cancel_all(&self, cause: CancelCause) {
        self.state().running.values().for_each(|stop| stop.stop(cause));
    }

    /// Cancels those whose time is over, and says how long the others have.
    pub(super) fn expire(&self) -> Option<Duration> {
        let now = Instant::now();
        let state = self.state();
        let mut next: Option<Duration> = None;
        for stop in state.running.values() {
            let Some(deadline) = stop.deadline else { continue };
            let left = deadline.saturating_duration_since(now);
            if !left.is_zero() {
                next = Some(next.map_or(left, |other| other.min(left)));
            } else if !stop.token.is_cancelled() {
                stop.stop(CancelCause::Deadline);
            }
        }
        next
    }

    fn leave_to_connection(&self, blocked: Option<Blocked>) {
        if blocked.is_some() {
            // There is one writer, so there is no other.
            self.state().blocked = blocked;
            self.bell.ring();
        }
    }
}

impl Port for Streaming {
    fn send(&self, message: Message<'_>) {
        let blocked = self.session.outbox.send(message);
        self.leave_to_connection(blocked);
    }
}

/// A call whose handler has not ended. Dropped before its end, it is answered as cancelled, and before its beginning, as
/// one for which there was no thread.
struct Running {
    streaming: Arc<Streaming>,
    id: u64,
    begun: bool,
    ended: bool,
}

impl Running {
    /// In its thread.
    fn run(mut self, kind: Kind, terms: &Terms, budget: Duration) {
        self.begun = true;
        let reply = match kind {
            Kind::Future(future) => match guarded(|| block_on(future, terms)) {
                Ok(Ok(reply)) => settled(reply, terms, budget),
                Ok(Err(cause)) => ended_by(cause, budget),
                Err(reply) => reply,
            },
            Kind::Blocking(handler) => {
                settled(guarded(handler).unwrap_or_else(|reply| reply), terms, budget)
            }
            Kind::Done(reply) => settled(reply, terms, budget),
            Kind::Cancelled(cause) => ended_by(cause, budget),
        };
        self.finish(reply);
    }

    fn finish(&mut self, reply: Reply) {
        self.ended = true;
        let streaming = &self.streaming;
        if reply.status == Status::Panicked as u16 {
            streaming.shared.stats.panics.fetch_add(1, Ordering::Relaxed);
        }
        streaming.session.streams.remove(self.id);
        {
            // Its place is free before the client knows.
            let mut state = streaming.state();
            state.running.remove(&self.id);
            state.ending += 1;
        }
        let blocked = streaming.session.send(self.id, reply);
        streaming.leave_to_connection(blocked);
        streaming.state().ending -= 1;
        if streaming.shared.is_draining() {
            streaming.bell.ring();
        }
    }

    /// It has never begun.
    fn forget(mut self) {
        self.ended = true;
        self.streaming.session.streams.remove(self.id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(if self.begun { cancelled(1) } else { no_thread() });
        }
    }
}

#[cold]
fn no_thread() -> Reply {
    let failure =
        Failure::not_executed("threads of the server: the system gives it no further one");
    Reply::failure(Status::Overloaded, &failure)
}

/// Runs a handler to its end, or to that of its call.
fn block_on(
    mut future: Pin<Box<dyn Future<Output = Reply> + Send>>,
    terms: &Terms,
) -> Result<Reply, CancelCause> {
    let token = terms.token.clone().unwrap_or_default();
    let mut key = None;
    with_waker(|waker| {
        loop {
            if let Poll::Ready(reply) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Ok(reply);
            }
            if token.poll_cancelled(&mut key, waker).is_ready() && terms.cancellable {
                return Err(token.cause().unwrap_or(CancelCause::Caller));
            }
            thread::park();
        }
    })
}
