//! Streams each way; the trait names `Stream` only for arguments.
#![deny(warnings)]

use ipcall::{Context, Incoming, Stream, ipc_service};

#[ipc_service]
pub trait Arguments {
    /// Counts.
    async fn count(&self, cx: &Context, items: impl Stream<Item = Vec<u8>>) -> u64;
    fn drain(&self, prefix: &str, items: impl Stream<Item = String>) -> Result<(), String>;
}

pub struct Counter;

impl Arguments for Counter {
    async fn count(&self, _: &Context, items: Incoming<Vec<u8>>) -> u64 {
        drop(items);
        0
    }

    fn drain(&self, prefix: &str, items: Incoming<String>) -> Result<(), String> {
        for item in items.blocking() {
            let _ = format!("{prefix}{}", item.map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

pub mod results {
    use ipcall::ipc_service;

    #[ipc_service]
    pub trait Results {
        fn lines(&self, path: &str) -> impl ipcall::Stream<Item = Result<String, u8>>;
        async fn blobs(&self) -> impl ipcall::Stream<Item = Option<Vec<u8>>>;
        fn echo(
            &self,
            items: impl ipcall::Stream<Item = u64>,
        ) -> impl ipcall::Stream<Item = u64>;
    }
}

pub fn is_send<T: Send>(_: T) {}

pub async fn calls(
    counter: ArgumentsClient,
    results: results::ResultsClient,
    items: impl Stream<Item = Vec<u8>> + Send,
    numbers: impl Stream<Item = u64> + Send + 'static,
) {
    is_send(counter.count(items));
    is_send(results.lines("path"));
    is_send(results.echo(numbers).await);
}

pub fn blocking_calls(counter: ArgumentsBlockingClient, results: results::ResultsBlockingClient) {
    let _ = counter.count([vec![1]]);
    let _ = counter.drain("", ["a".to_owned()]);
    let _ = results.echo(0..3).map(|items| items.count());
}

fn main() {
    let _ = (ArgumentsServer::new(Counter), is_send::<ArgumentsClient>);
}
