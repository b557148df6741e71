//! The files of a connection as one side has them open, and whether the other side lives: for a client, also
//! before the server has accepted it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::place;
use super::spool::{self, Spool};

/// What both halves of one side share.
pub(super) struct Files {
    pub(super) incoming: Spool,
    pub(super) outgoing: Spool,
    /// What errors call the place.
    pub(super) path: Arc<str>,
    /// Of a client.
    joining: Option<Joining>,
    /// Why nothing more can be written.
    failure: OnceLock<(io::ErrorKind, String)>,
}

/// A client that the server may not have accepted yet. When it has, the files have no names any more.
struct Joining {
    server: [File; 2],
    place: OwnedFd,
    name: OsString,
    accepted: AtomicBool,
}

impl Files {
    /// Of a server.
    pub(super) fn accepted(incoming: Spool, outgoing: Spool, path: Arc<str>) -> Self {
        Self { incoming, outgoing, path, joining: None, failure: OnceLock::new() }
    }

    /// Of a client, in the sub-directory `name` of `place`, that waits for the holder of `server`.
    pub(super) fn waiting(
        (outgoing, incoming): (Spool, Spool),
        path: Arc<str>,
        server: [File; 2],
        place: OwnedFd,
        name: OsString,
    ) -> Self {
        let joining = Joining { server, place, name, accepted: AtomicBool::new(false) };
        Self { incoming, outgoing, path, joining: Some(joining), failure: OnceLock::new() }
    }

    /// The files whose closing says that the server has died, as long as this client waits for it.
    pub(super) fn server(&self) -> Option<&[File; 2]> {
        self.joining
            .as_ref()
            .filter(|joining| !joining.is_accepted())
            .map(|joining| &joining.server)
    }

    /// Whether the other side is there.
    pub(super) fn peer_lives(&self) -> io::Result<bool> {
        if let Some(joining) = &self.joining
            && !joining.is_accepted()
        {
            // The server takes its locks before it removes the names.
            if !self.incoming.is_nameless()? {
                return spool::are_held(&joining.server);
            }
            joining.accepted.store(true, Ordering::Relaxed);
        }
        self.incoming.is_held()
    }

    /// Something could not be written: that ends the connection, also for the half that reads.
    pub(super) fn fail(&self, error: &io::Error) {
        let _ = self.failure.set((error.kind(), error.to_string()));
        // It may be asleep.
        self.incoming.wake_reader();
    }

    /// An error if that has happened.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

impl Joining {
    fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A living server still accepts what was written; what a dead one has not accepted nobody will.
        if let Some(joining) = &self.joining
            && !joining.is_accepted()
            && spool::are_held(&joining.server).is_ok_and(|held| !held)
        {
            place::remove(&joining.place, &joining.name);
        }
    }
}
