//! Calls with streams, from plain threads: sending an iterator beside a call, and receiving one in place of a value.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::turn::{Turn, Waited};
use super::{BlockingClient, Shared};
use crate::client::link::Link;
use crate::client::methods::Methods;
use crate::client::prepared::Prepared;
use crate::client::streams::bad_item;
use crate::connection::outbox::Message;
use crate::error::{CallError, ErrorKind, Outcome, RpcError};
use crate::protocol::calls::Answer;
use crate::stream::codec::Codec;
use crate::stream::inflow::Over;
use crate::stream::receiver::{Item, Receiver};
use crate::stream::sink::{Sink, Stopped};
use crate::stream::{Ends, Port};
use crate::wait::park::with_waker;
use crate::wire::payload::EncodeError;

impl Port for Arc<Shared> {
    fn send(&self, message: Message<'_>) {
        if let Some(blocked) = self.link.outbox.send(message) {
            with_waker(|waker| Turn::new(self, waker).leave(blocked));
        }
    }
}

/// A call with streams that is on its way.
pub(crate) struct BlockingStreaming {
    shared: Arc<Shared>,
    methods: Methods,
    index: u16,
    prepared: Prepared,
    ends: Ends,
    id: u64,
    /// Whether the server owes no answer any more.
    answered: bool,
}

impl BlockingStreaming {
    /// Sends the call.
    pub(crate) fn start(
        client: &BlockingClient,
        methods: &Methods,
        index: u16,
        mut prepared: Prepared,
    ) -> Result<Self, RpcError> {
        let shared = Arc::clone(&client.0);
        let methods = methods.clone();
        let ends = methods.open_streams(&shared.link, index);
        let id = with_waker(|waker| {
            let mut turn = Turn::new(&shared, waker);
            turn.tie(&mut prepared)?;
            let id = turn.start(&prepared)?;
            shared.link.streams.add(id, ends.clone());
            turn.keep(shared.link.send(id, &mut prepared));
            turn.finish(id, &prepared);
            Ok(id)
        });
        let id = id.map_err(|error| methods.failed(index, error))?;
        Ok(Self { shared, methods, index, prepared, ends, id, answered: false })
    }

    /// Waits until `look` finds something, the answer is there, or the time is over. It is given who is to be woken.
    fn wait<R>(
        &mut self,
        until: Option<Instant>,
        look: impl FnMut(&Waker) -> Option<R>,
    ) -> Result<Waited<R>, RpcError> {
        let (shared, prepared, id) = (&self.shared, &mut self.prepared, self.id);
        let sends = self.ends.outflow.is_some();
        let waited = with_waker(|waker| {
            let mut turn = Turn::new(shared, waker);
            // One that is cancelled already is given up like one that is cancelled now.
            let tied = turn.tie(prepared);
            if tied.is_err() && !prepared.is_cancelled() {
                return tied.map(|()| Waited::Nothing);
            }
            let waited = turn.wait_for(id, prepared, sends, until, look);
            self.answered = !matches!(waited, Ok(Waited::Found(_) | Waited::Nothing));
            turn.finish(id, prepared);
            waited
        });
        if self.answered {
            self.shared.link.streams.remove(self.id);
        }
        waited.map_err(|error| self.methods.failed(self.index, error))
    }

    fn sink(&self) -> Option<Sink> {
        let flow = self.ends.outflow.clone()?;
        Some(Sink::new(Arc::new(Arc::clone(&self.shared)), flow, self.id, 0))
    }

