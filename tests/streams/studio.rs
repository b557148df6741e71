//! A service with streams each way.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use ipcall::{Context, Incoming, RpcError, Server, Stream, ipc_service};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shot {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mishap {
    FilmIsOut(u64),
}

#[ipc_service]
pub(crate) trait Studio {
    async fn add(&self, a: u64, b: u64) -> u64;

    /// From `from` on, `count` of them.
    fn numbers(&self, from: u64, count: u64) -> impl Stream<Item = u64>;
    /// What cannot be told from numbers by its length.
    fn shots(&self, title: &str, sizes: Vec<usize>) -> impl Stream<Item = Shot>;
    /// Byte strings.
    fn reels(&self, count: u64, size: usize) -> impl Stream<Item = Vec<u8>>;
    /// Numbers until `fail_at`, which fails.
    async fn fragile(&self, cx: &Context, fail_at: u64) -> impl Stream<Item = Result<u64, Mishap>>;
    /// Numbers without end.
    fn endless(&self) -> impl Stream<Item = u64>;
    /// None, and no end.
    fn silent(&self) -> impl Stream<Item = u64>;
    /// One that is `size` bytes large.
    fn large(&self, size: usize) -> impl Stream<Item = Vec<u8>>;

    /// Adds up what comes, times `factor`.
    async fn sum(&self, factor: u64, numbers: impl Stream<Item = u64>) -> u64;
    /// The same in a thread that waits.
    fn sum_blocking(&self, numbers: impl Stream<Item = u64>, factor: u64) -> u64;
    /// Counts the bytes, until there are `most`.
    async fn store(&self, reels: impl Stream<Item = Vec<u8>>, most: u64) -> Result<u64, Mishap>;
    /// Takes a few and then no more.
    async fn taste(&self, few: u64, numbers: impl Stream<Item = u64>) -> u64;
    /// Takes none, and goes on.
    async fn decline(&self, numbers: impl Stream<Item = u64>);
    /// Takes none, until it is cancelled.
    async fn starve(&self, numbers: impl Stream<Item = u64>);
    /// Gives back what it gets, doubled.
    fn double(&self, numbers: impl Stream<Item = u64>) -> impl Stream<Item = u64>;
}

/// What the tests and the handlers share.
#[derive(Default)]
pub(crate) struct State {
    /// Items that streams have been asked for.
    pub(crate) made: AtomicU64,
    /// Handlers' streams that are gone.
    pub(crate) dropped: AtomicU64,
    /// Streams of arguments that were broken off, and how the last was.
    pub(crate) broken: Mutex<(u64, Option<RpcError>)>,
}

impl State {
    pub(crate) fn server(self: &Arc<Self>) -> Server {
        Server::new().add_service(StudioServer::new(Film(Arc::clone(self))))
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    pub(crate) fn broken(&self) -> u64 {
        self.broken.lock().unwrap().0
    }
}

struct Film(Arc<State>);

/// A stream from an iterator that is never waited for.
pub(crate) struct Iter<I> {
    items: I,
    state: Option<Arc<State>>,
}

impl<I> Unpin for Iter<I> {}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<I::Item>> {
        if let Some(state) = &self.state {
            state.made.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(self.items.next())
    }
}

impl<I> Drop for Iter<I> {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(crate) fn iter<I: IntoIterator>(items: I) -> Iter<I::IntoIter> {
    Iter { items: items.into_iter(), state: None }
}

/// The same, of which the test is told.
pub(crate) fn told<I: IntoIterator>(state: &Arc<State>, items: I) -> Iter<I::IntoIter> {
    Iter { items: items.into_iter(), state: Some(Arc::clone(state)) }
}

/// The next item of a stream.
pub(crate) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// All items, and how it has ended.
pub(crate) async fn all<T, E>(
    mut stream: impl Stream<Item = Result<T, E>> + Unpin,
) -> (Vec<T>, Option<E>) {
    let mut items = Vec::new();
    loop {
        match next(&mut stream).await {
            Some(Ok(item)) => items.push(item),
            Some(Err(error)) => {
                assert!(next(&mut stream).await.is_none(), "after an error nothing comes");
                return (items, Some(error));
            }
            None => return (items, None),
        }
    }
}

impl Film {
    fn note(&self, error: RpcError) {
        let mut broken = self.0.broken.lock().unwrap();
        *broken = (broken.0 + 1, Some(error));
    }
}

impl Studio for Film {
    async fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    fn numbers(&self, from: u64, count: u64) -> impl Stream<Item = u64> {
        told(&self.0, from..from + count)
    }

