//! What the asynchronous and the blocking client share: the calls of a connection and its writing side.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::connection::greeting::{Reason, farewell, goodbye};
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{Filled, Source, closed, ended, violated};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::limits::Settings;
use crate::protocol::calls::{Answered, Calls, Taken};
use crate::protocol::hello::Hello;
use crate::protocol::incoming::Event;
use crate::stream::{Streams, Windows};
use crate::transport::Peer;
use crate::wire::frame::{ANSWER, Header, Kind};

/// A connection as its caller sees it. `R` is what its users keep with its calls, under the same lock.
pub(crate) struct Link<R = ()> {
    pub(crate) uri: Arc<str>,
    pub(crate) peer: Peer,
    pub(crate) theirs: Hello,
    pub(crate) settings: Settings,
    pub(crate) outbox: Outbox,
    pub(crate) windows: Windows,
    pub(crate) streams: Streams,
    table: Mutex<Table<R>>,
    /// The last id that was cancelled with all others, as in the table, for who does not look there.
    cancelled: AtomicU64,
}

/// The calls of a connection, and what else changes with them.
pub(crate) struct Table<R> {
    calls: Calls,
    pub(crate) roles: R,
}

impl<R> Deref for Table<R> {
    type Target = Calls;

    #[inline]
    fn deref(&self) -> &Calls {
        &self.calls
    }
}

impl<R> DerefMut for Table<R> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Calls {
        &mut self.calls
    }
}

/// Since when a call waits for its turn, so that it notices that all calls were cancelled meanwhile.
#[derive(Default)]
pub(crate) struct Since(Option<u64>);

impl Since {
    /// Whether they were. To be asked, and the call to be begun, with the table locked all the time.
    #[inline]
    pub(crate) fn is_over(&self, calls: &Calls) -> bool {
        self.0.is_some_and(|number| number != calls.cancellations())
    }

    /// The call has to wait, and there is already what wakes it. Whether it was cancelled meanwhile.
    pub(crate) fn waits(&mut self, calls: &Calls) -> bool {
        self.0.get_or_insert(calls.cancellations());
        self.is_over(calls)
    }
}

/// What reading has given whoever reads.
#[derive(Default)]
pub(crate) struct Absorbed {
    /// The call whose answer it waits for itself.
    pub(crate) wanted: Option<u64>,
    /// That answer; then it is not wanted any more.
    pub(crate) taken: Option<Taken>,
    /// A duty to write.
    pub(crate) blocked: Option<Blocked>,
}

impl<R> Link<R> {
    pub(crate) fn new(
        uri: &Arc<str>,
        peer: Peer,
        theirs: Hello,
        settings: Settings,
        outbox: Outbox,
        roles: R,
    ) -> Self {
        let in_flight = settings.limits.calls_in_flight.min(theirs.calls_in_flight);
        let held = usize::try_from(theirs.held_limit).unwrap_or(usize::MAX);
        let table = Mutex::new(Table { calls: Calls::new(in_flight, held), roles });
        let windows = Windows::new(settings.limits.stream, &theirs);
        let (streams, cancelled) = (Streams::default(), AtomicU64::new(0));
        let uri = Arc::clone(uri);
        Self { uri, peer, theirs, settings, outbox, windows, streams, table, cancelled }
    }

    #[inline]
    pub(crate) fn calls(&self) -> MutexGuard<'_, Table<R>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels all calls, those that wait for their turn, too. What is to be written by whoever calls this is given.
    pub(crate) fn cancel_all(&self) -> Option<Blocked> {
        let mut wakers = Vec::new();
        let ids = {
            let mut calls = self.calls();
            let ids = calls.cancel_all(&mut wakers);
            // SYNC(cancelled): before the outbox is locked for the cancellations. Whoever begins a call while this
            // runs, and sends it after its cancellation, finds this when it has sent it.
            self.cancelled.store(calls.cancelled(), Ordering::Release);
            ids
        };
        ids.iter().for_each(|id| self.outbox.queue(Message::Cancel(*id)));
        let blocked = if ids.is_empty() { None } else { self.outbox.flush() };
        self.outbox.wake_senders();
        wakers.into_iter().for_each(Waker::wake);
        blocked
    }

