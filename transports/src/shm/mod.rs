//! `shm:/absolute/path`: a byte ring in shared memory each way, agreed over a Unix socket in a private
//! directory. A call between two busy processes takes no system call.
//!
//! ```text
//!  client                                         server
//!    connects, as for unix:                        accepts
//!    2 bells: two pipes each      -- Hello -->     opens its ends anew
//!    maps its own memory to       <-- Welcome --   2 memories: sealed memfds, reserved in full
//!    write, the server's to read                   maps its own to write, the client's to read
//!    both close the connected socket
//! ```
//!
//! Each side writes one memory only: its ring, how far it has written and read, and whether it sleeps; see
//! [`ring`](crate::ring). A bell belongs to one direction, the reader has one end of it and the writer the
//! other: a [pipe each way](bell), or a socket pair if client and server do not run as the same user. Who sleeps
//! does so on its end; who has published something for a sleeper sends it a byte, and the death of a process ends all
//! its bells.
//!
//! - System calls: those of `unix:` to connect, and `pipe2(2)` or `socketpair(2)`, `memfd_create(2)`,
//!   `posix_fallocate(3)`, `fcntl(2)` for seals, `mmap(2)`, `sendmsg(2)` and `recvmsg(2)` with descriptors, in the
//!   server `readlink(2)` and `open(2)` of `/proc/self/fd/N`; afterwards `write(2)` to a sleeper, and `read(2)` after
//!   512 sleeps, or one that has ended for nothing. With socket pairs, `send(2)` to a sleeper and `recv(2)` after
//!   each sleep.
//! - Descriptors: a client's half has three, what it sleeps on and both ends of what it rings, and a server's two; with
//!   socket pairs each has one. A plain thread that sleeps has an epoll descriptor more.
//! - Limits: `ring` bytes each way (`?ring=1MiB`; a power of two, 4 KiB to 1 GiB, 256 KiB by default; the
//!   server's counts) and 4 KiB beside them; all connections of a server together at most `memory` bytes
//!   (`?memory=1GiB`, which is what it is by default; the server's counts, too); 128 clients that have connected
//!   and not yet said anything.
//! - Leaves behind: nothing but what `unix:` does. Memory and bells have no names, and go with the
//!   processes.
//! - Not for: a child that was forked with a connection, which gets an error; other machines. A forked child that
//!   goes on without exec keeps the bells of its parent open, so that the parent's death is not seen
//!   until the child's. Nor where `/proc` is not mounted: a server does not start there.
//!
//! Trust: who may connect is decided as for `unix:`. The memory is sealed against changes of its size before the
//! peer gets it, and a client verifies that before mapping it, so that no access can fail; the space is
//! reserved, so that none is missing. A peer that writes nonsense ends the connection with an error, and
//! can do no more than it could by sending nonsense. One of the same user can hold a bell up as well ([`bell`]).

mod bell;
mod joining;
mod listener;
mod memory;

use std::io;
use std::path::Path;

use ipcall_core::transport::Transport;
use ipcall_core::{ErrorKind, RpcError, Settings};

pub(crate) use listener::Listener;

use crate::endpoint::Parts;
use crate::ring::parse_size;
use crate::{units, unix};

/// The largest ring, in bytes.
const LARGEST: usize = 1 << 30;

/// Bytes of shared memory that all connections of one listener may have, unless the endpoint says otherwise.
const BUDGET: usize = 1 << 30;

/// Where the socket lies, and how much memory a server gives.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    socket: unix::Address,
    /// Bytes of a ring.
    ring: usize,
    /// Bytes of all connections together.
    budget: usize,
}

/// Understands a path and the size of a ring.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let socket = unix::parse(parts)?;
    let ring = parse_size(parts.value("ring")?, (LARGEST, "1GiB"))?;
    let budget = parse_budget(parts.value("memory")?, memory::cost(ring))?;
    Ok(Address { socket, ring, budget })
}

/// Reads `memory=`: bytes, at least those of one connection.
fn parse_budget(text: Option<&str>, least: usize) -> Result<usize, String> {
    let Some(text) = text else { return Ok(BUDGET.max(least)) };
    let wanted =
        "write the bytes that all connections together may have, for example memory=256MiB";
    let bytes = units::size(text).map_err(|error| format!("memory={text}: {error}: {wanted}"))?;
    if bytes < least {
        return Err(format!(
            "memory={text} is less than the {least} bytes that one connection takes"
        ));
    }
    Ok(bytes)
}

/// An endpoint called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    unix::fresh(directory, name).replacen("unix:", "shm:", 1)
}

/// Connects, or starts to: the rings are there when the server has accepted.
pub(crate) fn connect(address: &Address, settings: &Settings) -> Result<Transport, RpcError> {
    let (socket, peer) = unix::connect_socket(&address.socket, settings)?;
    let (reader, writer) = joining::join(socket, &peer).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            let detail = "the server has just ended, without accepting".to_owned();
            RpcError::not_executed(ErrorKind::ServerAbsent { detail })
        }
        _ => RpcError::io("offering bells for shared memory to the server", error),
    })?;
    Ok(Transport { reader, writer, peer })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
