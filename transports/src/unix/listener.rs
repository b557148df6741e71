//! Taking a socket's path, listening there, and giving it back.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use ipcall_core::transport::{Listener as Accept, Peer, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::socket::{self, Backlog, UnixAddr};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::{Address, Failed};
use crate::directory::{Access, Directory};

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Accepts the clients of one socket. Dropping it removes the socket's file, if it is still ours.
#[derive(Debug)]
pub(crate) struct Listener {
    // Before the socket: as long as that listens, nobody else takes the name.
    _name: Name,
    socket: UnixListener,
}

/// The file of a bound socket, as long as it is ours.
#[derive(Debug)]
struct Name {
    address: Address,
    device_and_inode: (u64, u64),
    directory: Directory,
}

impl Listener {
    /// Takes the path `address` and listens at it.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        let (access, mode) = if settings.allow_uids.is_empty() {
            (Access::OwnUser, 0o600)
        } else {
            (Access::Others, 0o666)
        };
        let (directory, _locked) = Directory::lock(&address.directory, access)?;
        make_room(address)?;

        let path = address.path.display();
        let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
        let socket = super::new_socket().map_err(|e| failed("making the socket", e.into()))?;
        let name =
            Name::take(address, directory, &socket).map_err(|e| failed("binding the socket", e))?;
        // Nobody can connect before it listens.
        fs::set_permissions(&address.path, Permissions::from_mode(mode))
            .map_err(|e| failed("setting the mode of", e))?;
        Backlog::new(BACKLOG)
            .and_then(|backlog| socket::listen(&socket, backlog))
            .map_err(|e| failed("listening at", e.into()))?;
        Ok(Self { _name: name, socket: socket.into() })
    }
}

impl Listener {
    /// Takes the next client's socket, with what the kernel says about the client.
    pub(crate) fn accept_socket(&self) -> io::Result<(OwnedFd, Peer)> {
        let (client, _) = self.socket.accept()?;
        client.set_nonblocking(true)?;
        let credentials = super::credentials(&client)?;
        Ok((client.into(), super::peer(credentials)))
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        let (client, peer) = self.accept_socket()?;
        super::transport(client, peer)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Name {
    fn take(address: &Address, directory: Directory, socket: &OwnedFd) -> io::Result<Self> {
        socket::bind(socket.as_raw_fd(), &UnixAddr::new(&address.path)?)?;
        // Looked up in the directory that was checked: had the path been made to lead elsewhere
        // meanwhile, the socket would not be found here.
        let device_and_inode = identify(&directory, &address.name)?;
        Ok(Self { address: address.clone(), device_and_inode, directory })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // The socket still listens, so no other server has taken the name over since; but somebody may
        // have moved or replaced the file by hand.
        if identify(&self.directory, &self.address.name)
            .is_ok_and(|found| found == self.device_and_inode)
        {
            let _ = unlinkat(
                self.directory.file(),
                self.address.name.as_os_str(),
                UnlinkatFlags::NoRemoveDir,
            );
        }
    }
}

fn identify(directory: &Directory, name: &OsStr) -> io::Result<(u64, u64)> {
    let status = fstatat(directory.file(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok((status.st_dev, status.st_ino))
}

/// Removes a stale socket; anything else that has the name is an error. The directory is locked.
fn make_room(address: &Address) -> Result<(), RpcError> {
    let path = address.path.display();
    let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
    let refused = |reason| Err(RpcError::not_executed(ErrorKind::Refused { reason }));

    let found = match fs::symlink_metadata(&address.path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("looking at", error)),
    };
    if !found.file_type().is_socket() {
        return refused(format!(
            "{path} is a foreign file, not a socket: move it away, or choose another path"
        ));
    }
    let own = geteuid().as_raw();
    if found.uid() != own {
        return refused(format!(
            "the socket {path} belongs to uid {}, and this process runs as uid {own}: choose another \
             path",
            found.uid()
        ));
    }
    match super::dial(address) {
        Err(Failed::Connect(Errno::ECONNREFUSED)) => fs::remove_file(&address.path)
            .map_err(|error| failed("removing the stale socket", error)),
        Ok(_) | Err(Failed::Connect(Errno::EAGAIN)) => {
            Err(RpcError::not_executed(ErrorKind::AddressInUse {
                detail: format!("a living server listens at the socket {path}"),
            }))
        }
        Err(Failed::Connect(Errno::EPROTOTYPE)) => {
            refused(format!("{path} is a foreign socket, not one for streams: choose another path"))
        }
        Err(Failed::Connect(errno) | Failed::Socket(errno)) => {
            Err(failed("asking whether a server listens at", errno.into()))
        }
    }
}
