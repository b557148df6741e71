//! One connection as the server sees it, whoever waits: what a call means, and what is answered.

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cancel::{CancelCause, CancelToken};
use crate::connection::greeting::Reason;
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{ended, unheard, violated};
use crate::context::Context;
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::limits::Limits;
use crate::protocol::failure::{Failure, OK, Status};
use crate::protocol::incoming::{IncomingCall, Payload};
use crate::protocol::outgoing::Bulk;
use crate::protocol::requests::Rejection;
use crate::server::end::{End, broken};
use crate::server::registry::Registry;
use crate::service::{Bytes, Handling, Kind, Opened, Reply, Request, Runner, Terms};
use crate::stream::{Ends, Port, Streams, Windows};
use crate::transport::Peer;
use crate::wire::frame::{self, ANSWER, FRAGMENT, HEADER, Header};
use crate::wire::payload::Received;
use crate::wire::{payload, scratch};

/// What the calls of one connection have in common.
pub(crate) struct Session {
    pub(crate) registry: Arc<Registry>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) limits: Limits,
    pub(crate) outbox: Outbox,
    /// The largest reply that the client takes, in bytes.
    pub(crate) message_limit: usize,
    pub(crate) windows: Windows,
    pub(crate) streams: Streams,
}

/// Makes the port of a call's streams, which may need a descriptor.
pub(crate) type OpenPort<'a> = &'a dyn Fn() -> io::Result<Arc<dyn Port>>;

/// Bytes of arguments that are moved out of the receive buffer without memory of their own.
pub(crate) const MOVED: usize = 64;

/// A call that has come and is to be started.
pub(crate) struct Arrival<'a> {
    pub(crate) id: u64,
    pub(crate) method: u16,
    pub(crate) oneway: bool,
    remaining: Option<u64>,
    /// When it came, if it had to wait and its time is limited.
    came: Option<Instant>,
    metadata: Cow<'a, [u8]>,
    payload: Bytes<'a>,
}

impl<'a> Arrival<'a> {
    /// One whose arguments stay where they were received.
    #[inline]
    pub(crate) fn borrowed(call: IncomingCall<'a>) -> Self {
        let payload = match call.payload {
            Payload::Borrowed(bytes) => Bytes::Borrowed(bytes),
            Payload::Owned(received) => Bytes::Owned(received),
        };
        let IncomingCall { id, method, oneway, remaining, metadata, .. } = call;
        Self { id, method, oneway, remaining, came: None, metadata, payload }
    }

    /// One that is independent of where it was received: what is short of it lies in `place`.
    #[inline(always)]
    pub(crate) fn moved(call: IncomingCall<'_>, place: &'a mut [u8; MOVED]) -> Self {
        let payload = match call.payload {
            Payload::Borrowed(bytes) => match place.get_mut(..bytes.len()) {
                Some(place) => {
                    place.copy_from_slice(bytes);
                    Bytes::Borrowed(place)
                }
                None => Bytes::Owned(Box::new(Received::copy_of(bytes))),
            },
            Payload::Owned(received) => Bytes::Owned(received),
        };
        let metadata = match call.metadata.is_empty() {
            true => Cow::Borrowed(&[][..]),
            false => Cow::Owned(call.metadata.into_owned()),
        };
        let IncomingCall { id, method, oneway, remaining, .. } = call;
        Self { id, method, oneway, remaining, came: None, metadata, payload }
    }

    /// One that is independent of everything.
    #[cold]
    pub(crate) fn kept(call: IncomingCall<'_>) -> Arrival<'static> {
        let payload = match call.payload {
            Payload::Borrowed(bytes) => Bytes::Owned(Box::new(Received::copy_of(bytes))),
            Payload::Owned(received) => Bytes::Owned(received),
        };
        let metadata = Cow::Owned(call.metadata.into_owned());
        let IncomingCall { id, method, oneway, remaining, .. } = call;
        Arrival { id, method, oneway, remaining, came: None, metadata, payload }
    }

    /// The same, which waits from now on.
    pub(crate) fn waiting(self) -> Self {
        Self { came: self.remaining.map(|_| Instant::now()), ..self }
    }

    /// Bytes of its arguments.
    pub(crate) fn bytes(&self) -> usize {
        match &self.payload {
            Bytes::Borrowed(bytes) => bytes.len(),
            Bytes::Owned(received) => received.len(),
        }
    }
}

/// A call that was started.
pub(crate) struct Started {
    pub(crate) kind: Kind,
    pub(crate) terms: Terms,
    /// The time that it had when it came.
    pub(crate) budget: Duration,
    /// The ends of its streams, if its method has any.
    pub(crate) streams: Option<Ends>,
}

impl Session {
    /// Finds the method of a call and starts it.
    #[inline(always)]
    pub(crate) fn start(
        &self,
        call: Arrival<'_>,
        runner: Option<&dyn Runner>,
        port: OpenPort<'_>,
    ) -> Started {
        let budget = Duration::from_nanos(call.remaining.unwrap_or(0));
        let since = || call.came.unwrap_or_else(Instant::now);
        let deadline = call.remaining.and_then(|_| since().checked_add(budget));
        let mut terms = Terms { deadline, token: None, cancellable: true };
        let mut streams = None;
        let kind = self.handle(call, &mut terms, runner, (port, &mut streams));
        Started { kind: kind.unwrap_or_else(Kind::Done), terms, budget, streams }
    }

