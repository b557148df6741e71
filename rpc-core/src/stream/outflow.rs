//! What a connection knows of the sending end of a stream.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::protocol::outgoing::Sender;
use crate::protocol::streams::{Allowance, Window};
use crate::wire::frame::Credit;

/// The sending end of a stream, as the connection has it.
#[derive(Debug)]
pub(crate) struct Outflow {
    window: Window,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowance: Allowance,
    /// Whether a part of it waits to be written.
    sending: bool,
    waker: Option<Waker>,
}

/// What the sending end may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// So much more.
    pub(crate) credit: Credit,
    /// But not before what it has sent is gone.
    pub(crate) sending: bool,
    /// Nothing more at all.
    pub(crate) stopped: bool,
}

impl Outflow {
    pub(crate) fn new(window: Window) -> Self {
        let allowance = Allowance::new(window);
        Self { window, state: Mutex::new(State { allowance, sending: false, waker: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest item, in bytes.
    pub(crate) fn largest_item(&self) -> usize {
        self.window.largest_item()
    }

    /// The receiver has made room.
    pub(crate) fn grant(&self, credit: Credit) {
        let mut state = self.state();
        state.allowance.grant(credit);
        state.wake();
    }

    /// No more is wanted.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.allowance.stop();
        state.wake();
    }

    /// What has been granted meanwhile; `waker` is woken when there is more, or what was sent is gone.
    pub(crate) fn look(&self, waker: &Waker) -> Room {
        let mut state = self.state();
        if !state.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        let (credit, stopped) = (state.allowance.take(), state.allowance.is_stopped());
        Room { credit, sending: state.sending, stopped }
    }

    /// A part is about to be sent.
    pub(crate) fn begin(&self) {
        self.state().sending = true;
    }
}

impl Sender for Outflow {
    fn sent(&self) {
        let mut state = self.state();
        state.sending = false;
        state.wake();
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
