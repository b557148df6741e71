//! The server's process.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind, Server};
use serde::{Deserialize, Serialize};

use crate::service::{Office, PostServer};
use crate::support::Waits;
use crate::support::role::{Control, Process, Summons};

/// What a server is told when it starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) uri: String,
    /// In plain threads, or else in a single-threaded runtime.
    pub(crate) threads: bool,
    /// Whether it stops at SIGTERM and SIGINT.
    pub(crate) drain: bool,
    /// Whether the process listens to SIGTERM by itself, too.
    pub(crate) own_handler: bool,
    pub(crate) grace_ms: u64,
}

impl Orders {
    pub(crate) fn new(endpoint: &Endpoint, waits: Waits) -> Self {
        let threads = waits == Waits::Threads;
        Self { uri: endpoint.uri().to_owned(), threads, grace_ms: 60_000, ..Self::default() }
    }

    /// What starts the process, for a client to do so, and its first word then.
    pub(crate) fn summons(&self) -> Summons {
        Summons::new("server", &serde_json::to_string(self).unwrap())
    }

    /// Starts the process; it is ready, or has said why not.
    pub(crate) fn start(&self) -> (Process, String) {
        let mut process = Process::start("server", &serde_json::to_string(self).unwrap());
        let first = process.hear();
        (process, first)
    }

    /// Starts a process that is to be ready.
    #[track_caller]
    pub(crate) fn run(&self) -> Process {
        let (process, first) = self.start();
        assert_eq!(first, "ready");
        process
    }
}

/// Serves until it is told to stop, or whoever started it has gone.
pub(crate) fn serve(orders: &str, mut control: Control) {
    let orders: Orders = serde_json::from_str(orders).unwrap();
    let office = Arc::new(Office::new(control.writer()));
    let mut server = Server::new()
        .add_service(PostServer::from_arc(Arc::clone(&office)))
        .grace(Duration::from_millis(orders.grace_ms));
    if orders.own_handler {
        listen_to_sigterm(Arc::clone(&office));
    }
    if orders.drain {
        server = server.drain_on_signals();
    }
    let bound = match server.bind([&Endpoint::parse(&orders.uri).unwrap()]) {
        Ok(bound) => bound,
        Err(error) if matches!(error.kind(), ErrorKind::AddressInUse { .. }) => {
            return office.report("in use");
        }
        Err(error) => panic!("{error}"),
    };
    let stop = bound.shutdown_handle();
    let waits = if orders.threads { Waits::Threads } else { Waits::CurrentThread };
    let reports = Arc::clone(&office);
    let serving = thread::spawn(move || {
        let served = waits.serve(bound);
        reports.report("stopped");
        served
    });
    office.report("ready");
    // When the test has gone, so has its end of this.
    while let Some(line) = control.hear() {
        match line.as_str() {
            "open" => office.gate.add_permits(1),
            "stop" => stop.shutdown(),
            "end" => break,
            other => panic!("nobody has written what `{other}` means"),
        }
    }
    stop.shutdown();
    serving.join().unwrap().unwrap();
}

/// A handler of the process's own, installed before the server's.
fn listen_to_sigterm(office: Arc<Office>) {
    let (installed, is_installed) = std::sync::mpsc::channel();
    thread::spawn(move || {
        crate::support::serving::run(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminated = signal(SignalKind::terminate()).unwrap();
            installed.send(()).unwrap();
            while terminated.recv().await.is_some() {
                office.report("own handler");
            }
        });
    });
    is_installed.recv().unwrap();
}
