//! Streams of items, each way: how many a second, in order, and in how much memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ipcall::{CallError, ConnectOptions, Endpoint, Stream};
use serde::Serialize;

use crate::client::{Failure, PATIENCE, other_process};
use crate::report::Usage;
use crate::server::{Running, runtime};
use crate::service::{BenchBlockingClient, BenchClient};
use crate::{ClientKind, Options, machine, word};

/// Items between two looks at the clock.
const LOOK: u64 = 256;

/// The item with this number: its bytes begin with it, as far as there is room.
pub(crate) fn item(number: u64, size: usize) -> Vec<u8> {
    let mut item = vec![number as u8; size];
    let head = size.min(8);
    item[..head].copy_from_slice(&number.to_le_bytes()[..head]);
    item
}

/// Checks that an item is the one with this number.
pub(crate) fn check(got: &[u8], number: u64, size: usize) {
    let head = size.min(8);
    let is_it = got.len() == size
        && got[..head] == number.to_le_bytes()[..head]
        && got.last().is_none_or(|last| size <= 8 || *last == number as u8);
    assert!(is_it, "item {number} is another, or is missing");
}

/// Items until there are so many, or the time is over.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    next: u64,
    count: u64,
    size: usize,
    until: Option<Instant>,
}

impl Items {
    pub(crate) fn new(size: usize, count: u64, until: Option<Instant>) -> Self {
        Self { next: 0, count, size, until }
    }
}

impl Iterator for Items {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let looks = self.next.is_multiple_of(LOOK);
        let is_over = looks && self.until.is_some_and(|until| until <= Instant::now());
        if self.next == self.count || is_over {
            return None;
        }
        self.next += 1;
        Some(item(self.next - 1, self.size))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.next < self.count), None)
    }
}

impl Stream for Items {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        Poll::Ready(self.next())
    }
}

/// The next item of a stream.
pub(crate) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// What a run gives.
#[derive(Debug, Serialize)]
pub(crate) struct StreamReport {
    transport: String,
    op: String,
    direction: &'static str,
    size: usize,
    items: u64,
    seconds: f64,
    items_per_s: f64,
    mb_per_s: f64,
    client_cpu_s: f64,
    server_cpu_s: Option<f64>,
    client_rss_kib: Option<u64>,
    server_rss_kib: Option<u64>,
    client: String,
    server: String,
    pin: String,
}

impl StreamReport {
    fn new(options: &Options, items: u64, took: Duration, usage: Usage) -> Self {
        let seconds = took.as_secs_f64();
        let (client_cpu_s, server_cpu_s, server_rss_kib) = usage.numbers();
        Self {
            transport: options.transport.clone(),
            op: word(&options.op),
            direction: if options.up { "up" } else { "down" },
            size: options.size,
            items,
            seconds,
            items_per_s: (items as f64 / seconds).round(),
            mb_per_s: (items as f64 * options.size as f64 / seconds / 1e5).round() / 10.0,
            client_cpu_s,
            server_cpu_s,
            client_rss_kib: machine::resident_kib(std::process::id()),
            server_rss_kib,
            client: word(&options.client),
            server: word(&options.server),
            pin: word(&options.pin),
        }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("a report is plain data"));
            return;
        }
        println!(
            "{} stream {} (client {}, server {}, pin {}): {} items of {} B in {:.1} s: {:.0} a second, {:.1} MB/s",
            self.transport,
            self.direction,
            self.client,
            self.server,
            self.pin,
            self.items,
            self.size,
            self.seconds,
            self.items_per_s,
            self.mb_per_s,
        );
        let kib = |kib: Option<u64>| kib.map_or_else(|| "?".to_owned(), |kib| kib.to_string());
        let (client, server) = (kib(self.client_rss_kib), kib(self.server_rss_kib));
        println!("  memory, KiB: client {client}  server {server}");
    }
}

/// Runs a server and measures a stream from it, or to it.
pub(crate) fn run(
    options: &Options,
    server: &Running,
    endpoint: &Endpoint,
) -> Result<StreamReport, Failure> {
    match options.client {
        ClientKind::Blocking => blocking(options, server, endpoint),
        kind => {
            let runtime = runtime(kind == ClientKind::AsyncMt)?;
            let main = asynchronous(options.clone(), server.process_id(), endpoint.clone());
            if kind == ClientKind::AsyncMt {
                runtime.block_on(async { tokio::spawn(main).await })?
            } else {
                runtime.block_on(main)
            }
        }
    }
}

/// How many items, and until when.
fn limits(options: &Options, seconds: f64) -> (u64, Option<Instant>) {
    match options.items {
        Some(items) => (items, None),
        None => (u64::MAX, Some(Instant::now() + Duration::from_secs_f64(seconds))),
    }
}

async fn asynchronous(
    options: Options,
    server: Option<u32>,
    endpoint: Endpoint,
) -> Result<StreamReport, Failure> {
    let wait = ConnectOptions::new().wait_for_server(PATIENCE);
    let client = BenchClient::connect_with(&endpoint, &wait).await?;
    let server = server.or_else(|| other_process(client.client().peer()));
    let size = options.size;
    let pass = async |seconds: f64| {
        let (count, until) = limits(&options, seconds);
        if options.up {
            return client.take(size, Items::new(size, count, until)).await;
        }
        let mut items = client.give(size, count).await?;
        let mut number = 0;
        while let Some(got) = next(&mut items).await {
            check(&got?, number, size);
            number += 1;
            if number.is_multiple_of(LOOK) && until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
        }
        Ok::<_, CallError>(number)
    };
    if options.items.is_none() {
        pass(options.warmup).await?;
    }
    let (before, begun) = (Usage::now(server), Instant::now());
    let items = pass(options.seconds).await?;
    let (took, usage) = (begun.elapsed(), before.until_now(server));
    Ok(StreamReport::new(&options, items, took, usage))
}

fn blocking(
    options: &Options,
    server: &Running,
    endpoint: &Endpoint,
) -> Result<StreamReport, Failure> {
    let wait = ConnectOptions::new().wait_for_server(PATIENCE);
    let client = BenchBlockingClient::connect_with(endpoint, &wait)?;
    let server = server.process_id().or_else(|| other_process(client.client().peer()));
    let size = options.size;
    let pass = |seconds: f64| {
        let (count, until) = limits(options, seconds);
        if options.up {
            return client.take(size, Items::new(size, count, until));
        }
        let mut number = 0;
        for got in client.give(size, count)? {
            check(&got?, number, size);
            number += 1;
            if number.is_multiple_of(LOOK) && until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
        }
        Ok::<_, CallError>(number)
    };
    if options.items.is_none() {
        pass(options.warmup)?;
    }
    let (before, begun) = (Usage::now(server), Instant::now());
    let items = pass(options.seconds)?;
    let (took, usage) = (begun.elapsed(), before.until_now(server));
    Ok(StreamReport::new(options, items, took, usage))
}
