//! Waiting for the thing, for ever: the watchdog is there.

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
