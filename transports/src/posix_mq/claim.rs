//! A client's claim: a slot in the key file's table, and the names of its pair of queues.

use std::hash::{BuildHasher, RandomState};
use std::io;

use ipcall_core::{ErrorKind, RpcError};
use nix::mqueue::mq_unlink;

use super::key::{KeyFile, SLOTS};
use super::lock;
use super::queue::{End, Queue, Shape, explain_creation, remove_own};

/// The shape of a private queue. One page of the kernel holds a message of 4048 bytes with its header;
/// one of 4096 takes two, and a quarter more time. With two queues of four of them a client, 24 clients fit
/// into the default `RLIMIT_MSGQUEUE`.
pub(super) const PRIVATE: Shape = Shape { messages: 4, size: 4048 };

/// The names of a client's two queues.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// From the client to the server.
    pub(super) up: String,
    /// From the server to the client.
    pub(super) down: String,
}

impl Names {
    pub(super) fn of(id: u64) -> Self {
        Self { up: format!("/ipcall-{id:016x}-up"), down: format!("/ipcall-{id:016x}-down") }
    }

    /// Removes the names of queues that were made, or opened and checked, by this process.
    pub(super) fn remove(&self) {
        // Who comes second finds nothing.
        let _ = (mq_unlink(&*self.up), mq_unlink(&*self.down));
    }

    /// Removes what a dead process may have left.
    pub(super) fn remove_leftovers(&self) {
        remove_own(&self.up);
        remove_own(&self.down);
    }
}

/// A slot of a server's table. Dropping it gives the slot back, and removes the names of its queues, if
/// the server has not done that when it opened them.
#[derive(Debug)]
pub(super) struct Claim {
    /// Its lock keeps the slot.
    key: KeyFile,
    pub(super) id: u64,
    names: Names,
}

impl Claim {
    /// Takes a slot, and removes the queues that a dead client may have left there.
    pub(super) fn take(key: KeyFile) -> Result<Self, RpcError> {
        let failed = |error: io::Error| RpcError::io("taking a slot in the key file", error);
        let Some(slot) = key.take_slot().map_err(failed)? else {
            return Err(RpcError::not_executed(ErrorKind::Overloaded {
                what: "clients of one posix-mq server".to_owned(),
                limit: SLOTS,
            }));
        };
        let old = key.id(slot).map_err(failed)?;
        if old != 0 {
            Names::of(old).remove_leftovers();
        }
        // Written before anything has the name.
        let id = random().max(1);
        key.write_id(slot, id).map_err(failed)?;
        Ok(Self { key, id, names: Names::of(id) })
    }

    /// Makes the pair of queues and gives this side's ends: to write, and to read.
    ///
    /// The order matters to the server: who finds the second queue finds the first one full and signed,
    /// unless its client has gone.
    pub(super) fn make_queues(&self) -> Result<(Queue, Queue), RpcError> {
        let failed = |errno| explain_creation(errno, 2 * PRIVATE.cost(), 2);
        let up = Queue::create(&self.names.up, End::Writing, PRIVATE).map_err(failed)?;
        lock::sign(&up).map_err(|e| RpcError::io("signing a POSIX message queue", e))?;
        up.fill().map_err(|e| RpcError::io("filling a POSIX message queue", e.into()))?;
        let down = Queue::create(&self.names.down, End::Reading, PRIVATE).map_err(failed)?;
        Ok((up, down))
    }

    pub(super) fn key(&self) -> &KeyFile {
        &self.key
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Before the slot goes with the key file.
        self.names.remove();
    }
}

/// A number that nobody can guess, from the keys that the standard library takes from the kernel.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
