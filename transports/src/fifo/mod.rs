//! `fifo:/absolute/path`: a private pair of FIFOs for each client, agreed through a rendezvous FIFO.
//!
//! The path is the rendezvous, in a directory of mode 0700. A client makes a sub-directory beside it with
//! two FIFOs, `up` and `down`, opens them, and writes one record to the rendezvous that names them. The
//! server opens them, removes the names, and writes one byte to `down`: accepted. From then on a
//! connection is two open pipes without names.
//!
//! - System calls: `mkfifoat(2)`, `mkdirat(2)`, `openat(2)`, `fstat(2)`, `unlinkat(2)`, `fcntl(2)` with
//!   `F_SETLK` and `F_GETLK`, `poll(2)`, and on the client's side `epoll_ctl(2)`, while connecting; those
//!   of the directory; then those of [`pipe_halves`](crate::pipe_halves): a call costs one write, one
//!   wait and one read on each side.
//! - Limits: those of pipes; 2,048 clients waiting to be accepted (64 KiB of records; 128 to 256 when the
//!   user's pipes are at their limit); a name of 222 bytes (255 with that of a sub-directory); three
//!   descriptors for each connection of a client, two of a server.
//! - Leaves behind: a killed server its rendezvous, and a client killed while connecting its pair. The
//!   next server at the same path removes both, once it has found that nobody reads the rendezvous:
//!   then nobody can accept those pairs either. The directory stays, if a killed server had made it.
//! - Not for: other users (`unix:`); large messages, where a socket with its larger buffers is faster.
//!
//! **Who is there.** A FIFO says so when it is opened for writing: `ENXIO` without a reader. So the server
//! reads the rendezvous as long as it lives, and holds a writing end of it as well, so that it never
//! sees an end there and never spins. That end does not count as a reader: who asks is still told.
//!
//! **Not yet, or no more.** A FIFO that no writer has opened yet reads as ended, just as one whose writers
//! have gone; `poll(2)` tells them apart by `POLLHUP`. Nobody here keeps an extra end open to avoid
//! that: it would hide the peer's death for as long as it is open. Instead the client does not take the end
//! for one before the byte has come that says that the server has opened both FIFOs, unless
//! `poll(2)` says so too; and the server sees to it that a writer has been there since it opened its end.
//! One end too many there is: the client reads its own `up` until it is accepted, because it could not
//! have it open for writing otherwise.
//!
//! **Before it is accepted**, a client can neither read nor write (`WouldBlock`): a FIFO keeps what is in
//! it only while somebody has it open, so bytes of a client that had gone again would be lost. Its
//! writing half sleeps on an epoll descriptor that shows the byte as well as the end of the rendezvous,
//! hence of the server, and takes the reading half along. Only to a reading half that waits without the other
//! is a server that is killed (rather than closed) in that short time not shown; but whoever connects has
//! something to say first. An epoll descriptor for the reading half, too, would cost every later wait
//! 0.3 to 0.4 us, and another read, because an edge-triggered epoll around it does not tell bytes from
//! the end behind them (measured; a whole turn takes 7.3 us).
//!
//! **Who it is.** Directory, rendezvous and pairs have to belong to the own user and be closed to others;
//! each is checked on the open descriptor. Each side holds a record lock (`fcntl(2)`) on the FIFO that the
//! other looks at, so that the kernel names its process there, and nothing that a peer claims is
//! believed. (Where both sides are one process there is no other to be named.)

mod announcement;
mod joining;
mod listener;
mod pair;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ipcall_core::transport::{Peer, Transport};
use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::geteuid;

pub(crate) use listener::Listener;

use crate::directory::{Access, Directory};
use crate::endpoint::{Parts, percent};
use crate::private::{Unfit, open, own};
use crate::process;

/// Bytes of a file's name (`NAME_MAX`).
const MAX_FILE_NAME: usize = 255;

/// Bytes that a sub-directory's name has more than the rendezvous's.
const SUFFIX: usize = 1 + 2 * announcement::RANDOM;

/// Where the rendezvous lies: a directory and a name in it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

/// Understands the path of a rendezvous.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let bytes = parts.rest()?;
    let example = "fifo:/run/user/1000/wordcount/fifo";
    match bytes.first() {
        None => return Err(format!("a path is missing: write for example {example}")),
        Some(b'/') => {}
        Some(_) => return Err(format!("not an absolute path: write for example {example}")),
    }
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL".to_owned());
    }
    if bytes.ends_with(b"/") {
        return Err("the path names a directory: add the name of the FIFO".to_owned());
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    let (Some(directory), Some(name)) =
        (path.parent().map(Path::to_owned), path.file_name().map(OsString::from))
    else {
        return Err("the path has no name at its end: add the name of the FIFO".to_owned());
    };
    let limit = MAX_FILE_NAME - SUFFIX;
    if name.len() > limit {
        return Err(format!(
            "the name {} has {} bytes, and there is room for {limit}: choose a shorter one",
            name.display(),
            name.len()
        ));
    }
    Ok(Address { path, directory, name })
}

