//! What the asynchronous and the blocking client share: the calls of a connection and its writing side.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::connection::greeting::{Reason, farewell, goodbye};
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{Filled, Source, closed, ended, violated};
use crate::error::{ErrorKind, RpcError};
use crate::limits::Settings;
use crate::protocol::calls::{Answered, Calls, Taken};
use crate::protocol::hello::Hello;
use crate::protocol::incoming::Event;
use crate::protocol::outgoing::Bulk;
use crate::transport::Peer;
use crate::wire::frame::{
    ANSWER, DEADLINE, FRAGMENT, HEADER, Header, Kind, ONEWAY, Prefix, WITH_METADATA,
};
use crate::wire::payload::{self, Arguments};
use crate::wire::scratch;

/// A connection as its caller sees it. `R` is what its users keep with its calls, under the same lock.
pub(crate) struct Link<R = ()> {
    pub(crate) uri: Arc<str>,
    pub(crate) peer: Peer,
    pub(crate) theirs: Hello,
    pub(crate) settings: Settings,
    pub(crate) outbox: Outbox,
    table: Mutex<Table<R>>,
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

/// A call that is encoded and not yet sent.
pub(crate) struct Prepared {
    /// Room for the header, the prefix fields, the payload up to `tail`.
    buffer: Vec<u8>,
    payload_at: usize,
    /// The end of the payload: a byte string that is moved rather than copied. Empty or large.
    tail: Vec<u8>,
    method: u16,
    flags: u8,
    metadata_length: usize,
    pub(crate) deadline: Option<Instant>,
    /// The whole budget, for errors.
    pub(crate) budget: Duration,
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
        Self { uri: Arc::clone(uri), peer, theirs, settings, outbox, table }
    }

    #[inline]
    pub(crate) fn calls(&self) -> MutexGuard<'_, Table<R>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest argument list that both sides take, in bytes.
    fn message_limit(&self) -> usize {
        let theirs = usize::try_from(self.theirs.message_limit).unwrap_or(usize::MAX);
        theirs.min(self.settings.limits.message)
    }

    /// Encodes a call.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] or [`ErrorKind::Codec`].
    #[inline]
    pub(crate) fn prepare<A: Arguments>(
        &self,
        method: u16,
        oneway: bool,
        budget: Option<Duration>,
        metadata: &[u8],
        arguments: &mut A,
    ) -> Result<Prepared, RpcError> {
        let mut buffer = scratch::take();
        buffer.extend_from_slice(&[0; HEADER]);
        // A time that no clock will see is none.
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        // The remaining time is filled in when the call is sent. Without a reply, the time is that of
        // sending, and the handler has as much as it likes.
        let remaining = deadline.filter(|_| !oneway).map(|_| 0);
        let prefix = Prefix { total: None, remaining, metadata };
        prefix.write(&mut buffer);
        let payload_at = buffer.len();
        let tail = match arguments.encode(&mut buffer, self.message_limit()) {
            Ok(tail) => tail,
            Err(error) => {
                scratch::give(buffer);
                return Err(unencodable("the arguments", error));
            }
        };
        Ok(Prepared {
            buffer,
            payload_at,
            tail,
            method,
            flags: prefix.flags() | if oneway { ONEWAY } else { 0 },
            metadata_length: metadata.len(),
            deadline,
            budget: budget.unwrap_or_default(),
        })
    }

    /// Sends a prepared call.
    #[inline]
    pub(crate) fn send(&self, id: u64, call: &mut Prepared) -> Option<Blocked> {
        let mut buffer = std::mem::take(&mut call.buffer);
        let mut header = Header::new(Kind::Call, id);
        header.code = call.method;
        header.flags = call.flags;
        let told = call.deadline.filter(|_| call.flags & DEADLINE != 0);
        let remaining = told.map(remaining_nanos);
        if call.is_bulk(buffer.len()) {
            return self.send_bulk(header, remaining, call, buffer);
        }
        header.length = (buffer.len() - HEADER) as u32;
        buffer[..HEADER].copy_from_slice(&header.to_bytes());
        if let Some(remaining) = remaining {
            buffer[HEADER..HEADER + 8].copy_from_slice(&remaining.to_le_bytes());
        }
        let blocked = self.outbox.send(Message::Small(&buffer));
        scratch::give(buffer);
        blocked
    }

    #[cold]
    fn send_bulk(
        &self,
        mut header: Header,
        remaining: Option<u64>,
        call: &mut Prepared,
        buffer: Vec<u8>,
    ) -> Option<Blocked> {
        header.flags &= !(DEADLINE | WITH_METADATA);
        let metadata = buffer[call.payload_at - call.metadata_length..call.payload_at].to_vec();
        let bulk = if call.tail.is_empty() {
            let lead = Vec::new();
            Bulk { header, remaining, metadata, lead, data: buffer, skip: call.payload_at }
        } else {
            let lead = buffer[call.payload_at..].to_vec();
            scratch::give(buffer);
            let data = std::mem::take(&mut call.tail);
            Bulk { header, remaining, metadata, lead, data, skip: 0 }
        };
        self.outbox.send(Message::Bulk(bulk))
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

    /// The error of a call whose time is up.
    pub(crate) fn deadline_exceeded(&self, budget: Duration) -> RpcError {
        RpcError::not_executed(ErrorKind::DeadlineExceeded { deadline: budget }).at(&self.uri)
    }
}

fn remaining_nanos(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)
}

#[cold]
fn unknown(id: u64) -> RpcError {
    broken(format!("a reply to {id}, which is not in flight"))
}

fn broken(reason: String) -> RpcError {
    RpcError::new(ErrorKind::ProtocolViolation { reason }, crate::Outcome::MaybeExecuted)
}

/// The error for a value that cannot be encoded.
pub(crate) fn unencodable(what: &str, error: payload::EncodeError) -> RpcError {
    RpcError::not_executed(match error {
        payload::EncodeError::TooLarge { limit, actual } => ErrorKind::TooLarge {
            what: format!("{what} (in bytes)"),
            limit: limit as u64,
            actual: actual as u64,
        },
        other => ErrorKind::Codec { reason: format!("{what} cannot be encoded: {other}") },
    })
}

impl Prepared {
    /// Whether it is sent in fragments; `length` is that of the buffer.
    #[inline]
    fn is_bulk(&self, length: usize) -> bool {
        length - self.payload_at + self.tail.len() > FRAGMENT
    }

    /// The bytes of its arguments, if the server has to hold them while fragments come.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        let length = self.buffer.len();
        if self.is_bulk(length) { length - self.payload_at + self.tail.len() } else { 0 }
    }
}
