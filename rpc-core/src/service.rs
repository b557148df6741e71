//! What a generated server stands on: requests with their arguments, replies, and the three ways in
//! which a method is handled.

mod streams;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub(crate) use streams::Opened;
pub use streams::Results;

use crate::cancel::{CancelCause, CancelToken};
use crate::context::Context;
use crate::protocol::descriptor::ServiceDescriptor;
use crate::protocol::failure::{Failure, METHOD_ERROR, OK, Status};
use crate::wire::frame::HEADER;
use crate::wire::payload::{self, DecodeError, DecodeLimits, Received};
use crate::wire::scratch;

/// A service that a server can offer; `FooServer<T>` is one.
pub trait Service: Send + Sync + 'static {
    /// Its methods.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Calls the method at this index in the trait.
    fn call(&self, method: u16, request: Request<'_>) -> Handling;
}

/// A call's arguments where they were received.
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) payload: Bytes<'a>,
    pub(crate) context: Context,
    pub(crate) limits: DecodeLimits,
    /// Whether the handler ends when the call is cancelled.
    pub(crate) cancellable: bool,
    /// Set where a handler runs to its end in the thread that has read its call.
    pub(crate) runner: Option<&'a dyn Runner>,
    /// The streams of the call, if its method has any.
    pub(crate) streams: Option<Box<Opened>>,
}

/// Runs a handler to its end in the thread that has read its call.
pub(crate) trait Runner: fmt::Debug {
    /// Why there is no reply, if the call is cancelled before the handler has ended.
    fn run(
        &self,
        handler: Pin<&mut (dyn Future<Output = Reply> + Send)>,
        terms: &Terms,
    ) -> Result<Reply, CancelCause>;
}

/// On what terms a handler runs.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Instant>,
    /// Told of a cancellation, if the handler may ask.
    pub(crate) token: Option<CancelToken>,
    /// Whether a cancellation ends it.
    pub(crate) cancellable: bool,
}

/// Arguments where they lie, or on their own.
#[derive(Debug)]
pub(crate) enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Owned(Box<Received>),
}

impl Request<'_> {
    /// Decodes the arguments; borrowed ones point into the received bytes.
    ///
    /// # Errors
    /// What the caller is told.
    #[inline]
    pub fn arguments<'a, A: Deserialize<'a>>(&'a self) -> Result<A, Fault> {
        match &self.payload {
            Bytes::Borrowed(bytes) => payload::decode(bytes, &self.limits),
            Bytes::Owned(received) => received.decode(&self.limits),
        }
        .map_err(Fault::bad_arguments)
    }

    /// What the handler may ask about the call.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn terms(&self) -> Terms {
        let Context { deadline, token, .. } = &self.context;
        Terms { deadline: *deadline, token: token.clone(), cancellable: self.cancellable }
    }

    fn into_owned(self) -> OwnedRequest {
        let payload = match self.payload {
            Bytes::Owned(received) => *received,
            Bytes::Borrowed(bytes) => Received::copy_of(bytes),
        };
        let Self { context, limits, streams, .. } = self;
        OwnedRequest { payload, context, limits, streams }
    }
}

/// A call's arguments, kept for a handler that goes on.
#[derive(Debug)]
pub struct OwnedRequest {
    payload: Received,
    context: Context,
    limits: DecodeLimits,
    streams: Option<Box<Opened>>,
}

impl OwnedRequest {
    /// Decodes the arguments; borrowed ones point into this request.
    ///
    /// # Errors
    /// What the caller is told.
    #[inline]
    pub fn arguments<'a, A: Deserialize<'a>>(&'a self) -> Result<A, Fault> {
        self.payload.decode(&self.limits).map_err(Fault::bad_arguments)
    }

    /// Takes the only argument, a byte string, without copying it where it is large.
    ///
    /// # Errors
    /// What the caller is told.
    pub fn take_bytes(&mut self) -> Result<Vec<u8>, Fault> {
        let payload = std::mem::take(&mut self.payload);
        payload.into_byte_string(&self.limits).map_err(Fault::bad_arguments)
    }

