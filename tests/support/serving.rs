//! A server in this process, in a thread of its own.

use std::future::Future;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ipcall::transport::Binder;
use ipcall::{Bound, Endpoint, RpcError, Server, ShutdownHandle, Stats};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};

/// How a server, or a client, waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// In a single-threaded tokio runtime.
    CurrentThread,
    /// In a multi-threaded tokio runtime.
    MultiThread,
    /// In plain threads.
    Threads,
}

impl Waits {
    pub(crate) const ALL: [Self; 3] = [Self::CurrentThread, Self::MultiThread, Self::Threads];
    /// Those in which the calls of one connection run concurrently.
    pub(crate) const TOKIO: [Self; 2] = [Self::CurrentThread, Self::MultiThread];

    pub(crate) fn serve(self, bound: Bound) -> Result<(), RpcError> {
        match self {
            Self::CurrentThread => current_thread().block_on(bound.serve()),
            Self::MultiThread => multi_thread().block_on(bound.serve()),
            Self::Threads => bound.serve_blocking(),
        }
    }
}

/// A CPU that this process may use.
pub(crate) fn cpu() -> usize {
    let usable = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).find(|&cpu| usable.is_set(cpu).unwrap()).unwrap()
}

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs an asynchronous client's part of a test.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    current_thread().block_on(future)
}

/// A server that is being served. Dropping it stops it and waits for its end.
pub(crate) struct Serving {
    stop: ShutdownHandle,
    stats: Arc<Stats>,
    thread: Option<JoinHandle<Result<(), RpcError>>>,
}

impl Serving {
    pub(crate) fn start(waits: Waits, server: Server, endpoint: &Endpoint) -> Self {
        Self::start_at(waits, server, &[endpoint])
    }

    pub(crate) fn start_at(waits: Waits, server: Server, endpoints: &[&Endpoint]) -> Self {
        let endpoints = endpoints.iter().map(|endpoint| *endpoint as &dyn Binder);
        Self::start_at_any(waits, server, endpoints)
    }

    /// The same at what need not be endpoints.
    pub(crate) fn start_at_any<'a>(
        waits: Waits,
        server: Server,
        binders: impl IntoIterator<Item = &'a dyn Binder>,
    ) -> Self {
        let bound = server.bind(binders).unwrap();
        let (stop, stats) = (bound.shutdown_handle(), bound.stats());
        let thread = Some(thread::spawn(move || waits.serve(bound)));
        Self { stop, stats, thread }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Tells it to stop.
    pub(crate) fn shutdown(&self) {
        self.stop.shutdown();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until it has stopped.
    pub(crate) fn join(mut self) {
        let thread = self.thread.take().expect("it is taken only here and when dropped");
        thread.join().unwrap().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.shutdown();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}