    /// A part of a stream has come, or leave to send more of one.
    ///
    /// # Errors
    /// A violation.
    pub(crate) fn on_stream(&self, header: &Header, body: &[u8]) -> Result<(), End> {
        let result = match header.kind {
            frame::Kind::Data if header.flags & ANSWER == 0 => self.streams.on_items(header, body),
            frame::Kind::Credit if header.flags & ANSWER == 0 => {
                self.streams.on_credit(header, body)
            }
            kind => return Err(broken(format!("a {kind:?} frame to a server"))),
        };
        result.map_err(|violation| (Reason::Violation, violated(&violation)))
    }

    /// Whether a call of this method ends before anything else is done.
    #[inline]
    pub(crate) fn is_inline(&self, method: u16) -> bool {
        self.registry.method(method).is_none_or(|method| method.descriptor.is_inline())
    }

    #[inline(always)]
    fn handle(
        &self,
        call: Arrival<'_>,
        terms: &mut Terms,
        runner: Option<&dyn Runner>,
        (port, streams): (OpenPort<'_>, &mut Option<Ends>),
    ) -> Result<Kind, Reply> {
        let Some(method) = self.registry.method(call.method) else {
            return Ok(Handling::unknown(call.method).0);
        };
        let is_late = call.came.is_some()
            && terms.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if call.remaining == Some(0) || is_late {
            let budget = Duration::from_nanos(call.remaining.unwrap_or(0));
            return Err(expired(budget, 0));
        }
        let mut metadata = Vec::new();
        if !call.metadata.is_empty() {
            metadata = payload::decode(&call.metadata, &self.limits.decode).map_err(|error| {
                let text = format!("the metadata cannot be decoded: {error}");
                Reply::failure(Status::BadArguments, &Failure::not_executed(text))
            })?;
        }
        terms.cancellable = method.descriptor.is_cancellable();
        let (comes, goes) = (method.descriptor.takes_stream(), method.descriptor.gives_stream());
        let has_streams = comes || goes;
        terms.token = (method.descriptor.takes_context() || has_streams).then(CancelToken::new);
        let context = Context {
            method: method.descriptor.name(),
            peer: Arc::clone(&self.peer),
            deadline: terms.deadline,
            metadata,
            token: terms.token.clone(),
        };
        let request = Request {
            payload: call.payload,
            context,
            limits: self.limits.decode,
            cancellable: terms.cancellable,
            // Where there are streams, reading goes on.
            runner: runner.filter(|_| !has_streams),
            streams: match has_streams {
                true => Some(self.open((comes, goes), call.id, port, streams)?),
                false => None,
            },
        };
        guarded(|| method.service.call(method.index, request)).map(|handling| handling.0)
    }

    #[cold]
    fn open(
        &self,
        (comes, goes): (bool, bool),
        id: u64,
        port: OpenPort<'_>,
        streams: &mut Option<Ends>,
    ) -> Result<Box<Opened>, Reply> {
        let port = port().map_err(|error| {
            let failure = Failure::not_executed(format!("descriptors of the server: {error}"));
            Reply::failure(Status::Overloaded, &failure)
        })?;
        let ends = self.windows.open(comes, goes);
        self.streams.add(id, ends.clone());
        *streams = Some(ends.clone());
        Ok(Box::new(Opened { port, id, ends }))
    }

    /// How a connection ends whose client has closed between two messages: in order if it has said goodbye, or
    /// has been sent all answers.
    ///
    /// # Errors
    /// That it has gone.
    pub(crate) fn closed_by_client(&self, said_goodbye: bool) -> Result<(), RpcError> {
        if said_goodbye {
            return Ok(());
        }
        match self.outbox.broken() {
            Some(error) => Err(ended(error)),
            None if self.outbox.is_idle() => Ok(()),
            None => Err(unheard()),
        }
    }

    /// Makes frames of a reply: appends a small one to `batch`, queues a large one.
    #[inline]
    pub(crate) fn batch(&self, id: u64, reply: Reply, batch: &mut Vec<u8>) {
        if let Some(frame) = self.frame(id, reply) {
            batch.extend_from_slice(&frame);
            scratch::give(frame);
        }
    }

    /// Sends a reply by itself.
    pub(crate) fn send(&self, id: u64, reply: Reply) -> Option<Blocked> {
        match self.frame(id, reply) {
            Some(frame) => {
                let blocked = self.outbox.send(Message::Small(&frame));
                scratch::give(frame);
                blocked
            }
            None => self.outbox.flush(),
        }
    }

    /// A small reply's frame; a large one is queued instead.
    #[inline]
    fn frame(&self, id: u64, reply: Reply) -> Option<Vec<u8>> {
        let mut reply = reply;
        let length = reply.data.len() - HEADER + reply.tail.len();
        if length > self.message_limit {
            reply = self.too_large(length);
        }
        let mut header = Header::new(frame::Kind::Reply, id);
        header.code = reply.status;
        if reply.data.len() - HEADER + reply.tail.len() > FRAGMENT {
            self.outbox.queue(Message::Bulk(bulk(header, reply)));
            return None;
        }
        let mut data = reply.data;
        header.length = (data.len() - HEADER) as u32;
        data[..HEADER].copy_from_slice(&header.to_bytes());
        Some(data)
    }

    #[cold]
    fn too_large(&self, actual: usize) -> Reply {
        let failure = Failure::not_executed("the result (in bytes)")
            .executed(2)
            .with_limit(self.message_limit as u64, actual as u64);
        Reply::failure(Status::TooLarge, &failure)
    }
}

/// A reply that is sent in fragments.
#[cold]
fn bulk(header: Header, reply: Reply) -> Bulk {
    let Reply { data, tail, .. } = reply;
    let metadata = Vec::new();
    if tail.is_empty() {
        return Bulk {
            header,
            remaining: None,
            metadata,
            lead: Vec::new(),
            data,
            skip: HEADER,
            receipt: None,
        };
    }
    let lead = data[HEADER..].to_vec();
    scratch::give(data);
    Bulk { header, remaining: None, metadata, lead, data: tail, skip: 0, receipt: None }
}

/// Runs a handler's code; a panic becomes that call's failure.
#[inline]
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Reply> {
    // Nothing of the framework is in the middle of a change here, and what the handler has broken of
    // its own state is for the handler to know.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panicked(&*panic))
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Reply {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(its message is not text)");
    Reply::failure(Status::Panicked, &Failure::not_executed(message).executed(1))
}

/// The reply to a call whose handler has ended. One that was cancelled before is answered as such: what its
/// handler gives may be what there was until then. Not where the handler is to run to its end: then it is its value.
#[inline(always)]
pub(crate) fn settled(reply: Reply, terms: &Terms, budget: Duration) -> Reply {
    match &terms.token {
        None => reply,
        Some(token) => settled_by(token, reply, terms.cancellable, budget),
    }
}

fn settled_by(token: &CancelToken, reply: Reply, cancellable: bool, budget: Duration) -> Reply {
    match token.cause() {
        // A panic is none the less one.
        _ if reply.status == Status::Panicked as u16 => reply,
        Some(cause) if reply.status != OK || cancellable => ended_by(cause, budget),
        _ => reply,
    }
}

/// The reply to a call whose handler a cancellation has ended.
pub(crate) fn ended_by(cause: CancelCause, budget: Duration) -> Reply {
    match cause {
        CancelCause::Deadline => expired(budget, 1),
        _ => cancelled(1),
    }
}

/// The reply to a call whose time is up. `executed` as in [`Failure`].
pub(crate) fn expired(budget: Duration, executed: u8) -> Reply {
    let nanos = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
    let failure = Failure::not_executed("").executed(executed).with_limit(nanos, 0);
    Reply::failure(Status::DeadlineExceeded, &failure)
}

/// The reply to a call that was cancelled. `executed` as in [`Failure`].
pub(crate) fn cancelled(executed: u8) -> Reply {
    Reply::failure(Status::Cancelled, &Failure::not_executed("").executed(executed))
}

/// The reply to a call that is not started.
pub(crate) fn rejected(rejection: Rejection) -> Reply {
    match rejection {
        Rejection::Overloaded { limit } => {
            let failure = Failure::not_executed("calls in flight on one connection");
            Reply::failure(Status::Overloaded, &failure.with_limit(limit.into(), 0))
        }
        Rejection::Held { limit } => {
            let failure = Failure::not_executed("bytes of arguments held for one connection");
            Reply::failure(Status::Overloaded, &failure.with_limit(limit as u64, 0))
        }
        Rejection::Draining => {
            let failure = Failure::not_executed("the server is shutting down");
            Reply::failure(Status::Refused, &failure)
        }
        // The connection ends with this; see the callers.
        Rejection::Duplicate => cancelled(0),
    }
}

/// What a handler is told that waits for more of a stream when its call is cancelled.
pub(crate) fn cut_short(cause: CancelCause) -> RpcError {
    let kind = match cause {
        CancelCause::Deadline => ErrorKind::DeadlineExceeded { deadline: Duration::ZERO },
        CancelCause::PeerGone => {
            ErrorKind::PeerGone { how: "it has left its call behind".to_owned() }
        }
        CancelCause::Closing => {
            ErrorKind::Refused { reason: "the server is about to stop".to_owned() }
        }
        CancelCause::Caller => ErrorKind::Cancelled,
    };
    RpcError::new(kind, Outcome::MaybeExecuted)
}
