//! Taking a rendezvous's path, reading there who comes, and giving it back.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ipcall_core::transport::{Listener as Accept, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, mkfifoat, unlinkat};

use super::announcement::{Announcement, Inbox};
use super::pair::{self, NotOpened, Opened};
use super::{Address, hold, open};
use crate::directory::{Access, Directory};
use crate::{pipe_halves, sys};

/// What the server writes into `down` once it has both FIFOs open.
pub(super) const ACCEPTED: u8 = 1;

/// Records that one try to accept reads past: those of clients that have gone, and what is no record.
const SKIPPED_AT_ONCE: usize = 64;

/// Accepts the clients of one rendezvous. Dropping it removes the rendezvous, if it is still ours, and
/// shows the end to those who were not accepted. The order of the fields is that of closing.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As long as the reading end is open, no other server takes the name over.
    _name: Name,
    reading: OwnedFd,
    inbox: Inbox,
    waiting: Waiting,
    /// So that there is always a writer.
    writing: OwnedFd,
}

/// Where the rendezvous lies.
#[derive(Debug)]
struct Place {
    address: Address,
    directory: Directory,
}

/// The name of the rendezvous, as long as it is ours.
#[derive(Debug)]
struct Name {
    place: Arc<Place>,
    device_and_inode: (u64, u64),
}

/// The pairs that clients have made and that nobody has opened.
#[derive(Debug)]
struct Waiting(Arc<Place>);

impl Listener {
    /// Takes the path `address` and reads there.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::invalid_endpoint(
                "a fifo endpoint is for its server's user alone, and allow-uids lets others in: use \
                 unix:, or remove allow-uids",
            ));
        }
        let (directory, _locked) = Directory::lock(&address.directory, Access::OwnUser)?;
        make_room(&directory, address)?;
        let path = address.path.display();
        let failed =
            |doing: &str, errno: Errno| RpcError::io(format!("{doing} {path}"), errno.into());
        pair::sweep(&directory, &address.name)
            .map_err(|errno| failed("removing what clients have left beside", errno))?;

        let place = Arc::new(Place { address: address.clone(), directory });
        let name =
            Name::take(Arc::clone(&place)).map_err(|errno| failed("making the FIFO", errno))?;
        let open = |how| {
            open(place.directory.file(), &address.name, how)
                .map_err(|errno| failed("opening the FIFO", errno))
        };
        let (reading, writing) = (open(OFlag::O_RDONLY)?, open(OFlag::O_WRONLY)?);
        for end in [&reading, &writing] {
            let status = fstat(end).map_err(|errno| failed("looking at the FIFO", errno))?;
            if identity(&status) != name.device_and_inode {
                return Err(RpcError::not_executed(ErrorKind::Refused {
                    reason: format!("somebody has put something else in the place of {path}"),
                }));
            }
        }
        hold(&writing);
        Ok(Self { _name: name, reading, inbox: Inbox::default(), waiting: Waiting(place), writing })
    }

    /// Opens what a client has announced. `None` if that leads nowhere.
    fn open(&self, announcement: &Announcement) -> io::Result<Option<Transport>> {
        let Place { address, directory } = &*self.waiting.0;
        match pair::open_announced(directory, &address.name, announcement) {
            Ok(opened) => Ok(accept(opened)),
            Err(NotOpened::Gone | NotOpened::NoPair) => Ok(None),
            Err(NotOpened::Errno(errno)) => {
                // It comes again, behind the others. If the rendezvous is full, the client has to give
                // up by itself.
                let _ = announcement.send(&self.writing);
                Err(errno.into())
            }
        }
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        for _ in 0..SKIPPED_AT_ONCE {
            if let Some(announcement) = self.inbox.read(&self.reading)?
                && let Some(transport) = self.open(&announcement)?
            {
                return Ok(transport);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            format!("{} announcements in a row led nowhere", SKIPPED_AT_ONCE),
        ))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }
}

/// Tells a client that it is accepted; `None` if it is no longer there to hear it.
fn accept(opened: Opened) -> Option<Transport> {
    let Opened { up, down, peer } = opened;
    let told = sys::write_without_sigpipe(down.as_fd(), &[IoSlice::new(&[ACCEPTED])]);
    if !matches!(told, Ok(1)) {
        return None;
    }
    let reader = Box::new(pipe_halves::Reader::new(up));
    let writer = Box::new(pipe_halves::Writer::new(down));
    Some(Transport { reader, writer, peer })
}

#[cfg(test)]
impl Listener {
    /// As a process that is killed leaves it: closed, and its name still there.
    pub(super) fn close_without_a_trace(self) {
        std::mem::forget((self._name, self.waiting));
    }

    /// Opens the pair of the next client, writes this in the place of the acceptance, and closes it.
    pub(super) fn answer_with(&mut self, answer: &[u8]) {
        let announcement = self.inbox.read(&self.reading).ok().flatten();
        let Place { address, directory } = &*self.waiting.0;
        let opened = announcement.and_then(|announcement| {
            pair::open_announced(directory, &address.name, &announcement).ok()
        });
        let down = opened.map(|opened| std::fs::File::from(opened.down));
        assert!(down.is_some_and(|mut down| io::Write::write_all(&mut down, answer).is_ok()));
    }
}

impl Name {
    fn take(place: Arc<Place>) -> nix::Result<Self> {
        let (directory, name) = (place.directory.file(), place.address.name.as_os_str());
        mkfifoat(directory, name, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let status = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Self { place, device_and_inode: identity(&status) })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let (directory, name) = (self.place.directory.file(), self.place.address.name.as_os_str());
        // Somebody may have moved or replaced it by hand.
        if fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|status| identity(&status) == self.device_and_inode)
        {
            let _ = unlinkat(directory, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Place { address, directory } = &*self.0;
        // With the lock, and while the name is free: otherwise another server is just starting, or
        // serves there already, and has removed these pairs itself.
        if let Some(_locked) = directory.lock_to_leave()
            && fstatat(directory.file(), address.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_err_and(|errno| errno == Errno::ENOENT)
        {
            // The clients give up by themselves; then the next server removes what they leave.
            let _ = pair::sweep(directory, &address.name);
        }
    }
}

fn identity(status: &FileStat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

/// Removes a stale rendezvous; anything else that has the name is an error. The directory is locked.
fn make_room(directory: &Directory, address: &Address) -> Result<(), RpcError> {
    let path = address.path.display();
    let failed = |doing: &str, errno: Errno| RpcError::io(format!("{doing} {path}"), errno.into());
    let refused = |reason| Err(RpcError::not_executed(ErrorKind::Refused { reason }));
    let name = address.name.as_os_str();

    let found = match fstatat(directory.file(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(failed("looking at", errno)),
    };
    if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFIFO.bits() {
        return refused(format!(
            "{path} is a foreign file, not a FIFO: move it away, or choose another path"
        ));
    }
    let own = geteuid().as_raw();
    if found.st_uid != own {
        return refused(format!(
            "the FIFO {path} belongs to uid {}, and this process runs as uid {own}: choose another path",
            found.st_uid
        ));
    }
    match open(directory.file(), name, OFlag::O_WRONLY) {
        Err(Errno::ENXIO) => unlinkat(directory.file(), name, UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| failed("removing the stale FIFO", errno)),
        Ok(_) => Err(RpcError::not_executed(ErrorKind::AddressInUse {
            detail: format!("a living server reads the FIFO {path}"),
        })),
        Err(errno) => Err(failed("asking whether a server reads", errno)),
    }
}
