//! Calls with streams, from async code: sending a stream beside a call, and receiving one in place of a value.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::client::Shared;
use crate::client::call::Call;
use crate::client::link::Link;
use crate::client::methods::Methods;
use crate::connection::outbox::Message;
use crate::error::{CallError, ErrorKind, Outcome, RpcError};
use crate::protocol::calls::Answer;
use crate::stream::codec::Codec;
use crate::stream::drive::{Driven, drive};
use crate::stream::inflow::Over;
use crate::stream::receiver::{Item, Receiver};
use crate::stream::sink::Sink;
use crate::stream::{Ends, Port};
use crate::wire::payload::EncodeError;

/// What the answer at the end of a stream means.
pub(crate) type Opened<E, R = ()> = fn(&Methods, &Link<R>, u16, Answer) -> Result<(), CallError<E>>;

/// Sends a stream beside a call, until it has ended or no more is wanted.
type Pump = Pin<Box<dyn Future<Output = Result<(), EncodeError>> + Send>>;

impl Port for Arc<Shared> {
    fn send(&self, message: Message<'_>) {
        let blocked = self.link.outbox.send(message);
        self.go_on(blocked);
    }
}

/// A call with streams, as its stub makes it.
pub(crate) struct Streaming {
    pub(crate) shared: Arc<Shared>,
    pub(crate) methods: Methods,
    pub(crate) index: u16,
    pub(crate) call: Call<Arc<Shared>>,
    pub(crate) ends: Ends,
}

impl Streaming {
    /// Where the items of the argument go.
    fn sink(&mut self, id: u64) -> Option<Sink> {
        let flow = self.ends.outflow.take()?;
        Some(Sink::new(Arc::new(Arc::clone(&self.shared)), flow, id, 0))
    }

    fn failed(&self, error: RpcError) -> RpcError {
        self.methods.failed(self.index, error)
    }

    /// Sends all of `stream`, and waits for the answer.
    pub(crate) async fn upload<C, S>(mut self, stream: S) -> Result<Answer, RpcError>
    where
        C: Codec<S::Item>,
        S: Stream,
    {
        let id = std::future::poll_fn(|cx| self.call.poll_sent(cx)).await;
        let id = id.map_err(|error| self.failed(error))?;
        let mut pump = pin!(self.sink(id).map(|sink| pump::<C, S>(stream, sink)));
        let answer = std::future::poll_fn(|cx| {
            if let Some(pumping) = pump.as_mut().as_pin_mut()
                && let Poll::Ready(sent) = pumping.poll(cx)
            {
                pump.set(None);
                if let Err(error) = sent {
                    return Poll::Ready(Err(bad_item(&error).at(&self.shared.link.uri)));
                }
            }
            Pin::new(&mut self.call).poll(cx)
        });
        match answer.await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(RpcError::not_executed(ErrorKind::Cancelled)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Waits until the call is sent, and gives what comes.
    pub(crate) async fn open<C, T, E>(
        mut self,
        opened: Opened<E>,
    ) -> Result<ItemStream<T, E>, RpcError>
    where
        C: Codec<T>,
    {
        let id = std::future::poll_fn(|cx| self.call.poll_sent(cx)).await;
        let id = id.map_err(|error| self.failed(error))?;
        Ok(self.receive::<C, T, E>(id, None, opened))
    }

    /// The same, with a stream that is sent while what comes is waited for.
    pub(crate) async fn converse<C, T, E, D, S>(
        mut self,
        stream: S,
        opened: Opened<E>,
    ) -> Result<ItemStream<T, E>, RpcError>
    where
        C: Codec<T>,
        D: Codec<S::Item> + 'static,
        S: Stream + Send + 'static,
        S::Item: Send,
    {
        let id = std::future::poll_fn(|cx| self.call.poll_sent(cx)).await;
        let id = id.map_err(|error| self.failed(error))?;
        let pump = self.sink(id).map(|sink| Box::pin(pump::<D, S>(stream, sink)) as Pump);
        Ok(self.receive::<C, T, E>(id, pump, opened))
    }

    fn receive<C: Codec<T>, T, E>(
        self,
        id: u64,
        pump: Option<Pump>,
        opened: Opened<E>,
    ) -> ItemStream<T, E> {
        let limits = self.shared.link.settings.limits.decode;
        let receiver = self.ends.inflow.clone().map(|flow| {
            let port = Arc::new(Arc::clone(&self.shared));
            Receiver::new(port, flow, (id, 0), C::decode, limits)
        });
        ItemStream { receiver, answer: None, pump, opened, streaming: Some(self) }
    }
}

async fn pump<C: Codec<S::Item>, S: Stream>(stream: S, sink: Sink) -> Result<(), EncodeError> {
    let split = Ok::<_, std::convert::Infallible>;
    match drive::<S, S::Item, std::convert::Infallible, C>(stream, sink, true, split).await {
        Driven::All => Ok(()),
        Driven::Bad(error) => Err(error),
        Driven::Failed(never) => match never {},
    }
}

/// The error of an item that cannot be sent.
pub(crate) fn bad_item(error: &EncodeError) -> RpcError {
    let kind = match error {
        EncodeError::TooLarge { limit, actual } => ErrorKind::TooLarge {
            what: "an item of the stream (in bytes)".to_owned(),
            limit: *limit as u64,
            actual: *actual as u64,
        },
        other => {
            ErrorKind::Codec { reason: format!("an item of the stream cannot be encoded: {other}") }
        }
    };
    RpcError::new(kind, Outcome::MaybeExecuted)
}

/// The stream that a method gives, as its caller has it: the items, and an error last if it is broken off.
///
/// It ends with `None` only where the handler's stream has ended. Its own error, where the method has
/// one, is a [`CallError::Method`]; that the call was cancelled, its time is up, the server is gone or an item could not be
/// read, a [`CallError::Rpc`]. After an error nothing comes.
///
/// The server is never further ahead than the client's `stream-window`, so that who does not read does not fill
/// its memory, and stops only this stream. Dropping it cancels the call. A deadline counts until the end of the stream.
///
/// Cancel safe: an item that was not returned comes next.
#[must_use = "a stream that is dropped is cancelled"]
pub struct ItemStream<T, E = std::convert::Infallible> {
    receiver: Option<Receiver<T>>,
    /// `None` when all is over.
    streaming: Option<Streaming>,
    /// The answer, which comes after all items.
    answer: Option<Result<Answer, RpcError>>,
    pump: Option<Pump>,
    opened: Opened<E>,
}

impl<T, E> Unpin for ItemStream<T, E> {}

impl<T, E> ItemStream<T, E> {
    /// The next item, as with the `StreamExt` of several crates. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<T, CallError<E>>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn finish(&mut self, error: Option<CallError<E>>) -> Option<Result<T, CallError<E>>> {
        (self.receiver, self.pump, self.streaming) = (None, None, None);
        error.map(Err)
    }

    /// The answer, when it is there.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, RpcError>> {
        let Some(streaming) = &mut self.streaming else { return Poll::Pending };
        let ended = ready!(Pin::new(&mut streaming.call).poll(cx));
        Poll::Ready(match ended {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(RpcError::not_executed(ErrorKind::Cancelled)),
            Err(error) => Err(streaming.failed(error)),
        })
    }

