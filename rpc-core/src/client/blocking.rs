//! Calling from plain threads, without a runtime and without a second thread.
//!
//! Whoever waits reads. Where several threads wait on one connection, one of them has the reading side
//! and hands the others their answers; when it leaves, it passes the reading side on. The same holds for
//! a write that a full peer has stopped.

mod connect;
pub(crate) mod streams;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use self::turn::Turn;
use crate::client::ConnectOptions;
use crate::client::ctrl_c::{CancelAll, Entry, interrupted};
use crate::client::link::Link;
use crate::client::prepared::Prepared;
use crate::connection::outbox::Blocked;
use crate::connection::source::ended;
use crate::error::{Outcome, RpcError};
use crate::protocol::calls::Answer;
use crate::transport::{Connector, Peer};
use crate::wait::park::with_waker;
use crate::wait::thread::{Doorbell, ThreadSource, wait};

/// A blocking connection to a server, without the methods of any service.
///
/// Cheap to clone and to share between threads; all share one connection. It closes when the last clone
/// is dropped. The methods come with a generated client: `FooBlockingClient::from_client(&client)`.
#[derive(Clone)]
pub struct BlockingClient(Arc<Shared>);

struct Shared {
    link: Link<Roles>,
    /// Wakes whoever has the reading side when all calls are cancelled.
    doorbell: Doorbell,
    /// Where Ctrl-C finds it.
    entry: Entry,
}

/// What only one of the waiting threads can have at a time.
pub(crate) struct Roles {
    source: Option<Box<ThreadSource>>,
    blocked: Option<Blocked>,
    /// The thread that writes and waits for the reading side, too.
    source_wanted: Option<Waker>,
}

impl BlockingClient {
    fn start(link: Link<Roles>, doorbell: Doorbell) -> Self {
        let shared = Arc::new(Shared { link, doorbell, entry: Entry::new() });
        shared.entry.give_to(&shared);
        Self(shared)
    }

    /// Connects to a server, as the endpoint is configured.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub fn connect<C: Connector + ?Sized>(connector: &C) -> Result<Self, RpcError> {
        Self::connect_with(connector, &ConnectOptions::new())
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub fn connect_with<C: Connector + ?Sized>(
        connector: &C,
        options: &ConnectOptions,
    ) -> Result<Self, RpcError> {
        let uri = connector.uri();
        connect::establish(connector, options).map_err(|error| error.at(uri))
    }

    /// Cancels every call of this connection, of all clones, that is in flight or waits for its turn, in whatever
    /// threads; those that are made later are untouched.
    ///
    /// Each ends at once with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), without waiting for the server:
    /// [`NotExecuted`](crate::Outcome::NotExecuted) if it had not been sent, else
    /// [`MaybeExecuted`](crate::Outcome::MaybeExecuted), and the server is told, as far as it reads. Answers that
    /// are there already win. Does not block.
    pub fn cancel_all(&self) {
        Arc::clone(&self.0).cancel_all();
    }

    /// What is known of the server's process.
    pub fn peer(&self) -> &Peer {
        &self.link().peer
    }

    /// The endpoint's URI.
    pub fn uri(&self) -> &str {
        &self.link().uri
    }

    /// Calls that the server has not answered yet.
    pub fn calls_in_flight(&self) -> usize {
        self.link().calls().unanswered()
    }

    /// Answers that came after their call was given up. They were dropped.
    pub fn late_replies(&self) -> u64 {
        self.link().calls().late()
    }

    pub(crate) fn link(&self) -> &Link<Roles> {
        &self.0.link
    }

    /// Makes a call and waits for its answer.
    #[inline]
    pub(crate) fn call(&self, mut prepared: Prepared) -> Result<Answer, RpcError> {
        with_waker(|waker| {
            let mut turn = Turn::new(&self.0, waker);
            turn.tie(&mut prepared)?;
            let id = turn.start(&prepared)?;
            turn.keep(self.0.link.send(id, &mut prepared));
            let answer = turn.answer(id, &prepared);
            turn.finish(id, &prepared);
            answer
        })
    }

    /// Makes a call that gets no answer, and waits until it is written, as long as its deadline allows.
    pub(crate) fn send(&self, mut prepared: Prepared) -> Result<(), RpcError> {
        with_waker(|waker| {
            let link = &self.0.link;
            let mut turn = Turn::new(&self.0, waker);
            turn.tie(&mut prepared)?;
            let id = turn.begin(&prepared)?;
            turn.keep(link.send(id, &mut prepared));
            let next = link.calls().forget(id);
            next.into_iter().for_each(Waker::wake);
            // What is left of it then goes with the next call, or when the client is dropped.
            let is_written = turn.finish(id, &prepared);
            if !is_written && (prepared.is_cancelled() || link.has_cancelled(id)) {
                // So that what is left of it is not sent.
                if let Some(blocked) = link.send_cancel(id) {
                    Turn::new(&self.0, waker).leave(blocked);
                }
                return Err(link.cancelled(Outcome::MaybeExecuted));
            }
            match link.outbox.broken() {
                Some(error) => Err(ended(error).at(&link.uri)),
                None => Ok(()),
            }
        })
    }
}

impl CancelAll for Shared {
    fn cancel_all(self: Arc<Self>) {
        let blocked = self.link.cancel_all();
        let writing = self.link.calls().roles.source_wanted.take();
        writing.into_iter().for_each(Waker::wake);
        self.doorbell.ring();
        if let Some(blocked) = blocked {
            with_waker(|waker| Turn::new(&self, waker).leave(blocked));
        }
    }
}

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClient").field("endpoint", &self.uri()).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut blocked = self.link.calls().roles.blocked.take().or_else(|| self.link.close());
        // What was called without wanting an answer is still written, as far as the peer reads; but nobody has been
        // patient who has pressed Ctrl-C.
        let progress = self.link.settings.limits.progress;
        let patience = Instant::now() + if interrupted() { Duration::ZERO } else { progress };
        while let Some(mut waiting) = blocked.take() {
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() || wait(None, Some(&mut waiting), None, Some(left)).is_err() {
                return;
            }
            blocked = self.link.outbox.resume(waiting);
        }
    }
}
