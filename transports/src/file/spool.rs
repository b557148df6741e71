//! The four files of a connection, two for each direction: making them, opening them from the other side,
//! and what their state says.
//!
//! | | is told by |
//! |---|---|
//! | bytes | appended to one segment until that has [`SEGMENT`] bytes, then to the other, in turn |
//! | all of a segment was read | the reader has truncated it, and set its times, which wakes the writer |
//! | nothing more will be written | the writer has set the execute bit of segment 0 |
//! | nothing more will be read | the reader has set that of segment 1 |
//! | a side lives | it holds the locks of both segments that it writes to |
//!
//! **Why two locks.** The kernel tells of a file's closing before it drops the lock (`__fput`), so that who
//! is woken by that may still find it held. But it closes one file after the other: when the second
//! closing is told, the first lock is free. So a side has died if either is.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use ipcall_core::transport::Peer;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, futimens};
use nix::sys::time::TimeSpec;

use super::place::create;
use crate::private::{Unfit, open, own};
use crate::sys;

/// Bytes of a segment. A direction has two, so that one is written while the other is read.
pub(super) const SEGMENT: u64 = 512 << 10;

/// What both sides have to agree on: what stands above, and the length of a segment.
pub(super) const LAYOUT: &[u8] = b"ipcall file, version 1, segments of 524288 bytes\n";

/// What the files are called.
const UP: [&str; 2] = ["up.0", "up.1"];
const DOWN: [&str; 2] = ["down.0", "down.1"];

/// All four, in the order in which their names are removed.
pub(super) const NAMES: [&str; 4] = [UP[0], UP[1], DOWN[0], DOWN[1]];

/// How the other side is known.
const OWNER: &str = "owner of its files";

/// Modes of a file: as it is made, and with the mark that its end is.
const PLAIN: u32 = 0o600;
const ENDED: u32 = 0o700;

/// The two segments of one direction.
#[derive(Debug)]
pub(super) struct Spool([File; 2]);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    Second,
}

impl Turn {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Spool {
    /// Its files.
    pub(super) fn segments(&self) -> &[File; 2] {
        &self.0
    }

    /// One of them.
    pub(super) fn segment(&self, turn: Turn) -> &File {
        &self.0[turn as usize]
    }

    /// Bytes in one of them.
    pub(super) fn length(&self, turn: Turn) -> io::Result<u64> {
        Ok(self.segment(turn).metadata()?.len())
    }

    /// All of a segment was read: gives it back to the writer.
    pub(super) fn give_back(&self, turn: Turn) -> io::Result<()> {
        let segment = self.segment(turn);
        segment.set_len(0)?;
        // Who waits for it does not watch for changes of its bytes, because those are its own.
        touch(segment)
    }

    /// Wakes the half of this side that reads it.
    pub(super) fn wake_reader(&self) {
        // Of a file of our own, which takes no space.
        let _ = touch(&self.0[0]);
    }

    /// Whether the writer will write no more.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        has_mark(&self.0[0])
    }

    /// Whether the reader will read no more.
    pub(super) fn is_unheard(&self) -> io::Result<bool> {
        has_mark(&self.0[1])
    }

    /// Says that nothing more will be written.
    pub(super) fn end(&self) {
        set_mark(&self.0[0]);
    }

    /// Says that nothing more will be read.
    pub(super) fn stop_hearing(&self) {
        set_mark(&self.0[1]);
    }

    /// Whether whoever writes to it lives.
    pub(super) fn is_held(&self) -> io::Result<bool> {
        are_held(&self.0)
    }

    /// Says that this process writes to it, until it is closed; `false` if somebody else does.
    pub(super) fn hold(&self) -> io::Result<bool> {
        hold(&self.0)
    }

    /// Whether it has a name no more.
    pub(super) fn is_nameless(&self) -> io::Result<bool> {
        Ok(self.0[0].metadata()?.nlink() == 0)
    }
}

