//! A bell that is one end of a socket pair: `send(2)` to ring, `recv(2)` to hear. The death of the process at
//! the other end closes that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::{End, Offer};
use crate::ring_halves::Said;

/// One end of a bell.
#[derive(Debug)]
pub(in crate::shm) struct SocketBell(OwnedFd);

impl SocketBell {
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// A bell, and the other end.
    pub(super) fn make() -> io::Result<(End, Offer)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
        Ok((End::Socket(Self(ours)), vec![theirs]))
    }

    pub(super) fn ring(&self) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            return match send(self.0.as_raw_fd(), &[1], flags) {
                Err(Errno::EINTR) => continue,
                // Full of rings that nobody has heard yet.
                Ok(_) | Err(Errno::EAGAIN | Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
                Err(errno) => Err(errno.into()),
            };
        }
    }

    pub(super) fn hear(&self) -> io::Result<Said> {
        // Once is enough: a peer that has rung more often is none to wait for.
        let mut rings = [0; 64];
        loop {
            return match recv(self.0.as_raw_fd(), &mut rings, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                Ok(0) | Err(Errno::ECONNRESET) => Ok(Said::Gone),
                Ok(_) | Err(Errno::EAGAIN) => Ok(Said::Nothing),
                Err(errno) => Err(errno.into()),
            };
        }
    }
}

impl AsFd for SocketBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