/// A rendezvous called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("fifo:{}", percent::encode_path(&directory.join(format!("{name}.fifo"))))
}

/// Starts to connect: the connection is made when the server has opened the pair.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    let path = address.path.display();
    let opened = Directory::open(&address.directory, Access::OwnUser)?;
    let directory = opened.ok_or_else(|| explain(Errno::ENOENT, address))?;
    let (rendezvous, status) = open_rendezvous(&directory, address)?;
    let mut peer = peer(&status, &rendezvous);
    peer.pidfd = peer.pid.and_then(process::pidfd);
    let failed = |error: std::io::Error| match error.kind() {
        // The server has just gone, and its directory with it.
        std::io::ErrorKind::NotFound => explain(Errno::ENOENT, address),
        _ => RpcError::io(format!("making a pair of FIFOs beside {path}"), error),
    };
    let pair = pair::Made::new(directory, &address.name).map_err(failed)?;
    match pair.announcement().send(&rendezvous) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            return Err(explain(Errno::EAGAIN, address));
        }
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            return Err(explain(Errno::ENXIO, address));
        }
        Err(error) => return Err(RpcError::io(format!("writing to {path}"), error)),
    }
    let (reader, writer) = joining::halves(pair, rendezvous)
        .map_err(|error| RpcError::io("making an epoll descriptor", error))?;
    Ok(Transport { reader, writer, peer })
}

/// Opens the rendezvous, if a server of the own user is there.
fn open_rendezvous(
    directory: &Directory,
    address: &Address,
) -> Result<(OwnedFd, FileStat), RpcError> {
    let rendezvous = open(directory.file(), &address.name, OFlag::O_WRONLY)
        .map_err(|errno| explain(errno, address))?;
    let path = address.path.display();
    match own_fifo(&rendezvous) {
        Ok(status) => Ok((rendezvous, status)),
        Err(Unfit::Errno(errno)) => Err(RpcError::io(format!("looking at {path}"), errno.into())),
        Err(Unfit::Because(reason)) => Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!("{path} {reason}: nothing is written there; choose another path"),
        })),
    }
}

/// What keeps a client away from the rendezvous.
fn explain(errno: Errno, address: &Address) -> RpcError {
    let path = address.path.display();
    let absent = |detail| RpcError::not_executed(ErrorKind::ServerAbsent { detail });
    let refused = |reason| RpcError::not_executed(ErrorKind::Refused { reason });
    match errno {
        Errno::ENOENT => absent(format!("there is no FIFO {path}")),
        Errno::ENXIO => absent(format!("nobody reads the FIFO {path}")),
        Errno::EAGAIN => {
            absent(format!("its backlog is full: the server at {path} does not accept"))
        }
        Errno::ELOOP | Errno::EISDIR => {
            refused(format!("{path} is not a FIFO: choose another path"))
        }
        Errno::EACCES | Errno::EPERM => refused(format!(
            "the permissions of {path} keep uid {} out: a fifo endpoint is for its server's user alone",
            geteuid()
        )),
        errno => RpcError::io(format!("opening the FIFO {path}"), errno.into()),
    }
}

/// Whether an open descriptor is that of a FIFO that nobody but the own user can have made or opened.
fn own_fifo(file: &OwnedFd) -> Result<FileStat, Unfit> {
    let status = fstat(file).map_err(Unfit::Errno)?;
    let kind = status.st_mode & SFlag::S_IFMT.bits();
    if kind != SFlag::S_IFIFO.bits() {
        return Err(Unfit::Because("is not a FIFO".to_owned()));
    }
    own(&status).map(|()| status)
}

/// What is known of the process at the other end of a FIFO.
fn peer(status: &FileStat, fifo: &OwnedFd) -> Peer {
    let mut peer = Peer::default();
    peer.uid = Some(status.st_uid);
    peer.gid = Some(status.st_gid);
    peer.pid = holder(fifo);
    peer.known_by = match peer.pid {
        Some(_) => "owner and lock of its FIFO",
        None => "owner of its FIFO",
    };
    peer
}

/// Takes the lock by which the other side knows this process. Without it (there are file systems that
/// have none) it knows only the user.
fn hold(writing: &OwnedFd) {
    let _ = fcntl(writing, FcntlArg::F_SETLK(&whole_file()));
}

/// The process that has the FIFO locked, if there is one, this one does not count, and it is in a pid
/// namespace that this one sees.
fn holder(fifo: &OwnedFd) -> Option<u32> {
    let mut lock = whole_file();
    fcntl(fifo, FcntlArg::F_GETLK(&mut lock)).ok()?;
    // 0 and -1 stand for a process that our pid namespace does not show, and for no process.
    let is_held = i32::from(lock.l_type) != libc::F_UNLCK;
    u32::try_from(lock.l_pid).ok().filter(|pid| is_held && *pid != 0)
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