    /// Sends all items, and waits for the answer.
    pub(crate) fn upload<C, I>(mut self, items: I) -> Result<Answer, RpcError>
    where
        C: Codec<I::Item>,
        I: Iterator,
    {
        if let Some(sink) = self.sink() {
            let mut upload = Upload { sink, items, ended: false };
            loop {
                // Items are asked for with nothing of the connection in hand, as they may take their time.
                let went = with_waker(|waker| upload.go_on::<C>(waker, Some(Instant::now())));
                let waited = match went.map_err(|error| self.bad(&error))? {
                    Went::ToTheEnd => break,
                    // What has come meanwhile may say that no more is wanted.
                    Went::On => self.wait(Some(Instant::now()), |_| None)?,
                    Went::AsFarAsItGoes => {
                        self.wait(None, |waker| upload.may_go_on(waker).then_some(()))?
                    }
                };
                if let Waited::Answer(answer) = waited {
                    return Ok(answer);
                }
            }
        }
        loop {
            if let Waited::Answer(answer) = self.wait(None, |_| None::<()>)? {
                return Ok(answer);
            }
        }
    }

    fn bad(&self, error: &EncodeError) -> RpcError {
        self.methods.failed(self.index, bad_item(error).at(&self.shared.link.uri))
    }

    /// Gives what comes.
    pub(crate) fn open<C: Codec<T>, T, E>(self, opened: Opened<E>) -> Items<T, E> {
        let limits = self.shared.link.settings.limits.decode;
        let receiver = self.ends.inflow.clone().map(|flow| {
            let port = Arc::new(Arc::clone(&self.shared));
            Receiver::new(port, flow, (self.id, 0), C::decode, limits)
        });
        Items { receiver, answer: None, opened, streaming: Some(self) }
    }

    /// The same, with items that another thread sends meanwhile.
    pub(crate) fn converse<C, T, E, D, I>(
        self,
        items: I,
        opened: Opened<E>,
    ) -> Result<Items<T, E>, RpcError>
    where
        C: Codec<T>,
        D: Codec<I::Item>,
        I: Iterator + Send + 'static,
    {
        if let Some(sink) = self.sink() {
            let mut upload = Upload { sink, items, ended: false };
            let run = move || {
                with_waker(|waker| {
                    // One that cannot be encoded ends them; the server finds them broken off.
                    while let Ok(Went::AsFarAsItGoes) = upload.go_on::<D>(waker, None) {
                        thread::park();
                    }
                });
            };
            let thread = thread::Builder::new().name("ipcall-upload".to_owned());
            thread.spawn(run).map_err(|error| RpcError::io("starting a thread", error))?;
        }
        Ok(self.open::<C, T, E>(opened))
    }
}

/// The call is given up.
impl Drop for BlockingStreaming {
    fn drop(&mut self) {
        if let Some(outflow) = &self.ends.outflow {
            outflow.stop();
        }
        if self.answered {
            return;
        }
        let link = &self.shared.link;
        link.streams.remove(self.id);
        let (tell, next) = link.calls().abandon(self.id);
        next.into_iter().for_each(Waker::wake);
        if tell && let Some(blocked) = link.send_cancel(self.id) {
            with_waker(|waker| Turn::new(&self.shared, waker).leave(blocked));
        }
    }
}

/// Items on their way.
struct Upload<I> {
    sink: Sink,
    items: I,
    ended: bool,
}

/// How far they went.
enum Went {
    /// There are no more, or none is wanted.
    ToTheEnd,
    /// As far as there is room.
    AsFarAsItGoes,
    /// For some time.
    On,
}

/// How long items are sent before anything else is looked at, and gathered at most.
const TURN: Duration = Duration::from_millis(1);

impl<I: Iterator> Upload<I> {
    /// Sends items as far as there is room; since some time only for a [`TURN`].
    fn go_on<C: Codec<I::Item>>(
        &mut self,
        waker: &Waker,
        since: Option<Instant>,
    ) -> Result<Went, EncodeError> {
        while !self.ended {
            match self.sink.poll_ready(waker) {
                Poll::Pending => return Ok(Went::AsFarAsItGoes),
                Poll::Ready(Err(Stopped)) => return Ok(Went::ToTheEnd),
                Poll::Ready(Ok(())) => {}
            }
            match self.items.next() {
                Some(item) => self.sink.push(|out, limit| C::encode(&item, out, limit))?,
                None => self.ended = true,
            }
            let is_over = since.is_some_and(|since| since.elapsed() >= TURN);
            // The next one may come only much later.
            if is_over || self.items.size_hint().0 == 0 {
                self.sink.flush(waker);
            }
            if is_over {
                return Ok(Went::On);
            }
        }
        Ok(match self.sink.poll_finish(true, waker) {
            Poll::Ready(()) => Went::ToTheEnd,
            Poll::Pending => Went::AsFarAsItGoes,
        })
    }

