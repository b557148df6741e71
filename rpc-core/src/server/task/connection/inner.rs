//! What a connection shares with the tasks of its handlers, and how its calls begin.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use super::STARTED;
use super::running::{Running, Stop};
use crate::cancel::CancelCause;
use crate::connection::outbox::{Blocked, Message};
use crate::protocol::failure::Status;
use crate::protocol::requests::{Rejection, Requests};
use crate::server::end::{End, broken};
use crate::server::session::{Arrival, Session, Started, ended_by, guarded, rejected, settled};
use crate::server::task::{Alive, finish_writing};
use crate::server::{BATCH, Shared};
use crate::service::{HandlerFuture, Kind, Reply};
use crate::stream::Port;
use crate::wait::task::Nudge;
use crate::wire::frame::{ANSWER, FRAGMENT, Header};

/// Arguments above this many bytes are decoded by the handler's own task, so that a connection goes on
/// reading meanwhile.
const LARGE: usize = 256 << 10;

/// What the connection and its handlers' tasks share.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Session,
    pub(super) requests: Mutex<Requests<Stop>>,
    pub(super) nudge: Arc<Nudge>,
    pub(super) runtime: Handle,
    pub(super) _alive: Alive,
}

/// What comes after a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It is answered.
    Go,
    /// It has become a task.
    Started,
    /// The same, and no further call should be started now.
    Stop,
}

/// Starts a call. What is done at once is answered in `batch`.
#[inline]
fn handle_call(inner: &Arc<Inner>, call: Arrival<'_>, batch: &mut Vec<u8>) -> Result<Next, End> {
    let (id, oneway) = (call.id, call.oneway);
    // As the client counts them. What is small is bounded by the number of calls.
    let bytes = if call.bytes() > FRAGMENT { call.bytes() } else { 0 };
    let session = &inner.session;
    let admitted = {
        let requests = inner.requests();
        requests.admit(id, oneway).and_then(|()| match oneway {
            true => Ok(()),
            false => requests.hold(bytes),
        })
    };
    if let Err(rejection) = admitted {
        if rejection == Rejection::Duplicate {
            return Err(broken(format!("a second call with the id {id}, which is in flight")));
        }
        if !oneway {
            session.batch(id, rejected(rejection), batch);
        }
        return Ok(Next::Go);
    }
    inner.shared.stats.calls.fetch_add(1, Ordering::Relaxed);
    let port = || Ok(Arc::new(TaskPort(Arc::clone(inner))) as Arc<dyn Port>);
    let Started { kind, terms, budget, streams } = session.start(call, None, &port);
    let running = || {
        let (inner, streams) = (Arc::clone(inner), streams.clone());
        Running { inner, id, oneway, bytes, streams, ended: false }
    };
    let reply = match kind {
        Kind::Done(reply) => settled(reply, &terms, budget),
        Kind::Cancelled(cause) => ended_by(cause, budget),
        Kind::Blocking(handler) => {
            running().start_blocking(handler, terms, budget);
            return Ok(inner.after_start());
        }
        Kind::Future(mut future) => {
            let polled = if bytes > LARGE {
                Poll::Pending
            } else {
                // It is polled again at once if it becomes a task, so nobody has to be woken.
                poll_guarded(&mut future, &mut Context::from_waker(Waker::noop()))
            };
            match polled {
                Poll::Ready(reply) => settled(reply, &terms, budget),
                Poll::Pending => {
                    running().start_future(future, terms, budget);
                    return Ok(inner.after_start());
                }
            }
        }
    };
    if streams.is_some() {
        session.streams.remove(id);
    }
    inner.note(&reply);
    if !oneway {
        session.batch(id, reply, batch);
    }
    Ok(Next::Go)
}

/// Where the streams of a connection send their frames.
struct TaskPort(Arc<Inner>);

impl Port for TaskPort {
    fn send(&self, message: Message<'_>) {
        let blocked = self.0.session.outbox.send(message);
        self.0.go_on(blocked);
    }
}

pub(super) fn poll_guarded(future: &mut HandlerFuture, cx: &mut Context<'_>) -> Poll<Reply> {
    guarded(|| future.as_mut().poll(cx)).unwrap_or_else(Poll::Ready)
}

impl Inner {
    pub(super) fn requests(&self) -> MutexGuard<'_, Requests<Stop>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a call, which counts as `started` if it goes on; `false` if that is to be all for now.
    #[inline]
    pub(super) fn handle_call(
        self: &Arc<Self>,
        call: Arrival<'_>,
        batch: &mut Vec<u8>,
        started: &mut u32,
    ) -> Result<bool, End> {
        let next = handle_call(self, call, batch)?;
        *started += u32::from(next != Next::Go);
        let full = next == Next::Stop || *started >= STARTED || batch.len() > BATCH;
        Ok(!full && !self.session.outbox.is_crowded())
    }

    /// Answers a ping, or goes on after the answer to one; `false` if that is to be all for now.
    pub(super) fn handle_ping(self: &Arc<Self>, header: Header) -> bool {
        if header.flags & ANSWER == 0 {
            let answer = Header { flags: ANSWER, length: 0, ..header };
            self.session.outbox.queue(Message::Urgent(&answer.to_bytes()));
            return !self.session.outbox.is_crowded();
        }
        self.go_on(self.session.outbox.answered(header.id));
        if self.shared.is_draining() {
            // It may have been the last that had to be written.
            self.nudge.nudge();
        }
        true
    }

    /// Stops a call's handler; whether it runs.
    pub(super) fn cancel(&self, id: u64) -> bool {
        let handle = self.requests().handle(id).cloned();
        handle.map(|handler| handler.stop(CancelCause::Caller)).is_some()
    }

    /// Whether nothing should be read now, because the client has too much going on or reads too
    /// little. `waker` is woken, or the connection nudged, when that has changed.
    #[inline]
    pub(super) fn holds_back(&self, waker: &Waker) -> bool {
        self.session.outbox.is_full(waker) || self.requests().is_full()
    }

    fn after_start(&self) -> Next {
        if self.requests().is_full() { Next::Stop } else { Next::Started }
    }

    #[inline]
    pub(super) fn note(&self, reply: &Reply) {
        if reply.status == Status::Panicked as u16 {
            self.shared.stats.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn go_on(self: &Arc<Self>, blocked: Option<Blocked>) {
        if let Some(blocked) = blocked {
            let inner = Arc::clone(self);
            self.runtime.spawn(async move {
                finish_writing(&inner.session.outbox, Some(blocked)).await;
                inner.nudge.nudge();
            });
        }
    }
}
