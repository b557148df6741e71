//! `sysv-shm:/absolute/path`: a byte ring in a System V shared memory segment each way, with semaphores as
//! doorbells. A call between two busy processes takes no system call.
//!
//! ```text
//!  client                                          server
//!    reads the key file                              holds its lock, and has written a key there:
//!    locks the lobby (SEM_UNDO), claims a slot,      of the lobby, a segment with slots for clients,
//!      lets it go                                    and of a set of semaphores
//!    makes the connection's segment,
//!      names it in the slot     -- semaphore -->     attaches it, checks it, marks it for removal
//!    writes and reads its rings <-- semaphore --     writes and reads its rings
//! ```
//!
//! The rings are those of `shm:` ([`ring`](crate::ring), [`ring_halves`](crate::ring_halves)); only, both sides'
//! memories lie in one segment. Nothing of System V can be slept on together with a descriptor, so each side
//! has one thread that sleeps in its semaphore, a server for all of its clients, a client for each connection
//! ([`helper`]). It wakes the half that is meant, which sleeps on a [`bell`](crate::bell): that shows the
//! death of the peer's process as well.
//!
//! - System calls: `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`, `semget(2)`, `semctl(2)`,
//!   `semtimedop(2)`, `pidfd_open(2)`, `epoll_create1(2)`, `epoll_ctl(2)` and those of the key file;
//!   afterwards `semtimedop(2)` and `epoll_ctl(2)` for a sleeper, and `epoll_wait(2)` after a sleep.
//! - Limits: `ring` bytes each way (`?ring=1MiB`; a power of two, 4 KiB to 1 MiB, 256 KiB by default; the
//!   server's counts); 256 clients; the kernel's `kernel.shmmni` (4,096 segments of all programs: one a
//!   server, and one a connection) and `kernel.sem` (a set of 259 semaphores a server).
//! - Leaves behind: a killed server its key file, the lobby and the semaphores; a client killed before it
//!   is accepted its segment, which its server removes, or the next one that starts. Every server that starts
//!   removes what dead processes of its user have left of this transport, wherever that was.
//! - Not for: other users (`unix:`), whom the objects' mode 0600 keeps out; across containers with
//!   IPC or pid namespaces of their own; where `shm:` is to be had, which wakes a sleeper in one step
//!   instead of two, and whose memory nobody finds by a number.
//!
//! Trust: every process of the same user can reach the objects: it can remove them, which ends the connections, or
//! take what was rung for others, which keeps them waiting until something else is rung or their deadline
//! comes. Nothing that stands in shared memory is believed: a segment is attached only if the kernel says that
//! the process which claims so has made it, with mode 0600 and of the right size (which never changes), and what a
//! peer writes is checked as for `shm:`. The lobby's lock is held for a few instructions; whoever waits for it
//! in vain gets an error that names the process that has it.

mod client;
mod helper;
mod hub;
mod limits;
mod link;
mod listener;
mod lobby;
mod objects;

use std::path::Path;

pub(crate) use client::connect;
pub(crate) use listener::Listener;

use crate::endpoint::Parts;
use crate::key_file::{self, Title};
use crate::ring::{CONTROL, parse_size};
use crate::sys;

/// What the key files of this transport begin with, the version included.
const TITLE: Title = Title("ipcall sysv-shm 1");

/// The largest ring, in bytes.
const LARGEST: usize = 1 << 20;

/// Bytes before the memory of either side, for the words of [`link`].
const HEAD: usize = 4096;

/// Where the key file lies, and how large a server's rings are.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    file: key_file::Address,
    /// Bytes.
    ring: usize,
}

/// Understands the path of a key file and the size of a ring.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let file = key_file::Address::parse(parts)?;
    let ring = parse_size(parts.value("ring")?, (LARGEST, "1MiB"))?;
    Ok(Address { file, ring })
}

/// An endpoint called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    key_file::Address::fresh("sysv-shm", directory, name)
}

/// Whether this kernel offers System V shared memory and semaphores.
pub(crate) fn is_available() -> bool {
    sys::has_system_v()
}

/// Bytes of a connection's segment with rings of `capacity`.
fn segment_size(capacity: usize) -> usize {
    HEAD + 2 * (CONTROL + capacity)
}

/// A number that nobody can guess: seeded by the system, and different at each call.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
