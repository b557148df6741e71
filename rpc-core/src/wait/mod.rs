//! The only place that waits: try for a while, say that one sleeps, sleep.
//!
//! [`thread`] waits in a plain thread, by level or on [`edges`]; [`task`] in a tokio task. How long to try before sleeping is
//! decided by a [`Spinner`], which learns from recent waits.

mod edges;
pub(crate) mod park;
pub(crate) mod task;
pub(crate) mod thread;

use std::time::{Duration, Instant};

use crate::limits::Spin;

/// Every so many waits, one that would sleep at once tries first, to see whether that pays by now.
const PROBE: u32 = 64;

/// Decides how long to try before sleeping.
///
/// A wait that ended within the limit while trying makes the next one try; waits that did not make it
/// less likely, until only a probe is left. With one CPU nothing is tried: only the peer could make it come.
#[derive(Debug)]
pub(crate) struct Spinner {
    limit: Option<Duration>,
    /// Recent success of trying, 0 to [`FULL`].
    credit: u32,
    waits: u32,
    /// When this wait began to try.
    since: Option<Instant>,
}

/// The credit of a spinner that has always been lucky.
const FULL: u32 = 16;

impl Spinner {
    pub(crate) fn new(spin: Spin) -> Self {
        let limit = match spin {
            Spin::Forever => None,
            Spin::UpTo(_) if cpus() < 2 => Some(Duration::ZERO),
            Spin::UpTo(limit) => Some(limit),
        };
        Self { limit, credit: FULL, waits: 0, since: None }
    }

    /// Whether the next wait will try for a while before it sleeps.
    #[inline]
    pub(crate) fn tries(&self) -> bool {
        match self.limit {
            None => true,
            Some(limit) => !limit.is_zero() && self.is_lucky(),
        }
    }

    /// Whether it ever gives up trying.
    pub(crate) fn sleeps(&self) -> bool {
        self.limit.is_some()
    }

    /// Nothing has come, as far as is known: whether to try again instead of sleeping.
    #[inline]
    pub(crate) fn again(&mut self) -> bool {
        match self.limit {
            None => {
                std::hint::spin_loop();
                true
            }
            Some(limit) if limit.is_zero() => false,
            Some(limit) => self.until(limit),
        }
    }

    fn is_lucky(&self) -> bool {
        self.credit > 0 || self.waits.wrapping_add(1).is_multiple_of(PROBE)
    }

    fn until(&mut self, limit: Duration) -> bool {
        let Some(since) = self.since else {
            let lucky = self.is_lucky();
            self.waits = self.waits.wrapping_add(1);
            self.since = lucky.then(Instant::now);
            return lucky;
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
            self.credit = (self.credit + 2).min(FULL);
        }
    }
}

/// The CPUs that this process may use.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spinner(limit: Duration) -> Spinner {
        Spinner { limit: Some(limit), credit: FULL, waits: 0, since: None }
    }

    #[test]
    fn with_no_time_to_try_it_sleeps_at_once() {
        let mut spinner = spinner(Duration::ZERO);
        assert!((0..1_000).all(|_| !spinner.tries() && !spinner.again()));
    }

    #[test]
    fn it_gives_up_trying_for_long_when_that_does_not_pay() {
        let mut spinner = spinner(Duration::from_nanos(1));
        let in_vain = (0..640).filter(|_| {
            let tried = spinner.again();
            while spinner.again() {}
            tried
        });
        let in_vain = in_vain.count();
        assert!((4..=24).contains(&in_vain), "{in_vain} of 640 waits tried in vain");
    }

    #[test]
    fn for_ever_is_for_ever() {
        let mut spinner = Spinner::new(Spin::Forever);
        assert!((0..1_000).all(|_| spinner.again()) && spinner.tries());
    }
}
