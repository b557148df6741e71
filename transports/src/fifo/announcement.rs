//! The record by which a client tells the server of its pair, and finding records among what came.
//!
//! A record is written at once, and because it is shorter than `PIPE_BUF` it arrives in one piece. It says
//! where to look and nothing that would have to be believed. What is no record is dropped: it costs
//! nobody else's record, wherever it ends, because a record's first bytes do not occur within one, and its
//! last byte not among those.
//!
//! ```text
//! 0   magic: "ipcfifo", and the version, 1
//! 8   what is random in the sub-directory's name
//! 24  zero
//! ```

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use crate::sys;

/// Bytes of a record.
const LENGTH: usize = 32;

/// Random bytes in the name of a sub-directory.
pub(super) const RANDOM: usize = 16;

const MAGIC: [u8; 8] = *b"ipcfifo\x01";

/// What a client says: which pair is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    random: [u8; RANDOM],
}

impl Announcement {
    /// A name that nobody else is likely to have.
    pub(super) fn new() -> Self {
        let mut random = [0; RANDOM];
        for part in random.chunks_exact_mut(8) {
            // Different in each process and at each call.
            part.copy_from_slice(&RandomState::new().hash_one(std::process::id()).to_ne_bytes());
        }
        Self { random }
    }

    /// The random part, as it stands in the sub-directory's name: whatever a peer claims, these are
    /// hexadecimal digits.
    pub(super) fn digits(&self) -> String {
        self.random.iter().fold(String::new(), |mut digits, byte| {
            // Writing to a string does not fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }

    /// Writes the record, which is done at once or not at all.
    ///
    /// # Errors
    /// `WouldBlock` when the rendezvous is full, `BrokenPipe` when nobody reads it.
    pub(super) fn send(&self, rendezvous: impl AsFd) -> io::Result<()> {
        let record = self.to_bytes();
        match sys::write_without_sigpipe(rendezvous.as_fd(), &[IoSlice::new(&record)])? {
            LENGTH => Ok(()),
            // Not to be had from a FIFO.
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn to_bytes(self) -> [u8; LENGTH] {
        let mut record = [0; LENGTH];
        record[..8].copy_from_slice(&MAGIC);
        record[8..24].copy_from_slice(&self.random);
        record
    }

    fn from_bytes(record: &[u8]) -> Option<Self> {
        let rest = record.strip_prefix(&MAGIC)?;
        // Another record has begun before this one was whole: the other is what is right.
        if rest.windows(MAGIC.len()).any(|window| window == MAGIC) || rest.last() != Some(&0) {
            return None;
        }
        rest.first_chunk().map(|random| Self { random: *random })
    }
}

/// The reading end's buffer. It never holds a whole record between two calls, so that the FIFO's
/// descriptor is readable as long as there are any.
#[derive(Debug, Default)]
pub(super) struct Inbox(Vec<u8>);

impl Inbox {
    /// Reads once; `None` when that did not complete a record.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn read(&mut self, rendezvous: impl AsFd) -> io::Result<Option<Announcement>> {
        self.0.reserve(LENGTH);
        let missing = LENGTH - self.0.len();
        if sys::read_append(rendezvous.as_fd(), &mut self.0, missing)? == 0 {
            // Not while the server holds a writing end.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.0.len() < LENGTH {
            self.skip_to_a_beginning(0);
            return Ok(None);
        }
        let announcement = Announcement::from_bytes(&self.0);
        match announcement {
            Some(_) => self.0.clear(),
            None => self.skip_to_a_beginning(1),
        }
        Ok(announcement)
    }

    /// Drops what cannot be the beginning of a record, and at least `least` bytes.
    fn skip_to_a_beginning(&mut self, least: usize) {
        let is_beginning = |start: &usize| {
            let bytes = &self.0[*start..];
            MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())])
        };
        let start = (least..self.0.len()).find(is_beginning).unwrap_or(self.0.len());
        self.0.drain(..start);
    }
}

#[cfg(test)]
#[path = "announcement_tests.rs"]
mod tests;
