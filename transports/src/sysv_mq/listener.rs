//! Taking a key file's path, listening there, and giving it back.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ipcall_core::transport::{Listener as Accept, Transport};
use ipcall_core::{RpcError, Settings};

use super::lobby::Lobby;
use super::pair::Running;
use super::queues::{self, Keys};
use super::{TITLE, random};
use crate::key_file::{Address, Name, Record};

/// Keys that are tried before it is given up to find some that are free.
const ATTEMPTS: usize = 100;

/// Accepts the clients of one key file. Dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub(crate) struct Listener {
    // In this order: the name goes first, so that nobody comes who finds nothing.
    _name: Name,
    lobby: OpenLobby,
}

/// Closes the lobby when it is dropped.
#[derive(Debug)]
struct OpenLobby(Arc<Lobby>);

impl Listener {
    /// Takes the path `address` and listens there.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::invalid_endpoint(
                "other users cannot be let in, because the kernel does not say who has sent a message: \
                 remove allow-uids, or use unix:",
            ));
        }
        let name = Name::take(address, TITLE, |dead| {
            if let Some(keys) = Keys::from_first(dead.key) {
                queues::remove_leftovers(keys);
            }
        })?;
        queues::sweep();

        let path = address.path.display();
        let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
        let start = random();
        let lobby = Lobby::new(start).map_err(|error| failed("making the bell of", error))?;
        let lobby = OpenLobby(Arc::new(lobby));
        let (keys, first) = make_queues(&name, start, &lobby.0)?;
        lobby.0.open(keys, first).map_err(|error| failed("starting a thread for", error))?;
        Ok(Self { _name: name, lobby })
    }
}

#[cfg(test)]
impl Listener {
    /// The pairs of queues that there are.
    pub(super) fn pairs(&self) -> Vec<Arc<super::pair::Pair>> {
        self.lobby.0.pairs()
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.lobby.0.accept()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lobby.0.as_fd()
    }
}

impl Drop for OpenLobby {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Makes the first pair of queues, with keys that stand in the key file before.
fn make_queues(name: &Name, start: u64, lobby: &Arc<Lobby>) -> Result<(Keys, Running), RpcError> {
    for _ in 0..ATTEMPTS {
        let keys = Keys::new(random());
        name.write(&Record::of_this_process(start, keys.first()))?;
        match Running::create(keys, 0, lobby) {
            Ok(running) => return Ok((keys, running)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Err(RpcError::invalid_endpoint(error.to_string()));
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(RpcError::io(no_queue_left(), error));
            }
            Err(error) => return Err(RpcError::io("making message queues", error)),
        }
    }
    Err(RpcError::io(
        "looking for keys that no message queue has",
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// What it means that no queue is left (`ENOSPC`).
fn no_queue_left() -> String {
    let limit = fs::read_to_string("/proc/sys/kernel/msgmni");
    let limit = limit.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    format!(
        "making two message queues, of which there may be {limit} altogether (kernel.msgmni): raise it, or \
         remove what `ipcs -q` lists and nobody uses"
    )
}