    fn shots(&self, title: &str, sizes: Vec<usize>) -> impl Stream<Item = Shot> {
        let title = title.to_owned();
        iter((0..).zip(sizes).map(move |(number, size)| Shot {
            number,
            title: title.clone(),
            data: vec![number as u8; size],
        }))
    }

    fn reels(&self, count: u64, size: usize) -> impl Stream<Item = Vec<u8>> {
        iter((0..count).map(move |number| vec![number as u8; size]))
    }

    async fn fragile(&self, cx: &Context, fail_at: u64) -> impl Stream<Item = Result<u64, Mishap>> {
        assert_eq!(cx.method(), "fragile");
        tokio_free_pause().await;
        iter((0..).map(move |n| if n == fail_at { Err(Mishap::FilmIsOut(n)) } else { Ok(n) }))
    }

    fn endless(&self) -> impl Stream<Item = u64> {
        told(&self.0, 0..)
    }

    fn silent(&self) -> impl Stream<Item = u64> {
        struct Silent(Arc<State>);
        impl Stream for Silent {
            type Item = u64;
            fn poll_next(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<u64>> {
                self.0.made.fetch_add(1, Ordering::SeqCst);
                Poll::Pending
            }
        }
        impl Drop for Silent {
            fn drop(&mut self) {
                self.0.dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
        Silent(Arc::clone(&self.0))
    }

    fn large(&self, size: usize) -> impl Stream<Item = Vec<u8>> {
        iter([vec![1], vec![7; size], vec![2]])
    }

    async fn sum(&self, factor: u64, mut numbers: Incoming<u64>) -> u64 {
        let mut sum = 0;
        while let Some(number) = next(&mut numbers).await {
            sum += number.unwrap();
        }
        sum * factor
    }

    fn sum_blocking(&self, numbers: Incoming<u64>, factor: u64) -> u64 {
        let mut sum = 0;
        for number in numbers.blocking() {
            match number {
                Ok(number) => sum += number,
                Err(error) => self.note(error),
            }
        }
        sum * factor
    }

    async fn store(&self, mut reels: Incoming<Vec<u8>>, most: u64) -> Result<u64, Mishap> {
        let mut bytes = 0;
        while let Some(reel) = next(&mut reels).await {
            bytes += reel.unwrap().len() as u64;
            if bytes > most {
                return Err(Mishap::FilmIsOut(bytes));
            }
        }
        Ok(bytes)
    }

    async fn taste(&self, few: u64, mut numbers: Incoming<u64>) -> u64 {
        let mut sum = 0;
        for _ in 0..few {
            sum += next(&mut numbers).await.unwrap().unwrap();
        }
        drop(numbers);
        sum
    }

    async fn decline(&self, numbers: Incoming<u64>) {
        drop(numbers);
        std::future::pending::<()>().await;
    }

    async fn starve(&self, numbers: Incoming<u64>) {
        self.0.made.fetch_add(1, Ordering::SeqCst);
        let _guard = told(&self.0, [0; 0]);
        std::future::pending::<()>().await;
        drop(numbers);
    }

    fn double(&self, numbers: Incoming<u64>) -> impl Stream<Item = u64> {
        struct Double(Incoming<u64>);
        impl Stream for Double {
            type Item = u64;
            fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<u64>> {
                Pin::new(&mut self.0).poll_next(cx).map(|number| Some(2 * number?.unwrap()))
            }
        }
        Double(numbers)
    }
}

/// Pending once.
async fn tokio_free_pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
