//! The end of a thread's turn: what it has of the roles goes to others.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Turn, is_over};
use crate::client::prepared::Prepared;
use crate::connection::outbox::Blocked;
use crate::wait::thread::wait;

/// How often whoever may not wait goes on writing to a peer that has room: 1 MiB of a message that is cancelled
/// by then, and so has no more than a piece left, or of others.
const ROUNDS: usize = 16;

/// How long a server that was rung may take to make room for a cancellation.
const RUNG: Duration = Duration::from_millis(20);

impl Turn<'_> {
    /// Gives the roles back, and wakes someone to take them. What is written only in part when the time
    /// is over, or the call is cancelled, is left to the next call. Whether all is written, as far as this thread knows.
    pub(in crate::client::blocking) fn finish(mut self, id: u64, call: &Prepared) -> bool {
        let link = &self.shared.link;
        loop {
            if link.outbox.waits() && self.blocked.is_none() && link.calls().any_waiting().is_none()
            {
                self.blocked = link.outbox.stop_reading();
            }
            let is_over = is_over(call.deadline) || call.is_cancelled() || link.has_cancelled(id);
            if is_over {
                // Its cancellation may stand behind what another thread has left.
                self.blocked = self.blocked.take().or_else(|| link.calls().roles.blocked.take());
                self.write_what_goes(RUNG);
            }
            // Also what was left to this thread while it waited for something else.
            if !self.give_back() {
                break;
            }
            if is_over {
                self.finished = true;
                return false;
            }
            let mut calls = link.calls();
            let (closed, others) = (calls.closed().is_some(), calls.any_waiting().is_some());
            drop(calls);
            // Whoever waits now will look here before it goes.
            if others && !closed {
                break;
            }
            self.blocked = link.calls().roles.blocked.take();
            if closed {
                // What is left cannot arrive any more.
                self.blocked = None;
            } else if self.blocked.is_some() {
                // Nobody waits who could go on with this.
                self.step(call.deadline, None);
            }
        }
        self.finished = true;
        true
    }

    /// Writes what a peer takes without being waited for: whoever leaves what is left to others at least tells it what is
    /// cancelled. One that was rung for that is waited for as long as `patience`, where nobody else will go on.
    fn write_what_goes(&mut self, patience: Duration) {
        let link = &self.shared.link;
        let until = Instant::now() + patience;
        let mut rounds = ROUNDS;
        while rounds > 0 {
            let Some(blocked) = self.blocked.take() else { return };
            self.blocked = link.outbox.resume(blocked);
            let Some(blocked) = self.blocked.as_mut().filter(|blocked| blocked.full) else {
                rounds -= 1;
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            let is_hopeless = left.is_zero() || !link.outbox.rings();
            if is_hopeless || link.calls().any_waiting().is_some() {
                return;
            }
            if wait(None, Some(blocked), None, Some(left)).is_err() {
                return;
            }
        }
    }

    /// Leaves a write to whoever waits, or to the next call.
    pub(in crate::client::blocking) fn leave(mut self, blocked: Blocked) {
        self.blocked = Some(blocked);
        self.write_what_goes(Duration::ZERO);
    }

    /// Gives the roles back, and wakes someone to take them. Whether there is a write to go on with.
    pub(super) fn give_back(&mut self) -> bool {
        let (mut wanted, blocked) = (None, self.blocked.take());
        let (left, next) = {
            let mut table = self.shared.link.calls();
            let roles = &mut table.roles;
            if let Some(mut source) = self.source.take() {
                source.pause();
                roles.source = Some(source);
                wanted = roles.source_wanted.take();
            }
            if blocked.is_some() {
                roles.blocked = blocked;
            }
            if roles.source.is_none() && roles.blocked.is_none() {
                return false;
            }
            // The one who is wanted may have gone meanwhile.
            (roles.blocked.is_some(), table.any_waiting())
        };
        wanted.into_iter().chain(next).for_each(Waker::wake);
        left
    }
}