    /// What the handler may ask about the call.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// How a call is handled.
pub struct Handling(pub(crate) Kind);

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;
pub(crate) type BlockingHandler = Box<dyn FnOnce() -> Reply + Send>;

pub(crate) enum Kind {
    /// It is done.
    Done(Reply),
    /// The call was cancelled before it was.
    Cancelled(CancelCause),
    /// It may have to wait; polled once where it stands.
    Future(HandlerFuture),
    /// It may block; for a thread that may.
    Blocking(BlockingHandler),
}

impl Handling {
    /// Runs the handler where it stands.
    #[inline]
    pub fn inline(
        request: Request<'_>,
        handler: impl FnOnce(&Request<'_>) -> Result<Reply, Fault>,
    ) -> Self {
        Self(Kind::Done(Reply::from_result(handler(&request))))
    }

    /// Runs the handler as a future.
    #[inline]
    pub fn future<F>(
        request: Request<'_>,
        handler: impl FnOnce(OwnedRequest) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reply, Fault>> + Send + 'static,
    {
        let runner = request.runner.map(|runner| (runner, request.terms()));
        let request = request.into_owned();
        let future = async move { Reply::from_result(handler(request).await) };
        // The handler's future is made where it stays: moving it costs more than to box it.
        Self(match runner {
            Some((runner, terms)) => {
                runner.run(pin!(future), &terms).map_or_else(Kind::Cancelled, Kind::Done)
            }
            None => Kind::Future(Box::pin(future)),
        })
    }

    /// Runs the handler where it may block.
    #[inline]
    pub fn blocking(
        request: Request<'_>,
        handler: impl FnOnce(OwnedRequest) -> Result<Reply, Fault> + Send + 'static,
    ) -> Self {
        let request = request.into_owned();
        Self(Kind::Blocking(Box::new(move || Reply::from_result(handler(request)))))
    }

    /// For an index that the trait does not have.
    pub fn unknown(method: u16) -> Self {
        let text = format!("there is no method number {method}");
        let failure = Failure::not_executed(text);
        Self(Kind::Done(Reply::failure(Status::UnknownMethod, &failure)))
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Done(_) => "Handling::Done",
            Kind::Cancelled(_) => "Handling::Cancelled",
            Kind::Future(_) => "Handling::Future",
            Kind::Blocking(_) => "Handling::Blocking",
        })
    }
}

/// What a method answered, encoded, behind room for the frame's header.
#[derive(Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) data: Vec<u8>,
    /// The end of the payload: a byte string that is moved rather than copied. Empty or large.
    pub(crate) tail: Vec<u8>,
}

impl Reply {
    /// The method's value.
    ///
    /// # Errors
    /// When it cannot be encoded.
    #[inline]
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Result<Self, Fault> {
        Self::encode(OK, value)
    }

    /// The method's value, a byte string that is moved rather than copied where it is large.
    ///
    /// # Errors
    /// None.
    #[inline]
    pub fn bytes(value: Vec<u8>) -> Result<Self, Fault> {
        let mut data = scratch::take();
        data.extend_from_slice(&[0; HEADER]);
        let tail = payload::encode_tail(value, &mut data);
        Ok(Self { status: OK, data, tail })
    }

    /// The method's own error.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn error<E: Serialize + ?Sized>(error: &E) -> Result<Self, Fault> {
        Self::encode(METHOD_ERROR, error)
    }

    /// For a method that gives no reply.
    ///
    /// # Errors
    /// None.
    pub fn none() -> Result<Self, Fault> {
        Self::encode(OK, &())
    }

    #[inline]
    fn encode<T: Serialize + ?Sized>(status: u16, value: &T) -> Result<Self, Fault> {
        let mut data = scratch::take();
        data.extend_from_slice(&[0; HEADER]);
        // The caller's limit is looked at when the reply is sent.
        match payload::encode(value, &mut data, usize::MAX) {
            Ok(()) => Ok(Self { status, data, tail: Vec::new() }),
            Err(error) => {
                let failure = Failure::not_executed(format!("the result: {error}")).executed(2);
                Err(Fault { status: Status::BadResult, failure })
            }
        }
    }

    /// A failure of the framework.
    pub(crate) fn failure(status: Status, failure: &Failure) -> Self {
        let mut data = scratch::take();
        data.extend_from_slice(&[0; HEADER]);
        // Numbers and a string can always be encoded.
        let _ = payload::encode(failure, &mut data, usize::MAX);
        Self { status: status as u16, data, tail: Vec::new() }
    }

    #[inline]
    fn from_result(result: Result<Self, Fault>) -> Self {
        result.unwrap_or_else(|fault| Self::failure(fault.status, &fault.failure))
    }
}

/// Why a method was not called, or its result not sent.
#[derive(Debug)]
pub struct Fault {
    status: Status,
    failure: Failure,
}

impl Fault {
    #[cold]
    #[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    fn bad_arguments(error: DecodeError) -> Self {
        let failure = Failure::not_executed(format!("the arguments cannot be decoded: {error}"));
        Self { status: Status::BadArguments, failure }
    }
}
