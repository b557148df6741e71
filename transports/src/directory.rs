//! The private directory in which a server's name lies: made, checked, locked, and removed again.
//!
//! Whoever may write to the directory may replace the name, and whoever may search it may connect, so
//! it must belong to the own user and be closed to the others. Its lock makes "look, then take the
//! name" one step between servers that start at the same time.
//!
//! System calls: `mkdir(2)`, `openat(2)`, `fstat(2)`, `flock(2)`, `rmdir(2)`. Whoever made the directory
//! removes it, if it is the last to leave. Left behind is a directory that was there before, that
//! others still use, or whose maker was killed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;

/// The lock is held for a few local system calls; a holder that takes longer has been stopped.
const LOCK_ATTEMPTS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The same for who stops, whom nobody should have to wait for.
const LEAVE_ATTEMPTS: u32 = 100;
const LEAVE_PAUSE: Duration = Duration::from_millis(1);

/// Who has to get through the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The own user alone: mode 0700.
    OwnUser,
    /// Others too, who may pass but neither list nor change it: mode 0711.
    Others,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::OwnUser => 0o700,
            Self::Others => 0o711,
        }
    }

    /// The permission bits that nobody but the owner may have.
    fn forbidden(self) -> u32 {
        0o077 & !self.mode()
    }
}

/// An open directory that was found private.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    path: PathBuf,
    /// By this process, which then also removes it.
    made: bool,
}

/// The directory's lock, held until it is dropped.
pub(crate) struct Locked(#[expect(dead_code, reason = "dropping it is its use")] Flock<File>);

impl Directory {
    /// Opens `path`, after making it if it is absent, and locks it. Its parent must exist.
    ///
    /// # Errors
    /// `Refused` when it is not private, saying how it is and what to do; the operating system's.
    pub(crate) fn lock(path: &Path, access: Access) -> Result<(Self, Locked), RpcError> {
        for _ in 0..LOCK_ATTEMPTS {
            let directory = Self::open_or_make(path, access)?;
            directory.check(access)?;
            match directory.try_lock().map_err(|e| directory.failed("locking", e))? {
                // Its maker may have removed it between our opening and locking it.
                Some(locked) if directory.is_still_there() => return Ok((directory, locked)),
                Some(_) => {}
                None => thread::sleep(LOCK_PAUSE),
            }
        }
        Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "another process has held the lock on the directory {} for {:?}: it must have been \
                 stopped while it was starting a server",
                path.display(),
                LOCK_PAUSE * LOCK_ATTEMPTS
            ),
        }))
    }

    /// Opens `path` as a client does, which neither makes nor removes it. `None` if it is absent.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), except that one that may not be entered is `Refused`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Option<Self>, RpcError> {
        match Self::open_existing(path) {
            Ok(file) => {
                let directory = Self { file, path: path.to_owned(), made: false };
                directory.check(access).map(|()| Some(directory))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(RpcError::not_executed(ErrorKind::Refused {
                    reason: format!(
                        "the permissions of the directory {} keep uid {} out",
                        path.display(),
                        geteuid()
                    ),
                }))
            }
            Err(error) => {
                Err(RpcError::io(format!("opening the directory {}", path.display()), error))
            }
        }
    }

    /// The descriptor, for calls relative to it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn open_or_make(path: &Path, access: Access) -> Result<Self, RpcError> {
        let making = |e| RpcError::io(format!("making the directory {}", path.display()), e);
        let made = match DirBuilder::new().mode(access.mode()).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(making(error)),
        };
        let file = Self::open_existing(path)
            .map_err(|e| RpcError::io(format!("opening the directory {}", path.display()), e))?;
        if made {
            // The umask may have taken bits away.
            file.set_permissions(Permissions::from_mode(access.mode())).map_err(making)?;
        }
        Ok(Self { file, path: path.to_owned(), made })
    }

    fn open_existing(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(path)
    }

    fn check(&self, access: Access) -> Result<(), RpcError> {
        let metadata = self.file.metadata().map_err(|e| self.failed("looking at", e))?;
        let (mode, owner, own) = (metadata.mode() & 0o7777, metadata.uid(), geteuid().as_raw());
        let right = access.mode();
        let path = self.path.display();
        let advice = if owner != own {
            "choose a directory of your own, or one that does not exist yet".to_owned()
        } else if mode & access.forbidden() != 0 {
            format!("run chmod {right:04o} {path}, or choose one that does not exist yet")
        } else {
            return Ok(());
        };
        Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "the directory {path} has mode {mode:04o} and belongs to uid {owner}; a server's \
                 directory must have mode {right:04o} or less and belong to uid {own}: {advice}"
            ),
        }))
    }

    /// Takes the lock, unless somebody has it.
    pub(crate) fn try_lock(&self) -> io::Result<Option<Locked>> {
        // The lock belongs to the open file description, which the clone shares.
        match Flock::lock(self.file.try_clone()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Locked(lock))),
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// Takes the lock to give something back: waits for a moment for another who is just starting or stopping, which may
    /// be a server of this process in the same directory. `None` if that takes longer.
    pub(crate) fn lock_to_leave(&self) -> Option<Locked> {
        for _ in 0..LEAVE_ATTEMPTS {
            match self.try_lock() {
                Ok(Some(locked)) => return Some(locked),
                Ok(None) => thread::sleep(LEAVE_PAUSE),
                Err(_) => return None,
            }
        }
        None
    }

    fn is_still_there(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }

    fn failed(&self, doing: &str, error: io::Error) -> RpcError {
        RpcError::io(format!("{doing} the directory {}", self.path.display()), error)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // With the lock, because a server that is just starting has already made sure that the
        // directory is there. Without it that server is the one that keeps the directory.
        if self.made
            && let Some(_locked) = self.lock_to_leave()
            && self.is_still_there()
        {
            // Not empty means that other names are in use.
            let _ = fs::remove_dir(&self.path);
        }
    }
}
