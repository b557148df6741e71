//! The doorbell of a server: a signal by which clients say "read on, and look for cancellations".
//!
//! Handlers that the process had before go on being called. Nobody asks who has sent the signal, or how often: to be rung
//! for nothing costs a look at the connections that hold back. A process that has it blocked in all its
//! threads is not rung.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process;

use signal_hook::SigId;
use signal_hook::low_level;

use crate::protocol::hello;

/// Readable when it was rung. While it is there, the handlers are.
#[derive(Debug)]
pub(crate) struct Doorbell {
    receiver: UnixStream,
    signals: Vec<SigId>,
}

impl Doorbell {
    /// Has these signals handled.
    ///
    /// # Errors
    /// Those of `socketpair(2)` and `sigaction(2)`.
    pub(crate) fn hang(signals: &BTreeSet<u8>) -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut doorbell = Self { receiver, signals: Vec::new() };
        for signal in signals {
            let handler = low_level::pipe::register((*signal).into(), sender.try_clone()?)?;
            doorbell.signals.push(handler);
        }
        Ok(doorbell)
    }

    /// What clients are offered, now that the handlers stand.
    pub(crate) fn offer(signal: u8) -> hello::Doorbell {
        hello::Doorbell { signal, pid: process::id() }
    }

    pub(crate) fn try_clone_receiver(&self) -> io::Result<UnixStream> {
        self.receiver.try_clone()
    }

    /// Whether it was rung since this was asked last; in a forked child, perhaps by what its parent was sent.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub(crate) fn was_rung(&self) -> io::Result<bool> {
        let (mut bytes, mut rung) = ([0; 64], false);
        loop {
            match (&self.receiver).read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => rung = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(rung),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        for signal in self.signals.drain(..) {
            low_level::unregister(signal);
        }
    }
}
