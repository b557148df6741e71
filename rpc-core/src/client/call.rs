//! One call of the asynchronous client: from its turn to its answer. Dropping it cancels it, and so do its token and
//! [`Client::cancel_all`](crate::Client::cancel_all).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::time::Sleep;

use crate::client::Shared;
use crate::client::link::Since;
use crate::client::prepared::Prepared;
use crate::error::{Outcome, RpcError};
use crate::protocol::calls::{Answer, NotBegun, Ticket};

/// A call under way. Resolves to the answer, still encoded.
///
/// Cancel safe in the sense that dropping it tells the server that the answer is no longer wanted; the
/// method may have run.
#[must_use = "a call does nothing unless awaited"]
pub(crate) struct Call<'a> {
    shared: &'a Arc<Shared>,
    prepared: Prepared,
    oneway: bool,
    stage: Stage,
}

enum Stage {
    /// Waits for its turn: for a place among the calls in flight, or for the peer to read.
    Queued {
        /// Set only where there is something to wait for and a deadline.
        timer: Option<Pin<Box<Sleep>>>,
        /// Where it waits for a place among the calls in flight.
        place: Option<Ticket>,
        since: Since,
    },
    Sent(u64),
    Done,
}

impl<'a> Call<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, prepared: Prepared, oneway: bool) -> Self {
        let stage = Stage::Queued { timer: None, place: None, since: Since::default() };
        Self { shared, prepared, oneway, stage }
    }

    /// Sends the call if it is its turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, RpcError>> {
        let link = &self.shared.link;
        if self.prepared.is_cancelled_or_wakes(cx.waker()) {
            return Poll::Ready(Err(link.cancelled(Outcome::NotExecuted)));
        }
        if link.outbox.is_full(cx.waker()) {
            return self.poll_queued(cx);
        }
        let deadline = self.prepared.deadline;
        let mut next = None;
        let begun = {
            let bytes = self.prepared.held_bytes();
            let mut calls = link.calls();
            if matches!(&self.stage, Stage::Queued { since, .. } if since.is_over(&calls)) {
                return Poll::Ready(Err(link.cancelled(Outcome::NotExecuted)));
            }
            let begun = calls.begin(deadline, bytes);
            match (&begun, &mut self.stage) {
                (Ok(id), _) if !self.oneway => {
                    // Whoever is to be woken says so before the answer can come.
                    calls.remember(*id, cx.waker());
                    if deadline.is_some_and(|deadline| calls.watch(deadline)) {
                        self.shared.nudge.nudge();
                    }
                }
                (Err(NotBegun::Full), Stage::Queued { place, .. }) => {
                    next = calls.wait_in_line(place, cx.waker(), bytes);
                }
                _ => {}
            }
            begun
        };
        next.into_iter().for_each(Waker::wake);
        match begun {
            Ok(id) => {
                let blocked = link.send(id, &mut self.prepared);
                self.shared.go_on(blocked);
                if link.outbox.has_failed() {
                    self.shared.nudge.nudge();
                }
                Poll::Ready(Ok(id))
            }
            Err(NotBegun::Full) => self.poll_queued(cx),
            Err(NotBegun::Closed(error)) => {
                Poll::Ready(Err(error.with_outcome(Outcome::NotExecuted)))
            }
        }
    }

    /// It is not its turn yet; were all calls cancelled meanwhile, or is its time up?
    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, RpcError>> {
        let Stage::Queued { timer, since, .. } = &mut self.stage else { return Poll::Pending };
        if since.waits(&self.shared.link.calls()) {
            return Poll::Ready(Err(self.shared.link.cancelled(Outcome::NotExecuted)));
        }
        let Some(deadline) = self.prepared.deadline else { return Poll::Pending };
        let timer =
            timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        std::task::ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(self.shared.link.deadline_exceeded(self.prepared.budget)))
    }

    /// Its turn has come, or it no longer waits for it.
    fn leave_line(&mut self) {
        if let Stage::Queued { place, .. } = &mut self.stage
            && let Some(ticket) = place.take()
        {
            let next = self.shared.link.calls().leave_line(ticket);
            next.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives up a call that was sent.
    fn abandon(&self, id: u64) {
        let (tell, next) = self.shared.link.calls().abandon(id);
        next.into_iter().for_each(Waker::wake);
        if tell {
            self.shared.go_on(self.shared.link.send_cancel(id));
        }
    }

    fn poll_answer(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Result<Answer, RpcError>> {
        let link = &self.shared.link;
        if let Some((answer, next)) = link.calls().poll(id, cx.waker()) {
            next.into_iter().for_each(Waker::wake);
            return Poll::Ready(answer.map_err(|error| error.at(&link.uri)));
        }
        if self.prepared.is_cancelled_or_wakes(cx.waker()) {
            self.abandon(id);
            return Poll::Ready(Err(self.shared.link.cancelled(Outcome::MaybeExecuted)));
        }
        if self.prepared.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.abandon(id);
            let error = link.deadline_exceeded(self.prepared.budget);
            return Poll::Ready(Err(error.with_outcome(Outcome::MaybeExecuted)));
        }
        Poll::Pending
    }
}

impl Future for Call<'_> {
    type Output = Result<Option<Answer>, RpcError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Queued { .. } = this.stage {
            let turn = std::task::ready!(this.poll_turn(cx));
            this.leave_line();
            let id = match turn {
                Ok(id) => id,
                Err(error) => {
                    this.stage = Stage::Done;
                    return Poll::Ready(Err(error));
                }
            };
            if this.oneway {
                this.stage = Stage::Done;
                let link = &this.shared.link;
                let next = link.calls().forget(id);
                next.into_iter().for_each(Waker::wake);
                return Poll::Ready(match link.has_cancelled(id) {
                    true => Err(link.cancelled(Outcome::MaybeExecuted)),
                    false => Ok(None),
                });
            }
            this.stage = Stage::Sent(id);
            return Poll::Pending;
        }
        let Stage::Sent(id) = this.stage else { return Poll::Pending };
        let answer = std::task::ready!(this.poll_answer(id, cx));
        this.stage = Stage::Done;
        Poll::Ready(answer.map(Some))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Done => {}
            Stage::Sent(id) => self.abandon(id),
            Stage::Queued { .. } => self.leave_line(),
        }
    }
}
