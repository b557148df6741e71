//! What of the two queues of a pair is lent to which connection. The server keeps the books of both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::credit::{Pool, Sizes};

/// Which side this is, and the books of both queues, which the server keeps.
#[derive(Debug)]
pub(super) enum Side {
    Client,
    Server { books: Arc<Books>, lent: Lent },
}

/// What a server's connections share: what is lent of the two queues of a pair.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) request: Mutex<Pool>,
    pub(super) reply: Mutex<Pool>,
    /// Whether the reply queue was full although there was credit.
    crowded: AtomicBool,
}

/// What one connection has borrowed of them, in bytes.
#[derive(Debug, Default)]
pub(super) struct Lent {
    pub(super) request: usize,
    pub(super) reply: usize,
}

impl Books {
    pub(super) fn new(sizes: Sizes) -> Self {
        let pool = || Mutex::new(Pool::new(sizes.pool));
        Self { request: pool(), reply: pool(), crowded: AtomicBool::new(false) }
    }

    /// Somebody has found the reply queue full.
    pub(super) fn note_crowded(&self) {
        self.crowded.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has, since this was last asked.
    pub(super) fn take_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) && self.crowded.swap(false, Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> (usize, usize) {
        (lock(&self.request).free(), lock(&self.reply).free())
    }
}

pub(super) fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
