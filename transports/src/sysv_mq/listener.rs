//! Taking a key file's path, listening there, and giving it back.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use ipcall_core::transport::{Listener as Accept, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::key_file::{Contents, KeyFile, Record};
use super::lobby::Lobby;
use super::pair::Running;
use super::queues::{self, Keys};
use super::{Address, random};
use crate::directory::{Access, Directory};
use crate::process::Process;

/// Keys that are tried before it is given up to find some that are free.
const ATTEMPTS: usize = 100;

/// Accepts the clients of one key file. Dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub(crate) struct Listener {
    // In this order: the name goes first, so that nobody comes who finds nothing.
    _name: Name,
    lobby: OpenLobby,
}

/// Closes the lobby when it is dropped.
#[derive(Debug)]
struct OpenLobby(Arc<Lobby>);

/// The key file, as long as it is ours.
#[derive(Debug)]
struct Name {
    address: Address,
    file: KeyFile,
    directory: Directory,
}

impl Listener {
    /// Takes the path `address` and listens there.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::invalid_endpoint(
                "other users cannot be let in, because the kernel does not say who has sent a message: \
                 remove allow-uids, or use unix:",
            ));
        }
        let (directory, _locked) = Directory::lock(&address.directory, Access::OwnUser)?;
        make_room(address)?;
        queues::sweep();

        let path = address.path.display();
        let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
        let file =
            KeyFile::create(&address.path).map_err(|error| failed("making the key file", error))?;
        let name = Name { address: address.clone(), file, directory };
        let start = random();
        let lobby = Lobby::new(start).map_err(|error| failed("making the bell of", error))?;
        let lobby = OpenLobby(Arc::new(lobby));
        let (keys, first) = name.make_queues(start, &lobby.0)?;
        lobby.0.open(keys, first).map_err(|error| failed("starting a thread for", error))?;
        Ok(Self { _name: name, lobby })
    }
}

#[cfg(test)]
impl Listener {
    /// The pairs of queues that there are.
    pub(super) fn pairs(&self) -> Vec<Arc<super::pair::Pair>> {
        self.lobby.0.pairs()
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.lobby.0.accept()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lobby.0.as_fd()
    }
}

impl Drop for OpenLobby {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Name {
    /// Makes the first pair of queues, with keys that stand in the file before.
    fn make_queues(&self, start: u64, lobby: &Arc<Lobby>) -> Result<(Keys, Running), RpcError> {
        let path = self.address.path.display();
        for _ in 0..ATTEMPTS {
            let keys = Keys::new(random());
            self.file
                .write(&Record::of_this_process(start, keys))
                .map_err(|error| RpcError::io(format!("writing the key file {path}"), error))?;
            match Running::create(keys, 0, lobby) {
                Ok(running) => return Ok((keys, running)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(RpcError::invalid_endpoint(error.to_string()));
                }
                Err(error) => {
                    let doing = "making message queues (kernel.msgmni limits how many there are)";
                    return Err(RpcError::io(doing, error));
                }
            }
        }
        Err(RpcError::io(
            "looking for keys that no message queue has",
            io::ErrorKind::AlreadyExists.into(),
        ))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // As long as it is locked, no other server has taken the name over; but somebody may have moved or
        // replaced the file by hand.
        let name = self.address.name.as_os_str();
        let found = fstatat(self.directory.file(), name, AtFlags::AT_SYMLINK_NOFOLLOW);
        if let (Ok(found), Ok(ours)) = (found, self.file.identity())
            && (found.st_dev, found.st_ino) == ours
        {
            let _ = unlinkat(self.directory.file(), name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Removes a stale key file, with the queues that it leads to; anything else that has the name is an
/// error. The directory is locked.
fn make_room(address: &Address) -> Result<(), RpcError> {
    let path = address.path.display();
    let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
    let Some(file) = KeyFile::open(&address.path)? else { return Ok(()) };
    let contents = file.read().map_err(|error| failed("reading the key file", error))?;
    let locked = file.is_locked().map_err(|e| failed("asking who has locked the key file", e))?;
    let record = match contents {
        Contents::Record(record) => Some(record),
        Contents::Empty => None,
        Contents::Foreign => {
            let reason = format!(
                "{path} is a foreign file, not a key file: move it away, or choose another path"
            );
            return Err(RpcError::not_executed(ErrorKind::Refused { reason }));
        }
    };
    if locked && !record.is_some_and(|record| has_died(&record)) {
        return Err(RpcError::not_executed(ErrorKind::AddressInUse {
            detail: format!("a living server has locked the key file {path}"),
        }));
    }
    // Queues of another namespace went with it, or cannot be reached.
    if let Some(record) = record.filter(Record::is_from_here) {
        queues::remove_leftovers(record.keys);
    }
    fs::remove_file(PathBuf::from(&address.path))
        .map_err(|error| failed("removing the stale key file", error))
}

/// Whether the server has died although its lock is held: by a child that it had forked.
fn has_died(record: &Record) -> bool {
    record.is_from_here()
        && match Process::open(record.pid) {
            Ok(Some(process)) => process.has_ended(),
            Ok(None) => true,
            Err(_) => false,
        }
}
