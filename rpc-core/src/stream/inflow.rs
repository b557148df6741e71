//! Where a connection puts what comes of a stream, until it is taken.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::error::RpcError;
use crate::protocol::incoming::Violation;
use crate::protocol::streams::{Arrived, Batch, Window};
use crate::wire::frame::Credit;

/// The receiving end of a stream, as the connection has it.
#[derive(Debug)]
pub(crate) struct Inflow(Mutex<State>);

#[derive(Debug)]
struct State {
    arrived: Arrived,
    over: Option<Over>,
    /// Whether nobody takes it any more.
    unwanted: bool,
    waker: Option<Waker>,
}

/// Why nothing more comes.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    /// The stream has ended.
    End,
    /// It is broken off.
    Failed(RpcError),
}

/// What there is.
#[derive(Debug)]
pub(crate) enum Next {
    /// Items.
    Batch,
    /// Nothing yet; the waker that was given is woken.
    Nothing,
    Over(Over),
}

impl Inflow {
    pub(crate) fn new(window: Window) -> Self {
        let arrived = Arrived::new(window);
        Self(Mutex::new(State { arrived, over: None, unwanted: false, waker: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the body of a frame, which may be the last.
    ///
    /// # Errors
    /// More than there was room for.
    pub(crate) fn push(&self, id: u64, body: &[u8], end: bool) -> Result<(), Violation> {
        let mut state = self.state();
        if matches!(state.over, Some(Over::End)) {
            return Err(Violation::Stream { what: "items after the end", id });
        }
        if state.over.is_some() {
            return Ok(());
        }
        if !state.unwanted {
            state.arrived.push(id, body)?;
            if end && !state.arrived.is_whole() {
                return Err(Violation::Stream { what: "an end in the middle of an item", id });
            }
        }
        if end {
            state.over = Some(Over::End);
        }
        if end || state.arrived.is_due() {
            state.wake();
        }
        Ok(())
    }

    /// Breaks it off: what has come is not taken any more.
    pub(crate) fn fail(&self, error: &RpcError) {
        let mut state = self.state();
        if state.over.is_none() {
            state.over = Some(Over::Failed(error.clone()));
            state.arrived.discard();
            state.wake();
        }
    }

    /// Nobody takes it any more. Whether more might come.
    pub(crate) fn leave(&self) -> bool {
        let mut state = self.state();
        state.unwanted = true;
        state.arrived.discard();
        state.over.is_none()
    }

    /// Changes a batch that is done with for the next, and says what is to be granted to the sender.
    pub(crate) fn next(&self, batch: &mut Batch, waker: &Waker) -> (Next, Option<Credit>) {
        let mut state = self.state();
        let taken = state.arrived.take(&mut batch.bytes);
        batch.rewind();
        let credit = if state.over.is_none() { state.arrived.grant() } else { None };
        let next = match &state.over {
            _ if taken => Next::Batch,
            Some(over) => Next::Over(over.clone()),
            None => {
                if !state.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    state.waker = Some(waker.clone());
                }
                Next::Nothing
            }
        };
        (next, credit)
    }
}

impl State {
    /// The waker stays, so that it need not be left again each time.
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
