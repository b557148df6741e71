//! Taking a place, seeing there who comes, and giving it back.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ipcall_core::transport::{Listener as Accept, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::inotify::AddWatchFlags;
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::halves::{Reader, Writer};
use super::joining::Files;
use super::place;
use super::spool::{self, NotOpened};
use super::watcher::Watch;
use super::{Address, limits};
use crate::directory::{Access, Directory};
use crate::private::{Unfit, open, own};
use crate::sys::ThisProcess;

/// Clients that wait to be accepted. One more sees the end.
const BACKLOG: usize = 1024;

/// How often a place is cleared into which clients are just coming.
const CLEARINGS: usize = 100;

/// Accepts the clients of one place. Dropping it removes the place, if it is still ours, and shows the end to
/// those who were not accepted.
pub(crate) struct Listener {
    watch: Watch,
    waiting: VecDeque<OsString>,
    name: Name,
    path: Arc<str>,
}

/// The place, as long as it is ours.
struct Name {
    parent: Directory,
    name: OsString,
    place: OwnedFd,
    device_and_inode: (u64, u64),
    /// Their locks are what a living server is known by.
    server: Option<[File; 2]>,
    process: ThisProcess,
}

impl Listener {
    /// Takes the path `address`, and listens there.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::invalid_endpoint(
                "a file endpoint is for its server's user alone, and allow-uids lets others in: use \
                 unix:, or remove allow-uids",
            ));
        }
        let (parent, _locked) = Directory::lock(&address.directory, Access::OwnUser)?;
        limits::check_place(parent.file(), &address.directory.display().to_string())?;
        make_room(&parent, address)?;
        let path: Arc<str> = address.path.display().to_string().into();
        let failed = |doing: &'static str| {
            let path = Arc::clone(&path);
            move |error: io::Error| RpcError::io(format!("{doing} {path}"), error)
        };
        let mut name = Name::take(parent, &address.name).map_err(failed("making the directory"))?;
        let mut watch = Watch::new().map_err(failed("watching"))?;
        let come = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        watch.add(&name.place, come).map_err(failed("watching"))?;
        watch.fall_asleep();
        // Now that nobody is missed, clients may come.
        name.server = Some(place::announce(&name.place).map_err(failed("making files in"))?);
        Ok(Self { watch, waiting: VecDeque::new(), name, path })
    }

    /// Sees who has come.
    fn look(&mut self) -> io::Result<()> {
        self.waiting = place::waiting(&self.name.place)?.into();
        for name in self.waiting.drain(BACKLOG.min(self.waiting.len())..) {
            place::remove(&self.name.place, &name);
        }
        Ok(())
    }

    /// The next who is still there.
    fn next(&mut self) -> io::Result<Transport> {
        while let Some(name) = self.waiting.pop_front() {
            match self.open(&name) {
                Ok(transport) => return Ok(transport),
                Err(NotOpened::Gone | NotOpened::NoSpool) => {
                    place::remove(&self.name.place, &name);
                }
                Err(NotOpened::NotNow(errno)) => {
                    self.waiting.push_back(name);
                    return Err(errno.into());
                }
                Err(NotOpened::Never(error)) => {
                    place::remove(&self.name.place, &name);
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, error));
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Opens the files of a client, and removes their names: by that it knows that it is accepted.
    fn open(&self, name: &OsStr) -> Result<Transport, NotOpened> {
        let directory = place::open_client(&self.name.place, name)?;
        let (incoming, outgoing, peer) = spool::open_made(&directory)?;
        let files = Arc::new(Files::accepted(incoming, outgoing, Arc::clone(&self.path)));
        let (reader, writer) = (Reader::new(&files)?, Writer::new(&files)?);
        place::remove(&self.name.place, name);
        Ok(Transport { reader: Box::new(reader), writer: Box::new(writer), peer })
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.name.process.check()?;
        self.watch.fall_asleep();
        if self.watch.take_news() {
            self.look().inspect_err(|_| {
                self.watch.remind();
                self.watch.ring();
            })?;
        }
        let next = self.next();
        if !self.waiting.is_empty() {
            self.watch.ring();
        }
        next
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(test)]
impl Listener {
    /// As a process that is killed leaves it: closed, and its files still there.
    pub(super) fn close_without_a_trace(mut self) {
        self.name.server = None;
        std::mem::forget(self.name);
    }
}

impl Name {
    fn take(parent: Directory, name: &OsStr) -> io::Result<Self> {
        let process = ThisProcess::current()?;
        mkdirat(parent.file(), name, Mode::S_IRWXU)?;
        let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let place = open(parent.file(), name, how)?;
        // The umask may have taken bits away.
        fchmod(&place, Mode::S_IRWXU)?;
        let device_and_inode = identity(&fstat(&place)?);
        Ok(Self { parent, name: name.to_owned(), place, device_and_inode, server: None, process })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // A forked child has not made it.
        if !self.process.is_current() {
            return;
        }
        // With the lock: otherwise another server is just starting, and finds this one's place stale, or
        // will the next time.
        let Some(_locked) = self.parent.lock_to_leave() else { return };
        let (parent, name) = (self.parent.file(), self.name.as_os_str());
        for _ in 0..CLEARINGS {
            // Clients that are just coming may bring something in between, also into their own directories.
            let _ = place::sweep(&self.place);
            // Somebody may have moved or replaced it by hand.
            if !fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|status| identity(&status) == self.device_and_inode)
            {
                return;
            }
            let removed = unlinkat(parent, name, UnlinkatFlags::RemoveDir);
            if removed != Err(Errno::ENOTEMPTY) {
                return;
            }
        }
    }
}

fn identity(status: &FileStat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

/// Removes the place of a server that has died; anything else that has the name is an error. The directory
/// is locked.
fn make_room(parent: &Directory, address: &Address) -> Result<(), RpcError> {
    let path = address.path.display();
    let failed = |doing: &str, errno: Errno| RpcError::io(format!("{doing} {path}"), errno.into());
    let refused = |reason| Err(RpcError::not_executed(ErrorKind::Refused { reason }));
    let name = address.name.as_os_str();

    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let place = match open(parent.file(), name, how) {
        Ok(place) => place,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return refused(format!(
                "{path} is a foreign file, not a server's directory: move it away, or choose another path"
            ));
        }
        Err(Errno::EACCES) => {
            return refused(format!("{path} belongs to somebody else: choose another path"));
        }
        Err(errno) => return Err(failed("opening", errno)),
    };
    let status = fstat(&place).map_err(|errno| failed("looking at", errno))?;
    if let Err(Unfit::Because(reason)) = own(&status) {
        return refused(format!("{path} {reason}: choose another path"));
    }
    match place::find_server(&place) {
        Ok(server) if is_held(&server, address)? => {
            return Err(RpcError::not_executed(ErrorKind::AddressInUse {
                detail: format!("a living server holds the locks of the files in {path}"),
            }));
        }
        Ok(_) | Err(Unfit::Errno(Errno::ENOENT | Errno::ELOOP) | Unfit::Because(_)) => {}
        Err(Unfit::Errno(errno)) => return Err(failed("asking whether a server is in", errno)),
    }
    for _ in 0..CLEARINGS {
        place::sweep(&place).map_err(|errno| failed("clearing", errno))?;
        match unlinkat(parent.file(), name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(failed("removing the stale directory", errno)),
        }
    }
    refused(format!(
        "{path} has files that no server of this kind has left: move them away, or choose another path"
    ))
}

fn is_held(server: &[File; 2], address: &Address) -> Result<bool, RpcError> {
    spool::are_held(server).map_err(|error| {
        RpcError::io(format!("asking for the locks in {}", address.path.display()), error)
    })
}
