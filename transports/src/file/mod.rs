//! `file:/absolute/path`: spool files in a directory, for two sides that share that and nothing else.
//!
//! The path is a directory that the server makes, in one of mode 0700. A client makes a sub-directory
//! there with four files, two for each direction, and renames it into place. The server opens them,
//! removes the names, and that says: accepted. From then on a connection is four open files without
//! names. Each side appends to one of the two that it writes to until that is full, and then to the other,
//! once its reader has given it back; what the files' state says stands in [`spool`]. Both sides sleep on
//! an eventfd, which one thread of their process rings for the events of `inotify(7)`; see [`watcher`].
//!
//! - System calls: a message is one `pwritev(2)`, and for its reader one `pread(2)`; before it sleeps,
//!   `read(2)` of the inotify instance and `fstat(2)`; and `poll(2)`, `read(2)` and `write(2)` of the
//!   thread that wakes it. While connecting: `mkdirat(2)`, `openat(2)`, `flock(2)`, `inotify_add_watch(2)`,
//!   `renameat(2)`, `unlinkat(2)`, `fstatfs(2)`. A segment is given back by `ftruncate(2)` and
//!   `utimensat(2)`, and an end is said by `fchmod(2)`.
//! - Limits: 1 MiB in each direction (two segments of 512 KiB), which is also what a connection takes of
//!   the disk; 1,024 clients waiting to be accepted; six descriptors and four watches
//!   (`fs.inotify.max_user_watches`) for each side of a connection; one inotify instance
//!   (`fs.inotify.max_user_instances`: 128 a user) and one thread for each process.
//! - Leaves behind: a killed server its directory, with what is in it of clients that it had not accepted;
//!   a client that was killed while it was connecting its sub-directory. The next server at the path
//!   removes all of that, once it has found the locks free. A connection that stands leaves nothing: its
//!   files have no names, and their space is free when both sides have closed them.
//! - Not for: two sides that could have a pipe or a socket, all of which are faster; other users; network
//!   file systems and virtual machines, whose kernels do not tell each other what happens (refused as far
//!   as `statfs(2)` knows them); memory that is scarce, as files on tmpfs are memory.
//!
//! **Who may connect.** The own user: directories and files have to belong to it and be closed to others,
//! and each is checked on the open descriptor. The process at the other end is not known, as it may be in
//! another pid namespace.
//!
//! **Why not numbered files** that are deleted one by one: files without names cannot be left behind, nor
//! be opened by anyone else later, and two for each direction last for the whole connection.

mod halves;
mod joining;
mod limits;
mod listener;
mod place;
mod spool;
mod watcher;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipcall_core::transport::Transport;
use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::stat::fstat;
use nix::unistd::geteuid;

pub(crate) use listener::Listener;

use self::halves::{Reader, Writer};
use self::joining::Files;
use crate::directory::{Access, Directory};
use crate::endpoint::{Parts, percent};
use crate::private::{Unfit, open, own};

/// Bytes of a file's name (`NAME_MAX`).
const MAX_FILE_NAME: usize = 255;

/// Where the server's directory lies: in another one, under a name.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

/// Understands the path of a place.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let bytes = parts.rest()?;
    let example = "file:/shared/ipc/wordcount";
    match bytes.first() {
        None => return Err(format!("a path is missing: write for example {example}")),
        Some(b'/') => {}
        Some(_) => return Err(format!("not an absolute path: write for example {example}")),
    }
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL".to_owned());
    }
    if bytes.ends_with(b"/") {
        return Err(
            "the path ends with a slash: add the name that the server's directory is to have"
                .to_owned(),
        );
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    let (Some(directory), Some(name)) =
        (path.parent().map(Path::to_owned), path.file_name().map(OsString::from))
    else {
        return Err(
            "the path has no name at its end: add that of the server's directory".to_owned()
        );
    };
    if name.len() > MAX_FILE_NAME {
        return Err(format!(
            "the name {} has {} bytes, and there is room for {MAX_FILE_NAME}: choose a shorter one",
            name.display(),
            name.len()
        ));
    }
    Ok(Address { path, directory, name })
}

