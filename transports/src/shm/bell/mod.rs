//! The bells of a connection, one for each direction: [pipes](pipe) between processes of one user, which
//! cost less than anything else that wakes a sleeper, and [socket pairs](socket) between others.
//!
//! The processes at both ends of a pipe share a lock, which the kernel holds while it copies to or from their
//! memory: a peer that has that memory fetched by a process of its own (userfaultfd(2), FUSE) holds up whoever writes
//! or reads at the other end for as long as it likes. So a pipe is for peers that could as well stop this process
//! by a signal. `send(2)` to a socket waits for nobody, and `recv(2)` only for whoever reads at the same end.

mod pipe;
mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipcall_core::transport::Peer;
use nix::unistd::geteuid;

use self::pipe::PipeBell;
pub(super) use self::pipe::check_proc;
use self::socket::SocketBell;
use crate::ring_halves::{Bell, Said};

/// One half's end of a bell.
#[derive(Debug)]
pub(super) enum End {
    Pipe(PipeBell),
    Socket(SocketBell),
}

/// The descriptors with which the other side has the other end.
pub(super) type Offer = Vec<OwnedFd>;

/// Makes the two bells of a connection: the ends of this side's reader and writer, and what the server gets for its
/// reader and writer.
pub(super) fn make(server: &Peer) -> io::Result<(End, End, Offer)> {
    let make = if is_own_user(server) { PipeBell::make } else { SocketBell::make };
    let (reader, for_their_writer) = make()?;
    let (writer, mut offer) = make()?;
    offer.extend(for_their_writer);
    Ok((reader, writer, offer))
}

/// The ends of this side's reader and writer, from what a client has offered.
///
/// # Errors
/// `InvalidData` when it is something else, or not for such a client.
pub(super) fn accept(offer: Offer, client: &Peer) -> io::Result<(End, End)> {
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    match <[OwnedFd; 4]>::try_from(offer) {
        Ok(_) if !is_own_user(client) => Err(wrong("pipes as bells from a client of another user")),
        Ok([hears, rings, hears_room, rings_room]) => Ok((
            End::Pipe(PipeBell::accept(hears, rings)?),
            End::Pipe(PipeBell::accept(hears_room, rings_room)?),
        )),
        Err(offer) => {
            let [reader, writer] =
                <[OwnedFd; 2]>::try_from(offer).map_err(|_| wrong("these are not two bells"))?;
            Ok((End::Socket(SocketBell::new(reader)), End::Socket(SocketBell::new(writer))))
        }
    }
}

/// Whether it could do to this process whatever that could do to it.
fn is_own_user(peer: &Peer) -> bool {
    peer.uid == Some(geteuid().as_raw())
}

impl End {
    /// Whether to sleep on its edges spares a system call.
    pub(super) fn prefers_edges(&self) -> bool {
        matches!(self, Self::Pipe(_))
    }
}

impl Bell for End {
    const STICKS: bool = false;

    fn holds(&self) -> u32 {
        match self {
            Self::Pipe(bell) => bell.holds(),
            Self::Socket(_) => 0,
        }
    }

    fn ring(&self) -> io::Result<()> {
        match self {
            Self::Pipe(bell) => bell.ring(),
            Self::Socket(bell) => bell.ring(),
        }
    }

    fn hear(&self) -> io::Result<Said> {
        match self {
            Self::Pipe(bell) => bell.hear(),
            Self::Socket(bell) => bell.hear(),
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pipe(bell) => bell.as_fd(),
            Self::Socket(bell) => bell.as_fd(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