    /// Whether this call was cancelled with all others, if it had no answer by then.
    #[inline]
    pub(crate) fn has_cancelled(&self, id: u64) -> bool {
        // SYNC(cancelled)
        id <= self.cancelled.load(Ordering::Acquire)
    }

    /// Tells the server that a call's answer is no longer wanted.
    pub(crate) fn send_cancel(&self, id: u64) -> Option<Blocked> {
        self.outbox.send(Message::Cancel(id))
    }

    /// Makes of one read's bytes what there is to make; those to be woken are collected.
    ///
    /// # Errors
    /// Whatever ends the connection. The calls are not closed yet, and what was absorbed before is.
    #[inline]
    pub(crate) fn absorb(
        &self,
        source: &mut Source,
        filled: std::io::Result<Filled>,
        wakers: &mut Vec<Waker>,
        absorbed: &mut Absorbed,
    ) -> Result<(), RpcError> {
        let filled = filled.map_err(ended)?;
        let mut calls = self.calls();
        while let Some(event) = source.next_event().map_err(|violation| violated(&violation))? {
            match event {
                Event::Reply { id, status, payload } if absorbed.wanted == Some(id) => {
                    absorbed.wanted = None;
                    absorbed.taken = calls.finish(id, status, payload);
                    if absorbed.taken.is_none() {
                        return Err(unknown(id));
                    }
                }
                Event::Reply { id, status, payload } => match calls.answer(id, status, payload) {
                    Answered::Awaited { waiter, next } => {
                        wakers.extend(waiter.into_iter().chain(next));
                    }
                    Answered::Late(next) => wakers.extend(next),
                    Answered::Unknown => return Err(unknown(id)),
                },
                Event::Frame { header, body } => self.on_frame(&header, body, absorbed)?,
                Event::Call(_) | Event::Withdrawn { .. } => {
                    return Err(broken("a call to a client".to_owned()));
                }
                Event::Preface => {}
            }
        }
        if filled == Filled::End {
            return Err(closed());
        }
        Ok(())
    }

    #[cold]
    fn on_frame(
        &self,
        header: &Header,
        body: &[u8],
        absorbed: &mut Absorbed,
    ) -> Result<(), RpcError> {
        let blocked = match header.kind {
            Kind::Goodbye => return Err(farewell(header, body)),
            Kind::Ping if header.flags & ANSWER == 0 => {
                let answer = Header { flags: ANSWER, length: 0, ..*header };
                self.outbox.send(Message::Urgent(&answer.to_bytes()))
            }
            Kind::Ping => self.outbox.answered(header.id),
            Kind::Data if header.flags & ANSWER != 0 => {
                self.streams.on_items(header, body).map_err(|violation| violated(&violation))?;
                return Ok(());
            }
            Kind::Credit if header.flags & ANSWER != 0 => {
                self.streams.on_credit(header, body).map_err(|violation| violated(&violation))?;
                return Ok(());
            }
            kind => return Err(broken(format!("a {kind:?} frame to a client"))),
        };
        absorbed.blocked = blocked.or_else(|| absorbed.blocked.take());
        Ok(())
    }

    /// Ends all calls with this cause.
    pub(crate) fn fail(&self, error: RpcError) {
        let mut wakers = Vec::new();
        self.calls().close(error.at(&self.uri), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Says goodbye and closes the writing side, as soon as what waits is written.
    pub(crate) fn close(&self) -> Option<Blocked> {
        self.outbox.close(&goodbye(Reason::Done, ""))
    }

    /// The error of a call that was cancelled.
    #[cold]
    pub(crate) fn cancelled(&self, outcome: Outcome) -> RpcError {
        RpcError::new(ErrorKind::Cancelled, outcome).at(&self.uri)
    }

    /// The error of a call whose time is up.
    pub(crate) fn deadline_exceeded(&self, budget: Duration) -> RpcError {
        RpcError::not_executed(ErrorKind::DeadlineExceeded { deadline: budget }).at(&self.uri)
    }
}

#[cold]
fn unknown(id: u64) -> RpcError {
    broken(format!("a reply to {id}, which is not in flight"))
}

fn broken(reason: String) -> RpcError {
    RpcError::new(ErrorKind::ProtocolViolation { reason }, Outcome::MaybeExecuted)
}
