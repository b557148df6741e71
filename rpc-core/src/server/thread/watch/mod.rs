//! Reading for connections whose threads are busy with a handler: a cancellation, the end of the client or that of the
//! call's time are told to the handler, and what else comes is kept.
//!
//! One thread does that for all connections of the process. A handler that ends soon is never looked at: at every
//! tick ([`watcher`]) the watch begins to read for those that were running at the last one already. It is there as long as there
//! are connections whose handlers last, and some time beyond.

mod watcher;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use self::watcher::Watch;
use super::streaming::Streaming;
use crate::cancel::{CancelCause, CancelToken};
use crate::connection::greeting::Reason;
use crate::connection::source::{Filled, violated};
use crate::limits::Limits;
use crate::server::ahead::{Ahead, Kept};
use crate::server::end::{End, lost};
use crate::server::session::Session;
use crate::wait::thread::ThreadSource;

/// What a connection's thread lends while its handler runs.
pub(super) struct Lent {
    pub(super) source: Box<ThreadSource>,
    /// The call, if it can be cancelled.
    pub(super) id: Option<u64>,
    /// What tells its handler.
    pub(super) token: CancelToken,
    pub(super) deadline: Option<Instant>,
    /// What comes of streams is theirs.
    pub(super) session: Arc<Session>,
    pub(super) streaming: Option<Arc<Streaming>>,
}

/// A connection, as the watch sees it.
pub(super) struct Watched {
    state: Mutex<State>,
    /// Its calls with streams, since there was the first.
    streaming: OnceLock<Weak<Streaming>>,
}

struct State {
    lent: Option<Lent>,
    /// Handlers that have run.
    rounds: u64,
    /// Whether the watch knows of this connection.
    known: bool,
    /// Whether the watch sleeps until something happens with what is lent, also that it is taken back.
    settled: bool,
    ahead: Ahead,
}

impl Watched {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let state = State {
            lent: None,
            rounds: 0,
            known: false,
            settled: false,
            ahead: Ahead::new(limits),
        };
        Arc::new(Self { state: Mutex::new(state), streaming: OnceLock::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what is lent looked after.
    pub(super) fn lend(self: &Arc<Self>, lent: Lent) {
        let mut state = self.state();
        state.rounds += 1;
        state.lent = Some(lent);
        if !state.known {
            state.known = true;
            drop(state);
            Watch::add(Arc::clone(self));
        }
    }

    /// There are calls with streams, too.
    pub(super) fn know(&self, streaming: &Arc<Streaming>) {
        let _ = self.streaming.set(Arc::downgrade(streaming));
    }

    /// Tells the handler that runs, if it asks, that the server ends.
    fn close(&self) {
        if let Some(streaming) = self.streaming.get().and_then(Weak::upgrade) {
            streaming.cancel_all(CancelCause::Closing);
        }
        if let Some(lent) = &self.state().lent {
            lent.token.cancel_because(CancelCause::Closing);
        }
    }

    /// The handler has ended.
    pub(super) fn take_back(&self) -> Option<Box<ThreadSource>> {
        let (lent, settled) = {
            let mut state = self.state();
            (state.lent.take(), std::mem::take(&mut state.settled))
        };
        if settled {
            // It has a descriptor of the connection, too, which must not outlive that.
            Watch::get().ring();
        }
        lent.map(|lent| lent.source)
    }

    /// What came first of what is kept.
    pub(super) fn next_kept(&self) -> Option<Kept> {
        self.state().ahead.next()
    }
}

/// Clients say that there is something to be seen: all that is lent is looked at now.
pub(super) fn rung() {
    Watch::get().look_now();
}

/// The connections of a server, for its end.
#[derive(Clone, Default)]
pub(super) struct Roll(Arc<Mutex<Vec<Weak<Watched>>>>);

impl Roll {
    pub(super) fn add(&self, watched: &Arc<Watched>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(watched));
    }

    /// Cancels what still runs.
    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|watched| watched.close());
    }
}

impl State {
    /// Reads what there is for one whose handler runs. Whether there may be more to come, for which to sleep.
    fn read(&mut self) -> bool {
        loop {
            if self.ahead.is_over() || self.ahead.is_full() {
                return false;
            }
            let Some(Lent { source, id, token, session, streaming, .. }) = &mut self.lent else {
                return false;
            };
            let source = &mut source.source;
            match source.next_event() {
                Ok(Some(event)) => {
                    let cancel = |cancelled| {
                        let is_it = *id == Some(cancelled);
                        if is_it {
                            token.cancel_because(CancelCause::Caller);
                        } else if let Some(streaming) = streaming {
                            return streaming.cancel(cancelled, CancelCause::Caller);
                        }
                        is_it
                    };
                    if let Err(end) = self.ahead.keep(event, session, cancel) {
                        self.fail(end);
                    }
                }
                Ok(None) => match source.fill() {
                    Ok(Filled::Nothing) if source.half.arm() => return true,
                    Ok(Filled::End) => {
                        self.ahead.end(Kept::End);
                        self.end();
                    }
                    Ok(_) => {}
                    Err(error) => self.fail(lost(error)),
                },
                Err(violation) => self.fail((Reason::Violation, violated(&violation))),
            }
        }
    }

    fn fail(&mut self, end: End) {
        self.ahead.end(Kept::Failed(end));
        self.end();
    }

    /// Nobody waits for the answer any more.
    fn end(&mut self) {
        if let Some(Lent { id: Some(_), token, .. }) = &self.lent {
            token.cancel_because(CancelCause::PeerGone);
        }
    }
}
