//! One call of the asynchronous client: from its turn to its answer. Dropping it cancels it, and so do its token and
//! [`Client::cancel_all`](crate::Client::cancel_all).

use std::borrow::Borrow;
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
use crate::stream::Ends;

/// A call under way. Resolves to the answer, still encoded.
///
/// Cancel safe in the sense that dropping it tells the server that the answer is no longer wanted; the
/// method may have run.
#[must_use = "a call does nothing unless awaited"]
pub(crate) struct Call<S: Borrow<Arc<Shared>>> {
    shared: S,
    prepared: Prepared,
    oneway: bool,
    /// The ends of its streams, if it has any; in the connection's table while it is under way.
    ends: Option<Ends>,
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

impl<S: Borrow<Arc<Shared>>> Call<S> {
    pub(crate) fn new(shared: S, prepared: Prepared, oneway: bool) -> Self {
        let stage = Stage::Queued { timer: None, place: None, since: Since::default() };
        Self { shared, prepared, oneway, ends: None, stage }
    }

    /// The same with streams.
    pub(crate) fn with_streams(shared: S, prepared: Prepared, ends: Ends) -> Self {
        let mut call = Self::new(shared, prepared, false);
        call.ends = Some(ends);
        call
    }

    /// Ready with the call's id when it was sent. Not to be asked again after an error.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, RpcError>> {
        if let Stage::Queued { .. } = self.stage {
            let turn = std::task::ready!(self.poll_turn(cx));
            self.leave_line();
            self.stage = turn.as_ref().map_or(Stage::Done, |id| Stage::Sent(*id));
            return Poll::Ready(turn);
        }
        match self.stage {
            Stage::Sent(id) => Poll::Ready(Ok(id)),
            _ => Poll::Pending,
        }
    }

    /// Sends the call if it is its turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, RpcError>> {
        let shared = of(&self.shared);
        let link = &shared.link;
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
                        shared.nudge.nudge();
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
                if let Some(ends) = &self.ends {
                    link.streams.add(id, ends.clone());
                }
                let blocked = link.send(id, &mut self.prepared);
                shared.go_on(blocked);
                if link.outbox.has_failed() {
                    shared.nudge.nudge();
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
        let link = &of(&self.shared).link;
        if since.waits(&link.calls()) {
            return Poll::Ready(Err(link.cancelled(Outcome::NotExecuted)));
        }
        let Some(deadline) = self.prepared.deadline else { return Poll::Pending };
        let timer =
            timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        std::task::ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(link.deadline_exceeded(self.prepared.budget)))
    }

    /// Its turn has come, or it no longer waits for it.
    fn leave_line(&mut self) {
        if let Stage::Queued { place, .. } = &mut self.stage
            && let Some(ticket) = place.take()
        {
            let next = of(&self.shared).link.calls().leave_line(ticket);
            next.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives up a call that was sent.
    fn abandon(&self, id: u64) {
        let shared = of(&self.shared);
        self.forget_streams(id);
        let (tell, next) = shared.link.calls().abandon(id);
        next.into_iter().for_each(Waker::wake);
        if tell {
            shared.go_on(shared.link.send_cancel(id));
        }
    }

    /// What still comes of them is dropped.
    #[inline]
    fn forget_streams(&self, id: u64) {
        if self.ends.is_some() {
            of(&self.shared).link.streams.remove(id);
        }
    }

    fn poll_answer(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Result<Answer, RpcError>> {
        let link = &of(&self.shared).link;
        if let Some((answer, next)) = link.calls().poll(id, cx.waker()) {
            next.into_iter().for_each(Waker::wake);
            self.forget_streams(id);
            return Poll::Ready(answer.map_err(|error| error.at(&link.uri)));
        }
        if self.prepared.is_cancelled_or_wakes(cx.waker()) {
            self.abandon(id);
            let link = &of(&self.shared).link;
            return Poll::Ready(Err(link.cancelled(Outcome::MaybeExecuted)));
        }
        if self.prepared.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.abandon(id);
            let error = link.deadline_exceeded(self.prepared.budget);
            return Poll::Ready(Err(error.with_outcome(Outcome::MaybeExecuted)));
        }
        Poll::Pending
    }
}

impl<S: Borrow<Arc<Shared>> + Unpin> Future for Call<S> {
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
                let link = &of(&this.shared).link;
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

/// What a call is made over, lent or its own.
#[inline]
fn of<S: Borrow<Arc<Shared>>>(shared: &S) -> &Arc<Shared> {
    shared.borrow()
}

impl<S: Borrow<Arc<Shared>>> Drop for Call<S> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Done => {}
            Stage::Sent(id) => self.abandon(id),
            Stage::Queued { .. } => self.leave_line(),
        }
    }
}
