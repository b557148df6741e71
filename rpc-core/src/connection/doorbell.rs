//! The server's doorbell, as a client rings it: a signal to the server's process, which says "read on, and look for
//! cancellations".
//!
//! Nothing depends on it: it only hurries what the connection says anyway, so no error of it is one of the connection.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use ipcall_signals::doorbell;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::limits::Signals;
use crate::protocol::hello;
use crate::transport::{Interest, Peer, Pidfd, WriteHalf};

/// A process that wants to be signalled, and the connection to it.
pub(crate) struct Doorbell {
    process: Pidfd,
    pid: u32,
    signal: i32,
    /// The writing half's.
    descriptor: OwnedFd,
    interest: Interest,
}

impl Doorbell {
    /// What the server at the other end of `half` has offered, with the process taken from `peer`. Not unless the
    /// transport knows the process, the server says that it is that one, and the signal is one that cannot hurt: it may
    /// lie, be a forked child of the process that is known, or live in another pid namespace.
    pub(crate) fn of(
        half: &dyn WriteHalf,
        peer: &mut Peer,
        offered: hello::Doorbell,
        signals: Signals,
    ) -> Option<Self> {
        let (process, signal) = (peer.pidfd.take()?, i32::from(offered.signal));
        let is_meant = signals != Signals::OFF && peer.pid == Some(offered.pid);
        if !is_meant || doorbell::check(signal).is_err() {
            return None;
        }
        let descriptor = half.as_fd().try_clone_to_owned().ok()?;
        Some(Self { process, pid: offered.pid, signal, descriptor, interest: half.interest() })
    }

    /// Rings for what is stuck; whether it has. Not if there is room again, for then the writer goes on by itself, nor at the
    /// end of the connection, which comes before whatever else its process becomes: one that calls `execve(2)` closes
    /// its end by that, or has closed it already.
    fn ring_if_stuck(&self) -> bool {
        let is_stuck = !self.shows(match self.interest {
            Interest::Readable => PollFlags::POLLIN,
            Interest::Writable => PollFlags::POLLOUT,
        });
        if is_stuck {
            self.ring();
        }
        is_stuck
    }

    /// Rings for what has just been written, and so to a connection that stood then, unless it shows to have ended since.
    fn ring_if_open(&self) {
        if !self.shows(PollFlags::empty()) {
            self.ring();
        }
    }

    /// Whether the connection shows one of these, or its end.
    fn shows(&self, flags: PollFlags) -> bool {
        let mut polled = [PollFd::new(self.descriptor.as_fd(), flags)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Not where the process has no handler any more, because it has called `execve(2)` and the transport does not
    /// show that.
    fn ring(&self) {
        // Where that cannot be asked, what is harmless without a handler is sent all the same.
        if handles(self.pid, self.signal).unwrap_or(self.signal == doorbell::URGENT) {
            // Whatever keeps it from being rung, the cancellation is on its way.
            let _ = doorbell::send(self.process.as_fd(), self.signal);
        }
    }
}

/// When an outbox rings: when a cancellation cannot be written because the peer is full, and when it is written to one
/// that was full before. So a server that has stopped reading has been rung since the cancellation came.
#[derive(Debug, Default)]
pub(crate) struct Ringing {
    /// Whether the writer waits for room.
    stuck: bool,
    /// Whether the peer was full since it was rung last: it may have stopped reading.
    lags: bool,
    /// Whether it was rung for cancellations that are stuck.
    rung: bool,
    /// Whether it is to be rung when they are written.
    owed: bool,
}

impl Ringing {
    /// A cancellation waits for whoever writes.
    pub(crate) fn note_cancel(&mut self, doorbell: &Doorbell) {
        if self.stuck {
            self.note_write(doorbell, true, true);
        }
    }

    /// Something was written as far as it goes: the peer may be `full`, and cancellations may be left.
    pub(crate) fn note_write(&mut self, doorbell: &Doorbell, full: bool, cancelling: bool) {
        self.stuck = full;
        self.lags |= full;
        if self.lags && cancelling {
            self.owed = true;
            self.rung = self.rung || (full && doorbell.ring_if_stuck());
        } else if self.owed {
            doorbell.ring_if_open();
            *self = Self { stuck: full, ..Self::default() };
        }
    }

    /// Whether the server is rung for cancellations that are not written yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.owed
    }
}

/// Whether the process that has this number handles the signal now: `proc_pid_status(5)`.
fn handles(pid: u32, signal: i32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    Some(caught >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use nix::sys::eventfd::EventFd;

    use super::*;
    use crate::transport::memory;

    /// Whether a client with these settings would ring a server that offers this.
    fn rings(known: Option<u32>, offered: (i32, u32), signals: Signals) -> bool {
        let (ours, _theirs) = memory::pair();
        let mut peer = Peer::default();
        (peer.pid, peer.pidfd) = (known, Some(OwnedFd::from(EventFd::new().unwrap()).into()));
        let offered = hello::Doorbell { signal: offered.0 as u8, pid: offered.1 };
        let doorbell = Doorbell::of(&*ours.writer, &mut peer, offered, signals);
        assert_eq!(peer.pidfd, None, "it is kept by nobody else");
        doorbell.is_some()
    }

    #[test]
    fn only_the_process_that_the_transport_knows_is_rung() {
        assert!(rings(Some(7), (doorbell::URGENT, 7), Signals::URGENT));
        assert!(!rings(Some(7), (doorbell::URGENT, 8), Signals::URGENT));
        assert!(!rings(Some(0), (0, 0), Signals::URGENT));
        assert!(!rings(None, (doorbell::URGENT, 7), Signals::URGENT));
    }

    #[test]
    fn only_what_cannot_hurt_is_sent_and_nothing_where_signals_are_off() {
        let realtime = doorbell::first_realtime() + 6;
        assert!(rings(Some(7), (realtime, 7), Signals::URGENT));
        assert!(!rings(Some(7), (realtime, 7), Signals::OFF));
        for signal in [9, 15, 64 + 1, doorbell::first_realtime() + 5] {
            assert!(!rings(Some(7), (signal, 7), Signals::URGENT), "{signal}");
        }
    }
}
