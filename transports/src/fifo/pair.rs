//! The private pair of FIFOs of one client: making it, opening it from the other side, removing it.
//!
//! It lies in a sub-directory beside the rendezvous, whose name is the rendezvous's, a dot, and 32 random
//! hexadecimal digits: so leftovers are known by their name, and not taken for those of another
//! rendezvous in the same directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ipcall_core::transport::Peer;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, mkfifoat, unlinkat};

use super::announcement::{Announcement, RANDOM};
use super::{Unfit, hold, open, own, own_fifo, peer};
use crate::directory::Directory;

/// From the client to the server, and back.
const UP: &str = "up";
const DOWN: &str = "down";

/// A pair as the client makes it, which has it open in full before anybody knows of it.
pub(super) struct Made {
    /// The reading end of `down`.
    pub(super) down: OwnedFd,
    /// The writing end of `up`.
    pub(super) up: OwnedFd,
    /// A reading end of `up`, without which there could be no writing end yet. To be closed as soon as
    /// the server has one, whose death it would hide.
    pub(super) guard: OwnedFd,
    pub(super) names: Names,
    announcement: Announcement,
}

/// The names of a pair. Dropping them removes them.
pub(super) struct Names {
    directory: Directory,
    subdirectory: OsString,
    removed: bool,
}

impl Made {
    /// Makes a pair beside the rendezvous `name`.
    pub(super) fn new(directory: Directory, name: &OsStr) -> io::Result<Self> {
        let (announcement, subdirectory) = make_subdirectory(&directory, name)?;
        let names = Names { directory, subdirectory, removed: false };
        let open = |fifo, how| open(names.directory.file(), &names.path(fifo), how);
        for fifo in [UP, DOWN] {
            mkfifoat(names.directory.file(), names.path(fifo).as_os_str(), mode(0o600))?;
        }
        let down = open(DOWN, OFlag::O_RDONLY)?;
        let guard = open(UP, OFlag::O_RDONLY)?;
        let up = open(UP, OFlag::O_WRONLY)?;
        // Before the server looks, and until the guard is closed.
        hold(&up);
        Ok(Self { down, up, guard, names, announcement })
    }

    pub(super) fn announcement(&self) -> Announcement {
        self.announcement
    }
}

impl Names {
    /// The other side has removed them.
    pub(super) fn forget(mut self) {
        self.removed = true;
    }

    /// Shows the end to whoever sleeps on the reading end of `down`.
    pub(super) fn wake_reader(&self) {
        wake_reader(&self.directory, &self.subdirectory);
    }

    fn path(&self, fifo: &str) -> OsString {
        within(&self.subdirectory, fifo)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if !self.removed {
            remove(&self.directory, &self.subdirectory);
        }
    }
}

/// A pair as the server has it open.
pub(super) struct Opened {
    pub(super) up: OwnedFd,
    pub(super) down: OwnedFd,
    pub(super) peer: Peer,
}

/// Why a pair was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// Its client has gone.
    Gone,
    /// There is none, or none that a client makes.
    NoPair,
    /// The operating system does not let us now.
    Errno(Errno),
}

/// Opens the pair that a client has announced, and removes its names.
pub(super) fn open_announced(
    directory: &Directory,
    name: &OsStr,
    announcement: &Announcement,
) -> Result<Opened, NotOpened> {
    let subdirectory = subdirectory(name, announcement);
    let opened = open_checked(directory, &subdirectory);
    // What is in the way of opening it now may be gone the next time.
    if !matches!(opened, Err(NotOpened::Errno(_))) {
        remove(directory, &subdirectory);
    }
    opened
}

fn open_checked(directory: &Directory, subdirectory: &OsStr) -> Result<Opened, NotOpened> {
    let how = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let inner = open(directory.file(), subdirectory, how)?;
    own(&fstat(&inner)?)?;
    let up = open(&inner, OsStr::new(UP), OFlag::O_RDONLY)?;
    own_fifo(&up)?;
    // A writer has been there since then, so that the end is one also for `poll(2)`, even if the client
    // has closed its own writing end before.
    drop(open(&inner, OsStr::new(UP), OFlag::O_WRONLY)?);
    let down = open(&inner, OsStr::new(DOWN), OFlag::O_WRONLY)?;
    let peer = peer(&own_fifo(&down)?, &up);
    Ok(Opened { up, down, peer })
}

impl From<Errno> for NotOpened {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENXIO => Self::Gone,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS => Self::Errno(errno),
            _ => Self::NoPair,
        }
    }
}

impl From<Unfit> for NotOpened {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Errno(errno) => errno.into(),
            Unfit::Because(_) => Self::NoPair,
        }
    }
}

/// Removes all pairs beside the rendezvous `name`, after showing the end to those who wait there. To be
/// called while no server has that name: nobody can accept them any more.
pub(super) fn sweep(directory: &Directory, name: &OsStr) -> nix::Result<()> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut entries = Dir::from_fd(open(directory.file(), OsStr::new("."), how)?)?;
    let mut found = Vec::new();
    for entry in entries.iter() {
        let entry = entry?;
        let entry_name = OsStr::from_bytes(entry.file_name().to_bytes());
        // Some file systems do not say.
        let may_be = matches!(entry.file_type(), None | Some(Type::Directory));
        if may_be && is_subdirectory_of(name, entry_name) {
            found.push(entry_name.to_owned());
        }
    }
    for subdirectory in found {
        wake_reader(directory, &subdirectory);
        remove(directory, &subdirectory);
    }
    Ok(())
}

/// Removes a pair, as far as it is one.
fn remove(directory: &Directory, subdirectory: &OsStr) {
    // Nothing of this can be wrong but that it is gone, or that something else has the name; that stays,
    // and the sub-directory with it.
    for fifo in [UP, DOWN] {
        let path = within(subdirectory, fifo);
        if is_fifo(directory, &path) {
            let _ = unlinkat(directory.file(), path.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
    let _ = unlinkat(directory.file(), subdirectory, UnlinkatFlags::RemoveDir);
}

fn wake_reader(directory: &Directory, subdirectory: &OsStr) {
    let path = within(subdirectory, DOWN);
    if is_fifo(directory, &path) {
        // ENXIO: there is none. Otherwise closing it again is what is seen.
        let _ = open(directory.file(), &path, OFlag::O_WRONLY);
    }
}

fn is_fifo(directory: &Directory, path: &OsStr) -> bool {
    fstatat(directory.file(), path, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|status| status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits())
}

fn make_subdirectory(directory: &Directory, name: &OsStr) -> nix::Result<(Announcement, OsString)> {
    loop {
        let announcement = Announcement::new();
        let subdirectory = subdirectory(name, &announcement);
        match mkdirat(directory.file(), subdirectory.as_os_str(), mode(0o700)) {
            Ok(()) => return Ok((announcement, subdirectory)),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn subdirectory(name: &OsStr, announcement: &Announcement) -> OsString {
    let mut subdirectory = name.to_owned();
    subdirectory.push(".");
    subdirectory.push(announcement.digits());
    subdirectory
}

fn is_subdirectory_of(name: &OsStr, candidate: &OsStr) -> bool {
    let rest = candidate.as_bytes().strip_prefix(name.as_bytes());
    rest.and_then(|rest| rest.strip_prefix(b".")).is_some_and(|digits| {
        digits.len() == 2 * RANDOM && digits.iter().all(u8::is_ascii_hexdigit)
    })
}

fn within(subdirectory: &OsStr, fifo: &str) -> OsString {
    Path::new(subdirectory).join(fifo).into_os_string()
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
