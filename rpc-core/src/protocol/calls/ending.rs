//! How calls end without an answer: given up, cancelled all at once, or with their connection.

use std::task::Waker;

use super::{Calls, SLOT_BITS, Slot, State};
use crate::error::RpcError;

impl Calls {
    /// Gives up a call. `true` if the server is to be told; then its slot stays taken until the server
    /// answers. A call that has ended, or was given up before, is left as it is.
    pub fn abandon(&mut self, id: u64) -> (bool, Option<Waker>) {
        let open = self.closed.is_none();
        let Some(slot) = self.slot(id) else { return (false, None) };
        match slot.state {
            State::Waiting(_) if open => {
                slot.state = State::Abandoned;
                (true, None)
            }
            State::Waiting(_) => {
                self.release(id);
                (false, None)
            }
            State::Answered(_) => {
                // Its answer came after all; nobody will look at it.
                self.late += 1;
                (false, self.release_answered(id))
            }
            State::Free | State::Abandoned => (false, None),
        }
    }

    /// Cancels all calls that are unanswered, and whoever waits for room: as if each was
    /// [abandoned](Self::abandon), only that whoever asks for one learns that it was cancelled. Gives the ids that
    /// the server is to be told of. Calls that begin later are untouched.
    #[must_use = "the server has to be told"]
    pub fn cancel_all(&mut self, wakers: &mut Vec<Waker>) -> Vec<u64> {
        if self.closed.is_some() {
            return Vec::new();
        }
        self.cancelled = self.sequence << SLOT_BITS | u64::from(u16::MAX);
        self.cancellations += 1;
        wakers.extend(self.line.drain(..).map(|waiting| waiting.waker));
        let mut ids = Vec::new();
        for slot in &mut self.slots {
            if let State::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
                slot.state = State::Abandoned;
                ids.push(slot.id);
            }
        }
        ids
    }

    /// The last id that [`cancel_all`](Self::cancel_all) has cancelled: those up to it were, as far as they had no
    /// answer.
    pub fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// How often all calls were cancelled. Whoever waits for its turn remembers this number from when it began to
    /// wait, and has been cancelled when it is another.
    pub fn cancellations(&self) -> u64 {
        self.cancellations
    }

    /// Ends a call that needs no answer, or that was never sent.
    pub fn forget(&mut self, id: u64) -> Option<Waker> {
        let is_open = |slot: &&mut Slot| matches!(slot.state, State::Waiting(_) | State::Abandoned);
        let slot = self.slot(id).filter(is_open)?;
        let bytes = std::mem::take(&mut slot.bytes);
        self.held -= bytes;
        self.unanswered -= 1;
        self.release(id);
        self.next_in_line()
    }

    /// Ends all calls with this cause, and every later one. The first cause stays.
    pub fn close(&mut self, error: RpcError, wakers: &mut Vec<Waker>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(error);
        wakers.extend(self.line.drain(..).map(|waiting| waiting.waker));
        for slot in &mut self.slots {
            if let State::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
            }
        }
    }

    /// Why the connection ended, if it has.
    pub fn closed(&self) -> Option<&RpcError> {
        self.closed.as_ref()
    }
}
