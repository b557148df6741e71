//! What a generated server stands on where its methods have streams.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use futures_core::Stream;
use serde::Serialize;

use super::{Fault, OwnedRequest, Reply};
use crate::protocol::failure::{Failure, Status};
use crate::stream::codec::Codec;
use crate::stream::drive::{Driven, drive};
use crate::stream::incoming::Incoming;
use crate::stream::receiver::Receiver;
use crate::stream::sink::Sink;
use crate::stream::{Ends, Port};
use crate::wire::frame::ANSWER;
use crate::wire::payload::EncodeError;

/// The streams of a call, which its handler takes what it needs of.
pub(crate) struct Opened {
    pub(crate) port: Arc<dyn Port>,
    pub(crate) id: u64,
    pub(crate) ends: Ends,
}

impl OwnedRequest {
    /// The stream that comes with the call.
    ///
    /// # Errors
    /// When the method has none, or it was taken.
    pub fn incoming<C: Codec<T>, T>(&mut self) -> Result<Incoming<T>, Fault> {
        let opened = self.streams.as_mut().ok_or_else(Fault::no_stream)?;
        let flow = opened.ends.inflow.take().ok_or_else(Fault::no_stream)?;
        let port = Arc::clone(&opened.port);
        let about = (opened.id, ANSWER);
        Ok(Incoming::new(Receiver::new(port, flow, about, C::decode, self.limits)))
    }

    /// Where the items of the result go.
    ///
    /// # Errors
    /// When the method has no such stream, or it was taken.
    pub fn results(&mut self) -> Result<Results, Fault> {
        let opened = self.streams.as_mut().ok_or_else(Fault::no_stream)?;
        let flow = opened.ends.outflow.take().ok_or_else(Fault::no_stream)?;
        Ok(Results(Sink::new(Arc::clone(&opened.port), flow, opened.id, ANSWER)))
    }
}

/// Where a handler's stream of results goes.
pub struct Results(Sink);

impl Results {
    /// Sends all items of a stream that cannot fail by itself, and replies when they are sent.
    ///
    /// # Errors
    /// When one cannot be encoded.
    pub async fn send<C: Codec<S::Item>, S: Stream>(self, stream: S) -> Result<Reply, Fault> {
        let split = Ok::<_, Infallible>;
        match drive::<S, S::Item, Infallible, C>(stream, self.0, false, split).await {
            Driven::All => Reply::none(),
            Driven::Bad(error) => Err(Fault::bad_item(&error)),
            Driven::Failed(never) => match never {},
        }
    }

    /// The same for a stream that ends with its first error.
    ///
    /// # Errors
    /// When an item, or the error, cannot be encoded.
    pub async fn send_fallible<C, T, E, S>(self, stream: S) -> Result<Reply, Fault>
    where
        C: Codec<T>,
        E: Serialize,
        S: Stream<Item = Result<T, E>>,
    {
        match drive::<S, T, E, C>(stream, self.0, false, std::convert::identity).await {
            Driven::All => Reply::none(),
            Driven::Bad(error) => Err(Fault::bad_item(&error)),
            Driven::Failed(error) => Reply::error(&error),
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Results")
    }
}

impl Fault {
    #[cold]
    fn no_stream() -> Self {
        let failure = Failure::not_executed("the method has no such stream");
        Self { status: Status::BadArguments, failure }
    }

    #[cold]
    fn bad_item(error: &EncodeError) -> Self {
        let text = "an item of the stream";
        match error {
            EncodeError::TooLarge { limit, actual } => {
                let failure = Failure::not_executed(format!("{text} (in bytes)"));
                let failure = failure.executed(1).with_limit(*limit as u64, *actual as u64);
                Self { status: Status::TooLarge, failure }
            }
            EncodeError::Unsupported(_) => {
                let failure = Failure::not_executed(format!("{text}: {error}")).executed(1);
                Self { status: Status::BadResult, failure }
            }
        }
    }
}
