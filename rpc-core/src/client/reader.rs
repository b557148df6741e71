//! The task that reads for an asynchronous client: replies to their callers, deadlines, the end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::time::Sleep;

use crate::client::Shared;
use crate::client::link::Absorbed;
use crate::connection::source::{closed, ended, stalled};
use crate::error::RpcError;
use crate::wait::task::{Nudged, TaskSource};

/// Reads until the connection ends.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    source: TaskSource,
    /// For the next deadline, or the end of the patience with a peer that stopped midway.
    timer: Option<Pin<Box<Sleep>>>,
    /// When the peer has to have gone on, while it is in the middle of something.
    stalled_at: Option<Instant>,
    /// Whether what callers send is held back until the next poll.
    corked: bool,
    wakers: Vec<Waker>,
    nudged: Nudged,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, source: TaskSource) -> Self {
        Self {
            shared,
            source,
            timer: None,
            stalled_at: None,
            corked: false,
            wakers: Vec::new(),
            nudged: Nudged::default(),
        }
    }

    /// Reads all there is. Ready when the connection has ended.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<RpcError> {
        while let Poll::Ready(filled) = self.source.poll_fill(cx) {
            let link = &self.shared.link;
            let mut absorbed = Absorbed::default();
            let result = link.absorb(self.source.source(), filled, &mut self.wakers, &mut absorbed);
            // Those who get their answers now will likely send again: in one write, if they are many.
            if self.wakers.len() > 1 && !self.corked {
                link.outbox.cork();
                self.corked = true;
                cx.waker().wake_by_ref();
            }
            self.wakers.drain(..).for_each(Waker::wake);
            if let Err(error) = result {
                return Poll::Ready(error);
            }
            self.shared.go_on(absorbed.blocked);
            self.watch_progress();
        }
        Poll::Pending
    }

    /// Notes until when the peer has to go on with what it has begun.
    fn watch_progress(&mut self) {
        if self.source.source().incoming.is_midway() {
            self.stalled_at = Instant::now().checked_add(self.shared.link.settings.limits.progress);
            self.shared.nudge.nudge();
        } else {
            self.stalled_at = None;
        }
    }

    /// Sets the timer for what comes first.
    fn set_timer(&mut self) {
        let deadline = self.shared.link.calls().earliest();
        let next = deadline.into_iter().chain(self.stalled_at).min();
        match (next, &mut self.timer) {
            (None, timer) => *timer = None,
            (Some(at), Some(timer)) => timer.as_mut().reset(at.into()),
            (Some(at), timer) => *timer = Some(Box::pin(tokio::time::sleep_until(at.into()))),
        }
    }

    /// Deals with what the timer was set for. Gives the error that ends the connection, if one does.
    fn on_timer(&mut self) -> Option<RpcError> {
        let now = Instant::now();
        let waited = self.shared.link.settings.limits.progress;
        if self.stalled_at.is_some_and(|at| at <= now) {
            return Some(stalled(waited));
        }
        self.shared.link.calls().expired(now, &mut self.wakers);
        self.wakers.drain(..).for_each(Waker::wake);
        self.set_timer();
        None
    }
}

impl Future for Reader {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.corked {
            this.corked = false;
            let blocked = this.shared.link.outbox.flush();
            this.shared.go_on(blocked);
        }
        if let Poll::Ready(error) = this.poll_read(cx) {
            this.shared.link.fail(error);
            return Poll::Ready(());
        }
        while this.shared.nudge.poll_take(&mut this.nudged, cx) {
            // All that can be read has been: if writing is over, so is the connection.
            if let Some(error) = this.shared.link.outbox.broken() {
                this.shared.link.fail(ended(error));
                return Poll::Ready(());
            }
            this.set_timer();
        }
        while let Some(timer) = &mut this.timer {
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            if let Some(error) = this.on_timer() {
                this.shared.link.fail(error);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// When the task is dropped with its runtime, or aborted, nobody reads any more.
impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.shared.link.outbox.flush();
        self.shared.link.fail(closed());
    }
}