    /// What the answer means.
    fn ended(&mut self, answer: Result<Answer, RpcError>) -> Option<Result<T, CallError<E>>> {
        let Some(streaming) = &self.streaming else { return None };
        let (link, methods, index) = (&streaming.shared.link, &streaming.methods, streaming.index);
        let error = match answer {
            Ok(answer) => (self.opened)(methods, link, index, answer).err(),
            Err(error) => Some(error.into()),
        };
        self.finish(error)
    }
}

impl<T, E> Stream for ItemStream<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(receiver) = &mut this.receiver else { return Poll::Ready(None) };
            match receiver.next(cx.waker()) {
                Item::Some(item) => return Poll::Ready(Some(Ok(item))),
                Item::Bad(error) => {
                    let reason = format!("an item of the stream cannot be decoded: {error}");
                    let error = RpcError::new(ErrorKind::Codec { reason }, Outcome::MaybeExecuted);
                    let streaming = this.streaming.as_ref();
                    let error = streaming
                        .map(|streaming| {
                            streaming.failed(error.clone()).at(&streaming.shared.link.uri)
                        })
                        .unwrap_or(error);
                    return Poll::Ready(this.finish(Some(error.into())));
                }
                Item::Pending | Item::Over(Over::End) => {}
                Item::Over(Over::Failed(error)) => {
                    return Poll::Ready(this.finish(Some(error.into())));
                }
            }
            if let Some(answer) = this.answer.take() {
                return Poll::Ready(this.ended(answer));
            }
            if let Some(pump) = &mut this.pump
                && let Poll::Ready(sent) = pump.as_mut().poll(cx)
            {
                this.pump = None;
                if let Err(error) = sent {
                    return Poll::Ready(this.finish(Some(bad_item(&error).into())));
                }
            }
            // The items before it are here when the answer is; they are looked for once more.
            this.answer = Some(ready!(this.poll_answer(cx)));
        }
    }
}

impl<T, E> fmt::Debug for ItemStream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("over", &self.receiver.is_none()).finish_non_exhaustive()
    }
}