/// Sets the times of a file, which whoever watches its attributes is told.
fn touch(file: &File) -> io::Result<()> {
    Ok(futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?)
}

fn has_mark(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.mode() & ENDED == ENDED)
}

fn set_mark(file: &File) {
    // Of a file of our own, which takes no space. If it should fail, the other side takes us for dead.
    let _ = fchmod(file, mode(ENDED));
}

/// Takes the locks of two files; `false` if somebody has one.
pub(super) fn hold(files: &[File; 2]) -> io::Result<bool> {
    Ok(sys::try_flock(files[0].as_fd())? && sys::try_flock(files[1].as_fd())?)
}

/// Whether somebody who lives has both.
pub(super) fn are_held(files: &[File; 2]) -> io::Result<bool> {
    Ok(sys::is_flocked(files[0].as_fd())? && sys::is_flocked(files[1].as_fd())?)
}

/// Makes the files of a connection in `directory`, as the client: what it writes to, and what it reads.
pub(super) fn make(directory: impl AsFd) -> io::Result<(Spool, Spool)> {
    let create = |name| create(&directory, OsStr::new(name)).map(File::from);
    let outgoing = Spool([create(UP[0])?, create(UP[1])?]);
    let incoming = Spool([create(DOWN[0])?, create(DOWN[1])?]);
    outgoing.hold()?;
    Ok((outgoing, incoming))
}

/// Why the files of a connection were not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// Their client has gone.
    Gone,
    /// There are none, or none that a client makes.
    NoSpool,
    /// The operating system does not let us now: descriptors or memory have run out.
    NotNow(Errno),
    /// A limit does not let us.
    Never(io::Error),
}

/// Opens them as the server: what it reads, what it writes to, and whose they are.
pub(super) fn open_made(directory: &OwnedFd) -> Result<(Spool, Spool, Peer), NotOpened> {
    let open = |name: &str| -> Result<File, NotOpened> {
        let file = File::from(open(directory, OsStr::new(name), OFlag::O_RDWR)?);
        check(&file)?;
        Ok(file)
    };
    let incoming = Spool([open(UP[0])?, open(UP[1])?]);
    let outgoing = Spool([open(DOWN[0])?, open(DOWN[1])?]);
    if !incoming.is_held()? && !incoming.has_ended()? {
        return Err(NotOpened::Gone);
    }
    let is_empty = outgoing.length(Turn::First)? == 0 && outgoing.length(Turn::Second)? == 0;
    if !is_empty || !outgoing.hold()? {
        return Err(NotOpened::NoSpool);
    }
    let peer = owner(&incoming.0[0])?;
    Ok((incoming, outgoing, peer))
}

/// The user to whom a file of the other side belongs.
pub(super) fn owner(file: &File) -> io::Result<Peer> {
    let metadata = file.metadata()?;
    let mut peer = Peer::default();
    peer.uid = Some(metadata.uid());
    peer.gid = Some(metadata.gid());
    peer.known_by = OWNER;
    Ok(peer)
}

/// Whether this is a file as a client makes them, and has one name only: it will be written to.
fn check(file: &File) -> Result<(), NotOpened> {
    let status = fstat(file)?;
    let is_file = status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    let has_mode = matches!(status.st_mode & 0o7777, PLAIN | ENDED);
    let is_small = u64::try_from(status.st_size).is_ok_and(|size| size <= SEGMENT);
    if is_file && has_mode && is_small && status.st_nlink == 1 {
        Ok(own(&status)?)
    } else {
        Err(NotOpened::NoSpool)
    }
}

impl From<Errno> for NotOpened {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::ENOLCK => {
                Self::NotNow(errno)
            }
            _ => Self::NoSpool,
        }
    }
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Errno::from_raw(code).into(),
            None => Self::Never(error),
        }
    }
}

impl From<Unfit> for NotOpened {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Errno(errno) => errno.into(),
            Unfit::Because(_) => Self::NoSpool,
        }
    }
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}
