//! Sending all items of a stream, as they come and as there is room.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::codec::Codec;
use super::sink::{Sink, Stopped};
use crate::wire::payload::EncodeError;

/// How the sending of a stream has ended.
#[derive(Debug)]
pub(crate) enum Driven<E> {
    /// With its end, or because no more was wanted.
    All,
    /// With an error of its own, after the items before it.
    Failed(E),
    /// With an item that cannot be sent.
    Bad(EncodeError),
}

/// Sends all items of `stream`, and with `end` that this was all. `split` tells an item from an error.
pub(crate) async fn drive<S: Stream, T, E, C: Codec<T>>(
    stream: S,
    mut sink: Sink,
    end: bool,
    split: impl Fn(S::Item) -> Result<T, E>,
) -> Driven<E> {
    let mut stream = pin!(stream);
    let mut driven = None;
    std::future::poll_fn(move |cx| {
        if driven.is_none() {
            driven = Some(ready!(poll_items::<S, T, E, C>(stream.as_mut(), &mut sink, &split, cx)));
        }
        let end = end && matches!(driven, Some(Driven::All));
        ready!(sink.poll_finish(end, cx.waker()));
        Poll::Ready(driven.take().unwrap_or(Driven::All))
    })
    .await
}

/// Gathers items until there are no more, or there is nothing to do now.
#[inline]
fn poll_items<S: Stream, T, E, C: Codec<T>>(
    mut stream: Pin<&mut S>,
    sink: &mut Sink,
    split: &impl Fn(S::Item) -> Result<T, E>,
    cx: &mut Context<'_>,
) -> Poll<Driven<E>> {
    loop {
        if let Err(Stopped) = ready!(sink.poll_ready(cx.waker())) {
            return Poll::Ready(Driven::All);
        }
        let item = match stream.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => item,
            Poll::Ready(None) => return Poll::Ready(Driven::All),
            Poll::Pending => {
                sink.flush(cx.waker());
                return Poll::Pending;
            }
        };
        match split(item) {
            Ok(item) => {
                if let Err(error) = sink.push(|out, limit| C::encode(&item, out, limit)) {
                    return Poll::Ready(Driven::Bad(error));
                }
            }
            Err(error) => return Poll::Ready(Driven::Failed(error)),
        }
    }
}
