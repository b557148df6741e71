//! A bell that is one end of a socket pair: `send(2)` to ring, `recv(2)` to hear. The death of the process at
//! the other end closes that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::ring_halves::{Bell, Said};

/// One end of a bell.
#[derive(Debug)]
pub(super) struct SocketBell(OwnedFd);

impl SocketBell {
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }
}

impl Bell for SocketBell {
    // Every ring is one byte more.
    const STICKS: bool = false;

    fn ring(&self) -> io::Result<()> {
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

    fn hear(&self) -> io::Result<Said> {
        let mut rings = [0; 64];
        loop {
            return match recv(self.0.as_raw_fd(), &mut rings, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                Ok(count) if count == rings.len() => continue,
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
