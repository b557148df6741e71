//! The server's part: in a process of its own, or in a thread where a transport wants that.

use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, RpcError, Server, Stats};
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};

use crate::support::Waits;
use crate::support::role::Control;
use crate::target::{Aim, TargetServer};

/// What a server is told when it starts: where it serves, and which of its settings are not the usual.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) uri: String,
    /// In plain threads, or else in a single-threaded runtime.
    pub(crate) threads: bool,
    pub(crate) handshake_ms: Option<u64>,
    pub(crate) progress_ms: Option<u64>,
    /// How long handlers hold what they would hold for ever.
    pub(crate) hold_ms: Option<u64>,
    pub(crate) connections: Option<u32>,
    pub(crate) calls_in_flight: Option<u32>,
    pub(crate) message: Option<usize>,
    pub(crate) held: Option<usize>,
    pub(crate) token: Option<String>,
    /// How many descriptors its process may have, where that is its own.
    pub(crate) descriptors: Option<u64>,
}

impl Orders {
    /// The endpoint as the server has it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let mut endpoint = Endpoint::parse(&self.uri).unwrap();
        let settings = endpoint.settings_mut();
        let limits = &mut settings.limits;
        let millis = |millis: Option<u64>| millis.map(Duration::from_millis);
        limits.handshake = millis(self.handshake_ms).unwrap_or(limits.handshake);
        limits.progress = millis(self.progress_ms).unwrap_or(limits.progress);
        limits.connections = self.connections.unwrap_or(limits.connections);
        // There are many users on a machine that tests, and only one here.
        limits.connections_per_uid = limits.connections;
        limits.calls_in_flight = self.calls_in_flight.unwrap_or(limits.calls_in_flight);
        limits.message = self.message.unwrap_or(limits.message);
        limits.held_bytes = self.held.unwrap_or(limits.held_bytes);
        settings.token = self.token.clone().map(String::into_bytes);
        endpoint
    }

    fn waits(&self) -> Waits {
        if self.threads { Waits::Threads } else { Waits::CurrentThread }
    }
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Clients can come.
    Ready,
    /// A connection was refused, or has ended by an error.
    Ended(End),
    /// The counts, when asked for.
    Counts(Counts),
}

/// How a connection ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// The name of the error's kind.
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// What [`Stats`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) violations: u64,
    pub(crate) stalled: u64,
    pub(crate) calls: u64,
}

impl Counts {
    fn of(stats: &Stats) -> Self {
        Self {
            accepted: stats.accepted(),
            refused: stats.refused(),
            violations: stats.violations(),
            stalled: stats.stalled(),
            calls: stats.calls(),
        }
    }
}

/// Serves until the other side of `control` has gone or says `stop`.
pub(crate) fn serve(orders: &str, mut control: Control) {
    let orders: Orders = serde_json::from_str(orders).unwrap();
    if let Some(count) = orders.descriptors {
        setrlimit(Resource::RLIMIT_NOFILE, count, count).unwrap();
    }
    let reports = Mutex::new(control.writer());
    let report = move |report: &Report| {
        let line = serde_json::to_string(report).unwrap();
        // Whoever does not listen any more does not care.
        let _ = writeln!(reports.lock().unwrap(), "{line}");
    };
    let report = std::sync::Arc::new(report);
    let ends = std::sync::Arc::clone(&report);
    let patience = orders.hold_ms.map(Duration::from_millis);
    let bound = Server::new()
        .add_service(TargetServer::new(Aim::with_patience(patience)))
        .grace(Duration::ZERO)
        .on_disconnect(move |_, error| ends(&Report::Ended(end(error))))
        .bind([&orders.endpoint()])
        .unwrap();
    let (stop, stats) = (bound.shutdown_handle(), bound.stats());
    let waits = orders.waits();
    let server = thread::spawn(move || waits.serve(bound));
    report(&Report::Ready);
    while let Some(line) = control.hear() {
        match line.as_str() {
            "counts" => report(&Report::Counts(Counts::of(&stats))),
            "stop" => break,
            other => panic!("nobody has written what `{other}` means"),
        }
    }
    stop.shutdown();
    server.join().unwrap().unwrap();
}

fn end(error: &RpcError) -> End {
    let kind = format!("{:?}", error.kind());
    let kind = kind.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    End { kind, text: error.to_string() }
}
