//! Who may connect, how many, and how the server greets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::greeting::Reason;
use crate::error::{ErrorKind, RpcError};
use crate::limits::Settings;
use crate::protocol::hello::Hello;
use crate::transport::Peer;

/// Connections beyond the limit that may wait to be told so. More are closed without a word.
const TURNED_AWAY: u32 = 64;

/// Counts of what happened on a server since it was bound.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) violations: AtomicU64,
    pub(crate) stalled: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) rings: AtomicU64,
}

impl Stats {
    /// Connections that got through the handshake.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were not wanted: their user, their token, or their number.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections closed because the peer broke the protocol, or never spoke it.
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// Connections closed because the peer stopped in the middle of something.
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Calls started.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Handlers that panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Times that it was rung, by a signal, to look at its cancellations. Signals that come at once count once.
    pub fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }

    pub(crate) fn note_end(&self, error: &RpcError) {
        let counter = match error.kind() {
            ErrorKind::ProtocolViolation { .. } => &self.violations,
            ErrorKind::PeerStalled { .. } => &self.stalled,
            ErrorKind::Refused { .. } | ErrorKind::Overloaded { .. } => &self.refused,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The connections that there are.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    per_uid: HashMap<u32, u32>,
}

/// A connection's place among those that there are; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    uid: Option<u32>,
    /// Why there is a place, but only to be told this.
    pub(crate) rejected: Option<(Reason, RpcError)>,
}

impl Admission {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a connection. `None` when there are too many even to be told.
    pub(crate) fn admit(self: &Arc<Self>, peer: &Peer, settings: &Settings) -> Option<Place> {
        let mut counts = self.counts();
        let limits = &settings.limits;
        if counts.total >= limits.connections.saturating_add(TURNED_AWAY) {
            return None;
        }
        let of_user = peer.uid.map(|uid| *counts.per_uid.entry(uid).or_default());
        let overloaded = |what: &str, limit: u32| {
            let kind = ErrorKind::Overloaded { what: what.to_owned(), limit: limit.into() };
            Some((Reason::Overloaded, RpcError::not_executed(kind)))
        };
        let rejected = if let Some(error) = unwanted(peer, settings) {
            Some((Reason::Refused, error))
        } else if counts.total >= limits.connections {
            overloaded("connections of the server", limits.connections)
        } else if of_user.is_some_and(|count| count >= limits.connections_per_uid) {
            overloaded("connections of one user", limits.connections_per_uid)
        } else {
            None
        };
        counts.total += 1;
        if let Some(uid) = peer.uid {
            *counts.per_uid.entry(uid).or_default() += 1;
        }
        Some(Place { admission: Arc::clone(self), uid: peer.uid, rejected })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total -= 1;
        let Some(uid) = self.uid else { return };
        if let Some(count) = counts.per_uid.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                counts.per_uid.remove(&uid);
            }
        }
    }
}

/// Whether the peer's user is not admitted.
fn unwanted(peer: &Peer, settings: &Settings) -> Option<RpcError> {
    let uid = peer.uid?;
    let own = nix::unistd::geteuid().as_raw();
    if uid == own || settings.allow_uids.contains(&uid) {
        return None;
    }
    let reason = format!("user {uid} is not admitted here; allow-uids admits users beside {own}");
    Some(RpcError::not_executed(ErrorKind::Refused { reason }))
}

/// Whether the client has shown the secret that it must know. Takes the same time wherever they differ.
pub(crate) fn check_token(theirs: &Hello, settings: &Settings) -> Result<(), RpcError> {
    let Some(token) = &settings.token else { return Ok(()) };
    let differing = token
        .iter()
        .zip(theirs.token.iter().chain(std::iter::repeat(&0)))
        .fold(theirs.token.len() ^ token.len(), |sum, (ours, theirs)| {
            sum | usize::from(ours ^ theirs)
        });
    if differing == 0 {
        return Ok(());
    }
    let reason = "the client's token is not the server's".to_owned();
    Err(RpcError::not_executed(ErrorKind::Refused { reason }))
}
