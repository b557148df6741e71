//! The server's doorbell, as a client rings it: a signal to the server's process, which says "read on, and look for
//! cancellations".
//!
//! Nothing depends on it: it only hurries what the connection says anyway, so no error of it is one of the connection.

use std::os::fd::{AsFd, BorrowedFd};

use ipcall_signals::doorbell;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::limits::Signals;
use crate::protocol::hello;
use crate::transport::{Peer, Pidfd};

/// A process that wants to be signalled.
pub(crate) struct Doorbell {
    process: Pidfd,
    signal: i32,
}

impl Doorbell {
    /// What the server has offered, taken from `peer` for that. Not unless the transport knows the process, the server
    /// says that it is that one, and the signal is one that cannot hurt: it may lie, be a forked child of the process
    /// that is known, or live in another pid namespace.
    pub(crate) fn of(peer: &mut Peer, offered: hello::Doorbell, signals: Signals) -> Option<Self> {
        let (process, signal) = (peer.pidfd.take()?, i32::from(offered.signal));
        let is_meant = signals != Signals::OFF && peer.pid == Some(offered.pid);
        (is_meant && doorbell::check(signal).is_ok()).then_some(Self { process, signal })
    }

    /// Rings, unless `connection` shows that it has ended: a process that has called `execve(2)`, or is about to end,
    /// has closed its end first.
    pub(crate) fn ring(&self, connection: Option<BorrowedFd<'_>>) {
        if !connection.is_some_and(has_ended) {
            // Whatever keeps it from being rung, the cancellation is on its way.
            let _ = doorbell::send(self.process.as_fd(), self.signal);
        }
    }
}

/// Whether the peer has closed what this descriptor is of, as far as that shows.
fn has_ended(descriptor: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
