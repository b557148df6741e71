//! The service that most tests here call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ipcall::{Context, Server, ipc_service};
use serde::{Deserialize, Serialize};
use tokio::sync::{Barrier, Semaphore};

/// Not `Clone`: it is decoded once, and lent.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sheet {
    pub(crate) title: String,
    pub(crate) rows: Vec<(u32, f64)>,
}

/// A method's own error.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Odd { number: u32 },
}

/// What a handler knows of its call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) pid: Option<u32>,
    pub(crate) known_by: String,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) remaining: Option<Duration>,
}

#[ipc_service]
pub(crate) trait Workshop {
    async fn add(&self, a: u64, b: u64) -> u64;
    /// The sum, and the thread that made it.
    fn add_blocking(&self, a: u64, b: u64) -> (u64, String);
    #[ipc(inline)]
    fn add_inline(&self, a: u64, b: u64) -> u64;
    async fn add_twice(&self, a: u64, b: u64) -> u64 {
        self.add(a, b).await + self.add_inline(a, b)
    }
    #[ipc(idempotent)]
    async fn answer(&self) -> u64;

    #[ipc(oneway)]
    async fn note(&self, text: &str);
    #[ipc(oneway)]
    fn note_blocking(&self, text: &str);
    #[ipc(oneway, inline)]
    fn note_inline(&self, text: &str);
    async fn notes(&self) -> Vec<String>;

    async fn seen(&self, cx: &Context) -> Seen;
    fn seen_blocking(&self, cx: &Context) -> Seen;
    #[ipc(deadline = "200s")]
    async fn seen_in_time(&self, cx: &Context) -> Seen;

    async fn lent(&self, text: &str, bytes: &[u8], sheet: &Sheet, more: Option<&str>) -> String;
    fn lent_blocking(&self, text: &str, bytes: &[u8], sheet: &Sheet, more: Option<&str>) -> String;
    async fn halve(&self, number: u32) -> Result<u32, Fault>;
    fn halve_blocking(&self, number: u32) -> Result<u32, Fault>;
    async fn nothing(&self);
    async fn sheet(&self) -> Sheet;

    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
    async fn produce(&self, length: u64) -> Vec<u8>;
    async fn length(&self, text: &str) -> u64;

    /// Takes one of the permits that the test has put there.
    async fn wait(&self);
    /// The same without a reply.
    #[ipc(oneway)]
    async fn wait_oneway(&self);
    /// The same with large arguments.
    async fn wait_with(&self, data: &[u8]) -> u64;
    /// Ready when ten calls are there.
    async fn meet(&self);
    /// Never ready.
    async fn never(&self);
    #[ipc(deadline = "100ms")]
    async fn never_for_long(&self);

    async fn panic(&self, message: &str);
    async fn panic_later(&self, message: &str);
    fn panic_blocking(&self, message: &str);
    #[ipc(inline)]
    fn panic_inline(&self, message: &str);
}

/// What the tests and the handlers share.
pub(crate) struct State {
    /// Permits for [`Workshop::wait`].
    pub(crate) gate: Semaphore,
    barrier: Barrier,
    running: AtomicU32,
    most_running: AtomicU32,
    started: AtomicU32,
    ended: AtomicU32,
    notes: Mutex<Vec<String>>,
}

/// A handler that runs.
struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl State {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(0),
            barrier: Barrier::new(10),
            running: AtomicU32::new(0),
            most_running: AtomicU32::new(0),
            started: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            notes: Mutex::default(),
        })
    }

    /// A server that offers this.
    pub(crate) fn server(self: &Arc<Self>) -> Server {
        Server::new().add_service(WorkshopServer::from_arc(Arc::clone(self)))
    }

    fn run(&self) -> Running<'_> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        self.started.fetch_add(1, Ordering::SeqCst);
        Running(self)
    }

    /// Waiting handlers that run now.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    /// The most that ran at a time.
    pub(crate) fn most_running(&self) -> u32 {
        self.most_running.load(Ordering::SeqCst)
    }

    /// Waiting handlers that were started.
    pub(crate) fn started(&self) -> u32 {
        self.started.load(Ordering::SeqCst)
    }

    /// Waiting handlers that have ended, by themselves or dropped.
    pub(crate) fn ended(&self) -> u32 {
        self.ended.load(Ordering::SeqCst)
    }

    fn write_down(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }

    pub(crate) fn noted(&self) -> usize {
        self.notes.lock().unwrap().len()
    }

    async fn pass(&self) {
        let _running = self.run();
        self.gate.acquire().await.unwrap().forget();
    }

    async fn stay(&self) {
        let _running = self.run();
        std::future::pending().await
    }
}

