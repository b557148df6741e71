//! Taking a key file's path, listening there, and giving it back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ipcall_core::transport::{Listener as Accept, Transport};
use ipcall_core::{RpcError, Settings};

use super::hub::Running;
use super::limits::explain_objects;
use super::objects::{self, Objects};
use super::{Address, TITLE, random};
use crate::key_file::{Name, Record};

/// Accepts the clients of one key file. Dropping it removes the file, if it is still ours.
pub(crate) struct Listener {
    // In this order: the name goes first, so that nobody comes who finds nothing.
    _name: Name,
    running: Closing,
}

/// Lets nobody in any more when it is dropped.
struct Closing(Arc<Running>);

impl Listener {
    /// Takes the path `address` and listens there.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::invalid_endpoint(
                "other users cannot be let in, because its objects are for their owner alone: remove \
                 allow-uids, or use unix:",
            ));
        }
        let name = Name::take(&address.file, TITLE, |dead| {
            objects::remove_leftovers(dead.key, dead.pid);
        })?;
        objects::sweep();

        let start = random();
        let made = objects::with_free_key(|key| {
            name.write(&Record::of_this_process(start, key)).map_err(io::Error::other)?;
            Objects::create(key)
        });
        let made = made.map_err(|error| {
            RpcError::io("making the lobby and its semaphores", explain_objects(error))
        })?;
        let running = Running::start(made, start, address.ring)
            .map_err(|error| RpcError::io("starting to listen", error))?;
        Ok(Self { _name: name, running: Closing(Arc::new(running)) })
    }
}

#[cfg(test)]
impl Listener {
    pub(super) fn objects(&self) -> &Objects {
        self.running.0.objects()
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        Running::accept(&self.running.0)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.running.0.as_fd()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
