//! Opening what only the own user can have made or opened, and making sure of that.
//!
//! A name may lead anywhere by the time that it is opened. So nothing is followed and nothing waited for, and
//! what was opened is looked at by its descriptor before it is used.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::geteuid;

/// Opens a name, without following a link and without waiting. What is made has mode 0600 at the most.
pub(crate) fn open(directory: impl AsFd, name: &OsStr, how: OFlag) -> nix::Result<OwnedFd> {
    let always = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    loop {
        match openat(directory.as_fd(), name, how | always, Mode::S_IRUSR | Mode::S_IWUSR) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Why an open descriptor is not used.
#[derive(Debug)]
pub(crate) enum Unfit {
    Errno(Errno),
    /// It is something else, or somebody else's.
    Because(String),
}

impl From<Errno> for Unfit {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Whether something belongs to the own user and is closed to others.
pub(crate) fn own(status: &FileStat) -> Result<(), Unfit> {
    let (mode, owner, own) = (status.st_mode & 0o7777, status.st_uid, geteuid().as_raw());
    if owner != own {
        let reason = format!("belongs to uid {owner}, and this process runs as uid {own}");
        return Err(Unfit::Because(reason));
    }
    if mode & 0o077 != 0 {
        return Err(Unfit::Because(format!("has mode {mode:04o}, so others may use it")));
    }
    Ok(())
}
