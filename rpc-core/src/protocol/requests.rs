//! The server's side of a connection: which calls are running.
//!
//! Sans-IO. `H` is whatever stops a running handler. A call that is answered where it stands is never
//! entered; one that goes on is, until its handler has ended - not until it was asked to.

use std::collections::BTreeMap;

/// The table of running calls.
#[derive(Debug)]
pub struct Requests<H> {
    running: BTreeMap<u64, H>,
    /// Running calls that get no reply; they have no id that could be asked for.
    oneway: u32,
    held: usize,
    limit: u32,
    held_limit: usize,
    draining: bool,
}

/// Why a call is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// As many as may are running.
    Overloaded {
        /// That many.
        limit: u32,
    },
    /// The server is about to stop.
    Draining,
    /// The id is that of a running call: a violation.
    Duplicate,
}

impl<H> Requests<H> {
    /// A table for `limit` calls with arguments of together at most `held_limit` bytes.
    pub fn new(limit: u32, held_limit: usize) -> Self {
        Self { running: BTreeMap::new(), oneway: 0, held: 0, limit, held_limit, draining: false }
    }

    /// Whether the call may be started. Calls without a reply do not take places from the others, which
    /// the caller counts by their replies; what bounds them is [`is_full`](Self::is_full).
    ///
    /// # Errors
    /// A [`Rejection`].
    #[inline]
    pub fn admit(&self, id: u64, oneway: bool) -> Result<(), Rejection> {
        if self.draining {
            return Err(Rejection::Draining);
        }
        if oneway {
            return Ok(());
        }
        if !self.running.is_empty() && self.running.contains_key(&id) {
            return Err(Rejection::Duplicate);
        }
        if self.running.len() >= self.limit as usize {
            return Err(Rejection::Overloaded { limit: self.limit });
        }
        Ok(())
    }

    /// Enters a call whose handler goes on; `bytes` of arguments are kept for it.
    pub fn start(&mut self, id: u64, oneway: bool, bytes: usize, handle: H) {
        self.held += bytes;
        if oneway {
            self.oneway += 1;
        } else {
            self.running.insert(id, handle);
        }
    }

    /// Takes out a call whose handler has ended.
    pub fn finish(&mut self, id: u64, oneway: bool, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        if oneway {
            self.oneway = self.oneway.saturating_sub(1);
        } else {
            self.running.remove(&id);
        }
    }

    /// What stops the running call, if it is running.
    pub fn handle(&self, id: u64) -> Option<&H> {
        self.running.get(&id)
    }

    /// What stops each of them.
    pub fn handles(&self) -> impl Iterator<Item = &H> {
        self.running.values()
    }

    /// Running calls.
    pub fn in_flight(&self) -> u32 {
        self.running.len() as u32 + self.oneway
    }

    /// Whether so much is held, or so many calls without a reply are running, that no more should be
    /// read.
    pub fn is_full(&self) -> bool {
        self.held >= self.held_limit || self.oneway >= self.limit
    }

    /// From now on no call is admitted.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
