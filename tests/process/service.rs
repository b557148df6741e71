//! The service that one process calls in another.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use ipcall::ipc_service;
use tokio::sync::Semaphore;

use crate::crash::{Fuse, Point};

#[ipc_service]
pub(crate) trait Post {
    async fn add(&self, a: u64, b: u64) -> u64;
    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
    /// So many bytes.
    async fn produce(&self, length: u64) -> Vec<u8>;
    /// Returns when the test says `open`.
    async fn wait(&self) -> u64;
    /// Never returns.
    async fn never(&self);
    /// The server's process.
    #[ipc(inline)]
    fn pid(&self) -> u32;
    #[ipc(oneway, inline)]
    fn note(&self, text: &str);
}

/// What is behind it.
pub(crate) struct Office {
    pub(crate) gate: Semaphore,
    reports: Mutex<UnixStream>,
    fuse: Option<Arc<Fuse>>,
}

/// Says when a handler is dropped, by itself or not.
struct Handler<'a>(&'a Office);

impl Drop for Handler<'_> {
    fn drop(&mut self) {
        self.0.report("ended");
    }
}

impl Office {
    pub(crate) fn new(reports: UnixStream) -> Self {
        Self { gate: Semaphore::new(0), reports: Mutex::new(reports), fuse: None }
    }

    /// The same with a process that is killed while it works.
    pub(crate) fn with_fuse(self, fuse: Arc<Fuse>) -> Self {
        Self { fuse: Some(fuse), ..self }
    }

    /// Says something to the test, if that is still there.
    pub(crate) fn report(&self, line: &str) {
        let _ = writeln!(self.reports.lock().unwrap(), "{line}");
    }

    fn handle(&self) -> Handler<'_> {
        self.report("started");
        Handler(self)
    }
}

impl Post for Office {
    async fn add(&self, a: u64, b: u64) -> u64 {
        if let Some(fuse) = &self.fuse {
            fuse.pass(Point::Working);
        }
        a.wrapping_add(b)
    }

    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }

    async fn produce(&self, length: u64) -> Vec<u8> {
        self.report("producing");
        vec![7; length as usize]
    }

    async fn wait(&self) -> u64 {
        let _handler = self.handle();
        self.gate.acquire().await.unwrap().forget();
        7
    }

    async fn never(&self) {
        let _handler = self.handle();
        std::future::pending().await
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn note(&self, text: &str) {
        assert!(!text.is_empty());
    }
}
