//! The service of these tests, and the process that serves it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use ipcall::{Endpoint, Server, ipc_service};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::role::{Control, Process};
use crate::support::subject::between_processes;
use crate::support::{Serving, Subject, Waits, is_gone};

/// How long something may take that should take no time, on a machine that does other things besides.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// Bytes that no socket takes in at once.
pub(crate) const LARGE: usize = 32 << 20;

#[ipc_service]
pub(crate) trait Yard {
    #[ipc(inline)]
    fn add(&self, a: u64, b: u64) -> u64;
    async fn length(&self, data: &[u8]) -> u64;
    async fn produce(&self, length: u64) -> Vec<u8>;
    /// Ends when the test says `open`. It tells the test that it has started, and how it has ended.
    async fn stay(&self) -> u64;
}

struct Keeper {
    gate: Semaphore,
    out: UnixStream,
}

/// A handler that runs.
struct Staying<'a> {
    keeper: &'a Keeper,
    end: &'static [u8],
}

impl Keeper {
    /// In one write, since several may speak at a time.
    fn tell(&self, line: &[u8]) {
        // Who does not listen any more is the test's end.
        let _ = (&self.out).write_all(line);
    }
}

impl Drop for Staying<'_> {
    fn drop(&mut self) {
        self.keeper.tell(self.end);
    }
}

impl Yard for Keeper {
    fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    async fn length(&self, data: &[u8]) -> u64 {
        data.len() as u64
    }

    async fn produce(&self, length: u64) -> Vec<u8> {
        self.tell(b"producing\n");
        vec![7; length as usize]
    }

    async fn stay(&self) -> u64 {
        let mut staying = Staying { keeper: self, end: b"dropped\n" };
        self.tell(b"started\n");
        self.gate.acquire().await.unwrap().forget();
        staying.end = b"done\n";
        17
    }
}

/// What a server is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) uri: String,
    /// In plain threads, or else in a single-threaded runtime.
    pub(crate) threads: bool,
    pub(crate) connections: u32,
}

impl Orders {
    pub(crate) fn new(endpoint: &Endpoint, threads: bool) -> Self {
        Self { uri: endpoint.uri().to_owned(), threads, connections: 100 }
    }

    /// Starts a process that does as told; clients can come.
    pub(crate) fn start(&self) -> Process {
        let mut process = Process::start("server", &serde_json::to_string(self).unwrap());
        assert_eq!(process.hear(), "ready");
        process
    }
}

/// The role of a server: stops when told so, or when the test has ended.
pub(crate) fn serve(about: &str, mut control: Control) {
    let orders: Orders = serde_json::from_str(about).unwrap();
    let mut endpoint = Endpoint::parse(&orders.uri).unwrap();
    endpoint.settings_mut().limits.connections = orders.connections;
    let waits = if orders.threads { Waits::Threads } else { Waits::CurrentThread };
    let keeper = Keeper { gate: Semaphore::new(0), out: control.writer() };
    let keeper = Arc::new(keeper);
    let service = YardServer::from_arc(Arc::clone(&keeper));
    let server = Server::new().add_service(service).grace(Duration::ZERO);
    let _serving = Serving::start(waits, server, &endpoint);
    control.say("ready");
    while let Some(line) = control.hear() {
        match &*line {
            "open" => keeper.gate.add_permits(1),
            "stop" => break,
            other => panic!("nobody has written what {other} is"),
        }
    }
}

/// Tells a server to stop, and waits until it has, in good order.
pub(crate) fn stop(mut server: Process) {
    server.say("stop");
    assert!(server.wait().success(), "see above");
}

/// Runs `test` with both kinds of server over every transport between processes.
pub(crate) fn with_both_servers(test: impl Fn(&Subject, bool)) {
    between_processes(|subject| {
        for threads in [false, true] {
            println!("  {}", if threads { "threads" } else { "tasks" });
            test(subject, threads);
            assert!(subject.entries().is_empty(), "left behind: {:?}", subject.entries());
        }
    });
}

/// A killed server leaves its name; the next one takes that over, and removes it when it stops.
pub(crate) fn clean_up(orders: &Orders) {
    stop(orders.start());
}

#[track_caller]
pub(crate) fn assert_gone(error: &ipcall::RpcError, endpoint: &Endpoint) {
    assert!(is_gone(error), "{error:?}");
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
}
