//! The only place that waits: try for a while, say that one sleeps, sleep.
//!
//! [`thread`] waits in a plain thread, [`task`] in a tokio task. How long to try before sleeping is
//! decided by a [`Spinner`], which learns from recent waits.

pub(crate) mod task;
pub(crate) mod thread;

use std::time::{Duration, Instant};

use crate::limits::Spin;

/// Every so many waits, one that would sleep at once tries first, to see whether that pays by now.
const PROBE: u32 = 64;

/// Decides how long to try before sleeping.
///
/// A wait that ended within the limit while trying makes the next one try; waits that did not make it
/// less likely, until only a probe is left.
#[derive(Debug)]
pub(crate) struct Spinner {
    limit: Option<Duration>,
    /// Recent success of trying, 0 to 16.
    credit: u32,
    waits: u32,
    since: Option<Instant>,
}

impl Spinner {
    pub(crate) fn new(spin: Spin) -> Self {
        let limit = match spin {
            Spin::Forever => None,
            Spin::UpTo(_) if cpus() < 2 => Some(Duration::ZERO),
            Spin::UpTo(limit) => Some(limit),
        };
        Self { limit, credit: 16, waits: 0, since: None }
    }

    /// Whether the next wait will try before it sleeps.
    #[inline]
    pub(crate) fn tries(&self) -> bool {
        match self.limit {
            None => true,
            Some(limit) if limit.is_zero() => false,
            Some(_) => self.credit > 0 || self.waits.wrapping_add(1).is_multiple_of(PROBE),
        }
    }

    /// Nothing has come: whether to try again instead of sleeping.
    pub(crate) fn again(&mut self) -> bool {
        let Some(limit) = self.limit else {
            std::hint::spin_loop();
            return true;
        };
        if limit.is_zero() {
            return false;
        }
        let Some(since) = self.since else {
            let tries = self.tries();
            self.waits = self.waits.wrapping_add(1);
            if !tries {
                return false;
            }
            self.since = Some(Instant::now());
            return true;
        };
        std::hint::spin_loop();
        if since.elapsed() < limit {
            return true;
        }
        self.since = None;
        self.credit = self.credit.saturating_sub(4);
        false
    }

    /// Something has come.
    #[inline]
    pub(crate) fn done(&mut self) {
        if self.since.take().is_some() {
            self.credit = (self.credit + 2).min(16);
        }
    }
}

/// The CPUs that this process may use.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