/// Whether the kernel has inotify, and `/proc` is there, through which files are watched.
pub(crate) fn is_there() -> bool {
    Path::new("/proc/self/fd").exists()
        && !matches!(Inotify::init(InitFlags::IN_CLOEXEC), Err(Errno::ENOSYS))
}

/// A place called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("file:{}", percent::encode_path(&directory.join(format!("{name}.spool"))))
}

/// Starts to connect: the connection is made when the server has opened the files.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    let shown = address.path.display();
    let (place, server) = find(address)?;
    let failed = |error: io::Error| match error.kind() {
        // The server has just gone, and its directory with it.
        io::ErrorKind::NotFound => absent(format!("the server at {shown} has just gone")),
        _ => RpcError::io(format!("making a client's files in {shown}"), error),
    };
    let (directory, name, later) =
        place::make_client(&place).map_err(|errno| failed(errno.into()))?;
    let made = spool::make(&directory).and_then(|spools| {
        let peer = spool::owner(&server[0])?;
        let place = place.try_clone()?;
        let files = Files::waiting(spools, shown.to_string().into(), server, place, later.clone());
        let files = Arc::new(files);
        let (reader, writer) = (Reader::new(&files)?, Writer::new(&files)?);
        // Now that its end would be noticed.
        let lives = files.peer_lives()?;
        Ok((Transport { reader: Box::new(reader), writer: Box::new(writer), peer }, lives))
    });
    let announced = made.and_then(|(transport, lives)| {
        if !lives {
            return Err(io::ErrorKind::NotFound.into());
        }
        renameat(&place, name.as_os_str(), &place, later.as_os_str())?;
        Ok(transport)
    });
    announced.map_err(|error| {
        place::remove(&place, &name);
        failed(error)
    })
}

/// The place of a living server of the own user, and the files whose locks it holds.
fn find(address: &Address) -> Result<(OwnedFd, [File; 2]), RpcError> {
    let path = address.path.display();
    let opened = Directory::open(&address.directory, Access::OwnUser)?;
    let directory = opened.ok_or_else(|| explain(Errno::ENOENT, address))?;
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let place =
        open(directory.file(), &address.name, how).map_err(|errno| explain(errno, address))?;
    limits::check_place(&place, &path.to_string())?;
    let unfit = |unfit| match unfit {
        Unfit::Errno(errno) => explain(errno, address),
        Unfit::Because(reason) => RpcError::not_executed(ErrorKind::Refused {
            reason: format!("{path} {reason}: nothing is written there; choose another path"),
        }),
    };
    let status = fstat(&place).map_err(|errno| explain(errno, address))?;
    own(&status).map_err(unfit)?;
    let server = place::find_server(&place).map_err(unfit)?;
    let held = spool::are_held(&server)
        .map_err(|error| RpcError::io(format!("asking for the locks in {path}"), error))?;
    if !held {
        let detail = format!("nobody holds the locks of the files in {path}: its server has died");
        return Err(absent(detail));
    }
    let same = place::is_of_this_kind(&server)
        .map_err(|error| RpcError::io(format!("reading what {path} is"), error))?;
    if same {
        return Ok((place, server));
    }
    Err(unfit(Unfit::Because("belongs to a server of another version of file:".to_owned())))
}

fn absent(detail: String) -> RpcError {
    RpcError::not_executed(ErrorKind::ServerAbsent { detail })
}

/// What keeps a client away from a place.
fn explain(errno: Errno, address: &Address) -> RpcError {
    let path = address.path.display();
    let refused = |reason| RpcError::not_executed(ErrorKind::Refused { reason });
    match errno {
        Errno::ENOENT => absent(format!("there is no server's directory {path}")),
        Errno::ELOOP | Errno::ENOTDIR => {
            refused(format!("{path} is not a directory: choose another path"))
        }
        Errno::EACCES | Errno::EPERM => refused(format!(
            "the permissions of {path} keep uid {} out: a file endpoint is for its server's user alone",
            geteuid()
        )),
        errno => RpcError::io(format!("opening the directory {path}"), errno.into()),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
