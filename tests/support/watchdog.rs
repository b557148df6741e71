//! A test that hangs is ended with its name, instead of the whole suite with none.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a test may take over one transport, on a machine that does other things besides.
const LIMIT: Duration = Duration::from_secs(180);

/// Rounds of the crash tests, where more of them are wanted than in CI.
pub(crate) const ROUNDS: &str = "IPCALL_CRASH_ROUNDS";

/// How much longer it may take for each of those.
const PER_ROUND: Duration = Duration::from_secs(1);

/// Aborts the process unless it is dropped in time.
pub(crate) struct Watchdog {
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches over `name`.
    pub(crate) fn new(name: String) -> Self {
        let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok());
        Self::with_limit(name, LIMIT + PER_ROUND * rounds.unwrap_or(0))
    }

    pub(crate) fn with_limit(name: String, limit: Duration) -> Self {
        let (alive, dropped) = channel();
        let watch = move || {
            if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Not by `eprintln!`, which the test harness keeps back.
                let _ = writeln!(std::io::stderr(), "watchdog: {name} still runs after {limit:?}");
                std::process::abort();
            }
        };
        Self { alive: Some(alive), thread: Some(thread::spawn(watch)) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            // Waited for, so that it does not count as left behind.
            let _ = thread.join();
        }
    }
}