fn seen(cx: &Context) -> Seen {
    Seen {
        method: cx.method().to_owned(),
        pid: cx.peer().pid,
        known_by: cx.peer().known_by.to_owned(),
        metadata: cx.metadata().to_vec(),
        remaining: cx.remaining(),
    }
}

fn lent(text: &str, bytes: &[u8], sheet: &Sheet, more: Option<&str>) -> String {
    format!("{text} {bytes:?} {} {} {more:?}", sheet.title, sheet.rows.len())
}

fn halve(number: u32) -> Result<u32, Fault> {
    if number.is_multiple_of(2) { Ok(number / 2) } else { Err(Fault::Odd { number }) }
}

impl Workshop for State {
    async fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn add_blocking(&self, a: u64, b: u64) -> (u64, String) {
        (a.wrapping_add(b), format!("{:?}", thread::current().id()))
    }

    fn add_inline(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    async fn answer(&self) -> u64 {
        42
    }

    async fn note(&self, text: &str) {
        self.write_down(text);
    }

    fn note_blocking(&self, text: &str) {
        self.write_down(text);
    }

    fn note_inline(&self, text: &str) {
        self.write_down(text);
    }

    async fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    async fn seen(&self, cx: &Context) -> Seen {
        seen(cx)
    }

    fn seen_blocking(&self, cx: &Context) -> Seen {
        seen(cx)
    }

    async fn seen_in_time(&self, cx: &Context) -> Seen {
        seen(cx)
    }

    async fn lent(&self, text: &str, bytes: &[u8], sheet: &Sheet, more: Option<&str>) -> String {
        lent(text, bytes, sheet, more)
    }

    fn lent_blocking(&self, text: &str, bytes: &[u8], sheet: &Sheet, more: Option<&str>) -> String {
        lent(text, bytes, sheet, more)
    }

    async fn halve(&self, number: u32) -> Result<u32, Fault> {
        halve(number)
    }

    fn halve_blocking(&self, number: u32) -> Result<u32, Fault> {
        halve(number)
    }

    async fn nothing(&self) {}

    async fn sheet(&self) -> Sheet {
        Sheet { title: "a title".to_owned(), rows: vec![(1, 0.5), (2, -1.0)] }
    }

    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }

    async fn produce(&self, length: u64) -> Vec<u8> {
        pattern(length as usize)
    }

    async fn length(&self, text: &str) -> u64 {
        text.len() as u64
    }

    async fn wait(&self) {
        self.pass().await;
    }

    async fn wait_oneway(&self) {
        self.pass().await;
    }

    async fn wait_with(&self, data: &[u8]) -> u64 {
        self.pass().await;
        data.len() as u64
    }

    async fn meet(&self) {
        self.barrier.wait().await;
    }

    async fn never(&self) {
        self.stay().await;
    }

    async fn never_for_long(&self) {
        self.stay().await;
    }

    async fn panic(&self, message: &str) {
        panic!("{message}");
    }

    async fn panic_later(&self, message: &str) {
        self.pass().await;
        panic!("{message}");
    }

    fn panic_blocking(&self, message: &str) {
        panic!("{message}");
    }

    fn panic_inline(&self, message: &str) {
        panic!("{message}");
    }
}

/// Bytes of which no two fragments are alike: their period is a prime.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..251).collect();
    let mut bytes = block.repeat(length / block.len() + 1);
    bytes.truncate(length);
    bytes
}
