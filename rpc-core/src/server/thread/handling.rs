//! What becomes of a call: its handler runs here and now.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::protocol::failure::Status;
use crate::protocol::incoming::IncomingCall;
use crate::protocol::requests::Rejection;
use crate::server::Shared;
use crate::server::session::{Session, Started, expired, guarded, rejected};
use crate::service::{HandlerFuture, Kind, Reply};

/// Handles a call, and appends the reply to `batch`.
#[inline]
pub(super) fn handle_call(
    shared: &Shared,
    session: &Session,
    call: IncomingCall<'_>,
    batch: &mut Vec<u8>,
) {
    let (id, oneway) = (call.id, call.oneway);
    let reply = if shared.is_draining() {
        rejected(Rejection::Draining)
    } else {
        shared.stats.calls.fetch_add(1, Ordering::Relaxed);
        let Started { kind, deadline, budget } = session.start(call);
        match kind {
            Kind::Done(reply) => reply,
            Kind::Blocking(handler) => guarded(handler).unwrap_or_else(|reply| reply),
            Kind::Future(future) => {
                block_on(future, deadline).unwrap_or_else(|| expired(budget, 1))
            }
        }
    };
    if reply.status == Status::Panicked as u16 {
        shared.stats.panics.fetch_add(1, Ordering::Relaxed);
    }
    if !oneway {
        session.batch(id, reply, batch);
    }
}

/// Runs a handler to its end in this thread. `None` if its time runs out before.
fn block_on(future: HandlerFuture, deadline: Option<Instant>) -> Option<Reply> {
    let mut future = pin!(future);
    let mut poll = |waker: &Waker| {
        let mut cx = Context::from_waker(waker);
        guarded(|| future.as_mut().poll(&mut cx)).unwrap_or_else(Poll::Ready)
    };
    // Most are ready at once, and nobody has to be able to wake this thread.
    if let Poll::Ready(reply) = poll(Waker::noop()) {
        return Some(reply);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(reply) = poll(&waker) {
            return Some(reply);
        }
        match deadline {
            None => thread::park(),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
