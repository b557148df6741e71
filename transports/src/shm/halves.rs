//! The two halves of a connection, once its memory is there: a ring each way, and a bell for each.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::ring::{Consumer, Producer, Read};
use crate::sys::{Region, ThisProcess};

/// Looks in vain at the ring, without sleeping in between, after which the bell is looked at as well: a peer
/// that has died rings it, and who never sleeps would not notice.
const LOOKS: u32 = 4096;

/// One end of a bell.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

/// What a bell has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    /// The other end is closed, because its half was dropped or its process has died.
    Gone,
}

impl Bell {
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Wakes who sleeps at the other end. If it has gone there is nobody to wake, and it will be noticed.
    ///
    /// # Errors
    /// When this is no bell.
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

    /// Takes out all rings.
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

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The half that reads. Its bell is not its own, so that it is there before this is.
#[derive(Debug)]
pub(super) struct Reader {
    ring: Consumer<Region>,
    process: ThisProcess,
    /// Whether it has slept, or was about to, since it last looked at the bell.
    slept: bool,
    looks: u32,
}

impl Reader {
    pub(super) fn new(ring: Consumer<Region>, process: ThisProcess) -> Self {
        // As far as a client is concerned: its bells are rung when it is accepted.
        Self { ring, process, slept: true, looks: 0 }
    }

    #[inline]
    pub(super) fn try_read(
        &mut self,
        bell: &Bell,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> io::Result<usize> {
        self.process.check()?;
        let mut said = Said::Nothing;
        if std::mem::take(&mut self.slept) {
            said = bell.hear()?;
        }
        loop {
            match self.ring.read(buffer, limit)? {
                Read::Bytes(count) => {
                    if self.ring.must_ring() {
                        bell.ring()?;
                    }
                    return Ok(count);
                }
                Read::End => return Ok(0),
                Read::Nothing if said == Said::Gone => return Err(died()),
                Read::Nothing => {}
            }
            self.looks += 1;
            if self.looks < LOOKS {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.looks = 0;
            said = bell.hear()?;
            if said == Said::Nothing {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // What it wrote before it went is still to be read.
        }
    }

    pub(super) fn arm(&mut self, bell: &Bell) -> bool {
        self.looks = 0;
        // What rang for an earlier sleep must not end this one. Errors show again when it is read.
        if !self.process.is_current() || (self.slept && bell.hear().ok() != Some(Said::Nothing)) {
            return false;
        }
        self.slept = self.ring.arm().unwrap_or(false);
        self.slept
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // In a forked child the connection is not over. The end of the bell wakes whoever waits for room.
        if self.process.is_current() {
            self.ring.close();
        }
    }
}

/// The half that writes.
#[derive(Debug)]
pub(super) struct Writer {
    ring: Producer<Region>,
    process: ThisProcess,
    slept: bool,
}

impl Writer {
    pub(super) fn new(ring: Producer<Region>, process: ThisProcess) -> Self {
        Self { ring, process, slept: true }
    }

    #[inline]
    pub(super) fn try_write(&mut self, bell: &Bell, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.process.check()?;
        let mut said = Said::Nothing;
        if std::mem::take(&mut self.slept) {
            said = bell.hear()?;
        }
        if said == Said::Gone || self.ring.is_unheard() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer reads no more"));
        }
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        match self.ring.write(buffers)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => {
                if self.ring.must_ring() {
                    bell.ring()?;
                }
                Ok(count)
            }
        }
    }

    pub(super) fn arm(&mut self, bell: &Bell) -> bool {
        if !self.process.is_current() || (self.slept && bell.hear().ok() != Some(Said::Nothing)) {
            return false;
        }
        self.slept = self.ring.arm().unwrap_or(false);
        self.slept
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.ring.close();
        }
    }
}

fn died() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "it has gone without closing the connection")
}
