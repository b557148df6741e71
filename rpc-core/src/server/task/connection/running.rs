//! Handlers that go on after their calls were read: what ends them, and what they are answered with.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{sleep_until, timeout_at};

use super::inner::{Inner, poll_guarded};
use crate::cancel::{CancelCause, CancelToken};
use crate::server::session::{cancelled, cut_short, expired, guarded, settled};
use crate::service::{BlockingHandler, HandlerFuture, Reply, Terms};
use crate::stream::Ends;

/// What ends a handler, as far as it can be ended, or asked to end.
#[derive(Clone)]
pub(super) struct Stop {
    task: Option<AbortHandle>,
    token: Option<CancelToken>,
    /// What it may wait for.
    streams: Option<Ends>,
}

impl Stop {
    pub(super) fn stop(&self, cause: CancelCause) {
        if let Some(token) = &self.token {
            token.cancel_because(cause);
        }
        if let Some(streams) = &self.streams {
            streams.fail(&cut_short(cause));
        }
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Asks a handler to end when its time has come, unless dropped before.
struct Timer(AbortHandle);

impl Timer {
    fn start(terms: &Terms, streams: &Option<Ends>) -> Option<Self> {
        let (at, token) = (terms.deadline?, terms.token.clone()?);
        let stop = Stop { task: None, token: Some(token), streams: streams.clone() };
        let task = tokio::spawn(async move {
            sleep_until(at.into()).await;
            stop.stop(CancelCause::Deadline);
        });
        Some(Self(task.abort_handle()))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A call whose handler has not ended. Dropped before its end, it is answered as cancelled.
pub(super) struct Running {
    pub(super) inner: Arc<Inner>,
    pub(super) id: u64,
    pub(super) oneway: bool,
    /// Of its arguments.
    pub(super) bytes: usize,
    pub(super) streams: Option<Ends>,
    pub(super) ended: bool,
}

impl Running {
    pub(super) fn start_future(self, mut future: HandlerFuture, terms: Terms, budget: Duration) {
        let inner = Arc::clone(&self.inner);
        let (id, oneway, bytes) = (self.id, self.oneway, self.bytes);
        // Entered before it can end: its end needs the table, too.
        let mut requests = inner.requests();
        let (token, cancellable) = (terms.token.clone(), terms.cancellable);
        let streams = self.streams.clone();
        let task = tokio::spawn(async move {
            let handler = std::future::poll_fn(|cx| poll_guarded(&mut future, cx));
            let reply = match terms.deadline {
                Some(at) if cancellable => {
                    let ended = timeout_at(at.into(), handler).await;
                    ended.map(|reply| settled(reply, &terms, budget)).unwrap_or_else(|_| {
                        if let Some(token) = &terms.token {
                            token.cancel_because(CancelCause::Deadline);
                        }
                        expired(budget, 1)
                    })
                }
                _ => {
                    let _timer = Timer::start(&terms, &self.streams);
                    settled(handler.await, &terms, budget)
                }
            };
            // The handler ends, with all that it holds, before its call does.
            drop(future);
            self.end(reply);
        });
        let task = cancellable.then(|| task.abort_handle());
        requests.start(id, oneway, bytes, Stop { task, token, streams });
    }

    pub(super) fn start_blocking(self, handler: BlockingHandler, terms: Terms, budget: Duration) {
        let inner = Arc::clone(&self.inner);
        let (token, streams) = (terms.token.clone(), self.streams.clone());
        let stop = Stop { task: None, token, streams };
        inner.requests().start(self.id, self.oneway, self.bytes, stop);
        let timer = Timer::start(&terms, &self.streams);
        tokio::task::spawn_blocking(move || {
            let reply = guarded(handler).unwrap_or_else(|reply| reply);
            drop(timer);
            self.end(settled(reply, &terms, budget));
        });
    }

    /// The handler has ended.
    fn end(mut self, reply: Reply) {
        self.finish(reply);
    }

    fn finish(&mut self, reply: Reply) {
        self.ended = true;
        let inner = &self.inner;
        if self.streams.is_some() {
            inner.session.streams.remove(self.id);
        }
        inner.note(&reply);
        let was_full = {
            let mut requests = inner.requests();
            let was_full = requests.is_full();
            requests.finish(self.id, self.oneway, self.bytes);
            was_full
        };
        if !self.oneway {
            let blocked = inner.session.send(self.id, reply);
            inner.go_on(blocked);
        }
        if was_full || inner.shared.is_draining() {
            inner.nudge.nudge();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(cancelled(1));
        }
    }
}
