//! What a handler has of a stream that it is given.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use futures_core::Stream;

use super::inflow::Over;
use super::receiver::{Item, Receiver};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::wait::park::with_waker;

/// A stream that the caller sends beside a call: what a handler gets for an argument `impl Stream<Item = T>`.
///
/// It ends with `None` only if the caller's stream has ended. If it is broken off instead, because the call is
/// cancelled, its time is up, or the caller is gone, the last item is an error; an item that cannot be read is one, too.
/// An `async` handler is dropped in the former cases, unless its method is `no_cancel`.
///
/// The caller is never further ahead than the endpoint's `stream-window`, so that who does not read does not
/// fill its memory. Dropping it tells the caller that no more is wanted, which is no error.
///
/// Cancel safe: an item that was not returned comes next.
pub struct Incoming<T> {
    receiver: Option<Receiver<T>>,
}

impl<T> Incoming<T> {
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver: Some(receiver) }
    }

    /// The next item, as with the `StreamExt` of several crates. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<T, RpcError>> {
        std::future::poll_fn(|cx| self.poll(cx.waker())).await
    }

    /// For a plain `fn`: an iterator that waits for each item.
    pub fn blocking(self) -> BlockingIncoming<T> {
        BlockingIncoming(self)
    }

    fn poll(&mut self, waker: &Waker) -> Poll<Option<Result<T, RpcError>>> {
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(None) };
        let last = match receiver.next(waker) {
            Item::Some(item) => return Poll::Ready(Some(Ok(item))),
            Item::Pending => return Poll::Pending,
            Item::Over(Over::End) => None,
            Item::Over(Over::Failed(error)) => Some(Err(error)),
            Item::Bad(error) => {
                receiver.stop();
                let reason = format!("an item of the stream cannot be decoded: {error}");
                Some(Err(RpcError::new(ErrorKind::Codec { reason }, Outcome::MaybeExecuted)))
            }
        };
        self.receiver = None;
        Poll::Ready(last)
    }
}

impl<T> Stream for Incoming<T> {
    type Item = Result<T, RpcError>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx.waker())
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("over", &self.receiver.is_none()).finish_non_exhaustive()
    }
}

impl<T> Drop for Incoming<T> {
    fn drop(&mut self) {
        if let Some(receiver) = &self.receiver {
            receiver.stop();
        }
    }
}

/// The items of an [`Incoming`], for a thread that waits for them.
pub struct BlockingIncoming<T>(Incoming<T>);

impl<T> Iterator for BlockingIncoming<T> {
    type Item = Result<T, RpcError>;

    fn next(&mut self) -> Option<Self::Item> {
        with_waker(|waker| {
            loop {
                match self.0.poll(waker) {
                    Poll::Ready(item) => return item,
                    Poll::Pending => thread::park(),
                }
            }
        })
    }
}

impl<T> fmt::Debug for BlockingIncoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