    fn may_go_on(&mut self, waker: &Waker) -> bool {
        match self.ended {
            true => self.sink.poll_finish(true, waker).is_ready(),
            false => self.sink.poll_ready(waker).is_ready(),
        }
    }
}

/// What the answer at the end of a stream means.
pub(crate) type Opened<E> = crate::client::streams::Opened<E, super::Roles>;

/// The stream that a method gives, as a blocking caller has it: the items, and an error last if it is broken off.
///
/// It ends with `None` only where the handler's stream has ended. Its own error, where the method has
/// one, is a [`CallError::Method`]; that the call was cancelled, its time is up, the server is gone or an item could not be
/// read, a [`CallError::Rpc`]. After an error nothing comes.
///
/// The server is never further ahead than the client's `stream-window`, so that who does not read does not fill
/// its memory, and stops only this stream. Dropping it cancels the call. A deadline counts until the end of the stream.
#[must_use = "a stream that is dropped is cancelled"]
pub struct Items<T, E = std::convert::Infallible> {
    receiver: Option<Receiver<T>>,
    /// `None` when all is over.
    streaming: Option<BlockingStreaming>,
    /// The answer, which comes after all items.
    answer: Option<Answer>,
    opened: Opened<E>,
}

impl<T, E> Items<T, E> {
    fn finish(&mut self, error: Option<CallError<E>>) -> Option<Result<T, CallError<E>>> {
        (self.receiver, self.streaming) = (None, None);
        error.map(Err)
    }

    fn bad(&mut self, reason: String) -> Option<Result<T, CallError<E>>> {
        let error = RpcError::new(ErrorKind::Codec { reason }, Outcome::MaybeExecuted);
        let error = match &self.streaming {
            Some(streaming) => {
                let error = error.at(&streaming.shared.link.uri);
                streaming.methods.failed(streaming.index, error)
            }
            None => error,
        };
        self.finish(Some(error.into()))
    }
}

impl<T, E> Iterator for Items<T, E> {
    type Item = Result<T, CallError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut item = match &mut self.receiver {
            Some(receiver) => receiver.next(Waker::noop()),
            None => return None,
        };
        loop {
            match item {
                Item::Some(item) => return Some(Ok(item)),
                Item::Bad(error) => {
                    return self.bad(format!("an item of the stream cannot be decoded: {error}"));
                }
                Item::Over(Over::Failed(error)) => return self.finish(Some(error.into())),
                Item::Pending | Item::Over(Over::End) => {}
            }
            let (Some(receiver), Some(streaming)) = (&mut self.receiver, &mut self.streaming)
            else {
                return None;
            };
            if let Some(answer) = self.answer.take() {
                let link: &Link<_> = &streaming.shared.link;
                let ended = (self.opened)(&streaming.methods, link, streaming.index, answer);
                return self.finish(ended.err());
            }
            let look = |waker: &Waker| match receiver.next(waker) {
                Item::Pending | Item::Over(Over::End) => None,
                item => Some(item),
            };
            item = match streaming.wait(None, look) {
                Ok(Waited::Found(item)) => item,
                Ok(Waited::Nothing) => Item::Pending,
                Ok(Waited::Answer(answer)) => {
                    self.answer = Some(answer);
                    // The items before it are here.
                    receiver.next(Waker::noop())
                }
                Err(error) => return self.finish(Some(error.into())),
            };
        }
    }
}

impl<T, E> FusedIterator for Items<T, E> {}

impl<T, E> fmt::Debug for Items<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("over", &self.receiver.is_none()).finish_non_exhaustive()
    }
}
