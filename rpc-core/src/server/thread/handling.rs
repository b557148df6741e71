//! What becomes of a call: its handler runs here and now. One that does not end at once lends the reading side to
//! the [watch], so that a cancellation reaches it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::common::Common;
use super::watch::Lent;
use crate::cancel::{CancelCause, CancelToken};
use crate::protocol::failure::Status;
use crate::protocol::requests::Rejection;
use crate::server::session::{Arrival, Started, ended_by, guarded, rejected, settled};
use crate::service::{Kind, Reply, Runner, Terms};
use crate::wait::park::with_waker;
use crate::wait::thread::ThreadSource;

/// Handles a call, and appends the reply to `batch`. The reading side is lent meanwhile, if it is there and the handler
/// takes its time; whether it was.
#[inline(always)]
pub(super) fn handle_call(
    common: &Common,
    source: &mut Option<Box<ThreadSource>>,
    call: Arrival<'_>,
    batch: &mut Vec<u8>,
) -> bool {
    let Common { shared, session, .. } = common;
    let (id, oneway) = (call.id, call.oneway);
    let mut lent = false;
    let reply = if shared.is_draining() {
        rejected(Rejection::Draining)
    } else {
        shared.stats.calls.fetch_add(1, Ordering::Relaxed);
        let (cancellable, lends) = ((!oneway).then_some(id), Cell::new(false));
        let desk = Desk { common, source: Cell::new(source.take()), lends, id: cancellable };
        let started = session.start(call, Some(&desk), &|| common.port());
        let reply = match started.streams {
            None => Ok(desk.finish(started)),
            Some(_) => common.start_streaming(id, started),
        };
        *source = desk.source.into_inner();
        lent = desk.lends.get();
        match reply {
            Ok(reply) => reply,
            // It is answered by its own thread.
            Err(Elsewhere) => return lent,
        }
    };
    if reply.status == Status::Panicked as u16 {
        shared.stats.panics.fetch_add(1, Ordering::Relaxed);
    }
    if !oneway {
        session.batch(id, reply, batch);
    }
    lent
}

/// A call is answered by another thread.
pub(super) struct Elsewhere;

/// Where a handler runs, and what it can lend.
struct Desk<'a> {
    common: &'a Common,
    source: Cell<Option<Box<ThreadSource>>>,
    /// Whether that was lent.
    lends: Cell<bool>,
    /// The call, if it can be cancelled.
    id: Option<u64>,
}

impl Desk<'_> {
    #[inline(always)]
    fn finish(&self, started: Started) -> Reply {
        let Started { kind, terms, budget, .. } = started;
        match kind {
            Kind::Done(reply) => settled(reply, &terms, budget),
            Kind::Cancelled(cause) => ended_by(cause, budget),
            Kind::Blocking(handler) => {
                // Who does not ask need not be told.
                let lent = terms.token.as_ref().map(|token| self.lend(token, &terms));
                let reply = guarded(handler).unwrap_or_else(|reply| reply);
                drop(lent);
                settled(reply, &terms, budget)
            }
            Kind::Future(mut future) => self.run_late(future.as_mut(), &terms, budget),
        }
    }

    /// For handlers whose futures were not run where they were made.
    #[cold]
    fn run_late(
        &self,
        future: Pin<&mut (dyn Future<Output = Reply> + Send)>,
        terms: &Terms,
        budget: Duration,
    ) -> Reply {
        let ended = guarded(|| self.run(future, terms));
        ended.map_or_else(|reply| reply, |ended| ended.unwrap_or_else(|why| ended_by(why, budget)))
    }

    /// Lends the reading side for as long as what is returned is there.
    fn lend(&self, token: &CancelToken, terms: &Terms) -> Loan<'_> {
        if let Some(source) = self.source.take() {
            let deadline = terms.deadline;
            self.lends.set(true);
            let Common { session, watched, streaming, .. } = self.common;
            let (session, streaming) = (Arc::clone(session), streaming.get().cloned());
            let token = token.clone();
            watched.lend(Lent { source, id: self.id, token, deadline, session, streaming });
        }
        Loan(self)
    }
}

/// Takes the reading side back when it is dropped.
struct Loan<'a>(&'a Desk<'a>);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if self.0.lends.get() {
            self.0.source.set(self.0.common.watched.take_back());
        }
    }
}

impl Runner for Desk<'_> {
    #[inline]
    fn run(
        &self,
        mut handler: Pin<&mut (dyn Future<Output = Reply> + Send)>,
        terms: &Terms,
    ) -> Result<Reply, CancelCause> {
        // Most are ready at once, and nobody has to be able to wake this thread.
        match handler.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Ok(reply),
            Poll::Pending => self.wait_for(handler, terms),
        }
    }
}

impl Desk<'_> {
    #[cold]
    fn wait_for(
        &self,
        mut handler: Pin<&mut (dyn Future<Output = Reply> + Send)>,
        terms: &Terms,
    ) -> Result<Reply, CancelCause> {
        let token = terms.token.clone().unwrap_or_default();
        let _lent = self.lend(&token, terms);
        let waker = with_waker(Waker::clone);
        let mut key = None;
        loop {
            if let Poll::Ready(reply) = handler.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ok(reply);
            }
            let left = terms.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                token.cancel_because(CancelCause::Deadline);
            }
            if token.poll_cancelled(&mut key, &waker).is_ready() && terms.cancellable {
                return Err(token.cause().unwrap_or(CancelCause::Caller));
            }
            match left {
                // Once its time is over, one that goes on has nothing more to wait for but its own end.
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => thread::park(),
            }
        }
    }
}

impl fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("id", &self.id).finish_non_exhaustive()
    }
}
