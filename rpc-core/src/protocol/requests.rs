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
    /// Bytes of arguments of running calls: of those with a reply, and of those without.
    held: usize,
    oneway_held: usize,
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
    /// The arguments of running calls take as much memory as they may.
    Held {
        /// That many bytes.
        limit: usize,
    },
    /// The server is about to stop.
    Draining,
    /// The id is that of a running call: a violation.
    Duplicate,
}

impl<H> Requests<H> {
    /// A table for `limit` calls with arguments of together at most `held_limit` bytes.
    pub fn new(limit: u32, held_limit: usize) -> Self {
        Self {
            running: BTreeMap::new(),
            oneway: 0,
            held: 0,
            oneway_held: 0,
            limit,
            held_limit,
            draining: false,
        }
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

    /// Whether `bytes` of arguments may be kept for a call with a reply, or one larger than that alone.
    /// A caller that counts its unanswered calls finds out before it sends them.
    ///
    /// # Errors
    /// [`Rejection::Held`].
    #[inline]
    pub fn hold(&self, bytes: usize) -> Result<(), Rejection> {
        if bytes > 0 && self.held > 0 && self.held + bytes > self.held_limit {
            return Err(Rejection::Held { limit: self.held_limit });
        }
        Ok(())
    }

    /// Enters a call whose handler goes on; `bytes` of arguments are kept for it.
    pub fn start(&mut self, id: u64, oneway: bool, bytes: usize, handle: H) {
        if oneway {
            self.oneway += 1;
            self.oneway_held += bytes;
        } else {
            self.held += bytes;
            self.running.insert(id, handle);
        }
    }

    /// Takes out a call whose handler has ended.
    pub fn finish(&mut self, id: u64, oneway: bool, bytes: usize) {
        if oneway {
            self.oneway = self.oneway.saturating_sub(1);
            self.oneway_held = self.oneway_held.saturating_sub(bytes);
        } else {
            self.held = self.held.saturating_sub(bytes);
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

    /// Whether so many calls without a reply are running, or so much is held for them, that no more
    /// should be read: they cannot be refused. What the others hold is bounded by [`hold`](Self::hold), so
    /// that cancellations and the client's end are still read.
    pub fn is_full(&self) -> bool {
        self.oneway >= self.limit || self.oneway_held >= self.held_limit
    }

    /// From now on no call is admitted.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
