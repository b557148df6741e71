//! What becomes of a call: its handler runs here and now.

use std::future::Future;
use std::pin::Pin;
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
use crate::service::{Kind, Reply};

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
            Kind::Expired => expired(budget, 1),
            Kind::Blocking(handler) => guarded(handler).unwrap_or_else(|reply| reply),
            Kind::Future(mut future) => {
                let done = guarded(|| block_on(future.as_mut(), deadline));
                done.unwrap_or_else(Some).unwrap_or_else(|| expired(budget, 1))
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
#[inline]
pub(super) fn block_on(
    mut future: Pin<&mut (dyn Future<Output = Reply> + Send)>,
    deadline: Option<Instant>,
) -> Option<Reply> {
    let mut poll = |waker: &Waker| future.as_mut().poll(&mut Context::from_waker(waker));
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
