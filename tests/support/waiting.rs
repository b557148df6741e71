//! Waiting for the thing, for ever: the watchdog is there.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for what can only be asked for again and again.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The first value that `attempt` gives.
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// As [`until`], with the other tasks of this runtime going on.
pub(crate) async fn until_async(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs `what`, and says how long it took.
pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let value = what();
    (value, begun.elapsed())
}

/// A thread of this process, and whether it sleeps.
#[derive(Default)]
pub(crate) struct Sleeper(AtomicI32);

impl Sleeper {
    /// To be called by the thread.
    pub(crate) fn note(&self) {
        self.0.store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        let thread = self.0.load(Ordering::SeqCst);
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        // The state stands behind the name, which is in parentheses.
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
    }
}
