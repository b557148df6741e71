//! The server's side: the two ends that this process was started with.
//!
//! They are taken over once: checked, opened anew where that is possible, and kept from the programs that
//! this one starts. Opened anew, because `O_NONBLOCK` belongs to the open file description, and others may
//! have that too: a shell in between, or whoever gave us its standard input. Where that fails (no
//! `/proc`, another user's pipe), the description is made non-blocking as it is, and whoever
//! shares it sees that, and could undo it. A socket, which cannot be opened anew, is used in a way that
//! does not depend on the flag.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use ipcall_core::transport::{Listener as Accept, Peer, ReadHalf, Transport, WriteHalf};
use ipcall_core::{ErrorKind, RpcError};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::{dup2_stdin, dup2_stdout, getppid};

use super::child::{READING, WRITING};
use super::{refused, set_nonblocking};
use crate::{pipe_halves, stream, sys};

/// Whether they have been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Has one client, the one that has started this process.
pub(super) struct Listener {
    client: Option<Transport>,
    /// Readable until the client is accepted.
    bell: EventFd,
}

impl Listener {
    /// Takes over the descriptors 3 and 4, or the standard input and output.
    pub(super) fn bind(stdio: bool) -> Result<Self, RpcError> {
        let bell = EventFd::from_value_and_flags(1, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| RpcError::io("making an eventfd", errno.into()))?;
        if TAKEN.swap(true, Ordering::AcqRel) {
            let detail = "this process has taken over the pipes that it was started with already";
            let detail = detail.to_owned();
            return Err(RpcError::not_executed(ErrorKind::AddressInUse { detail }));
        }
        let client = if stdio { take_stdio() } else { take_pipes() };
        let client = client.inspect_err(|_| TAKEN.store(false, Ordering::Release))?;
        Ok(Self { client: Some(client), bell })
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        let client = self.client.take().ok_or(io::ErrorKind::WouldBlock)?;
        // It was rung once, when it was made.
        let _ = self.bell.read();
        Ok(client)
    }

    fn is_exhausted(&self) -> bool {
        self.client.is_none()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The descriptors that `pipe:` gives to a child.
fn take_pipes() -> Result<Transport, RpcError> {
    let (reading, reading_status) = look_at(READING, OFlag::O_RDONLY)?;
    let (writing, writing_status) = look_at(WRITING, OFlag::O_WRONLY)?;
    if same_file(&reading_status, &writing_status) {
        return Err(not_started(&format!("descriptors {READING} and {WRITING} are one pipe")));
    }
    let [reading, writing] = [reading, writing].map(ManuallyDrop::into_inner);
    let failed = |error| RpcError::io("taking over the pipes from the client", error);
    let mut peer = Peer::default();
    peer.pid = living_parent(reading.as_fd()).map_err(failed)?;
    // A pipe belongs to whoever has made it.
    peer.uid = Some(reading_status.st_uid);
    peer.gid = Some(reading_status.st_gid);
    peer.known_by = "parent process";
    let reader = pipe_halves::Reader::new(own(reading, &reading_status).map_err(failed)?);
    let writer = pipe_halves::Writer::new(own(writing, &writing_status).map_err(failed)?);
    Ok(Transport { reader: Box::new(reader), writer: Box::new(writer), peer })
}

/// The client, if it lives: that of a process whose parent has ended is another. 0 would stand for one that
/// our pid namespace does not show.
fn living_parent(reading: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let parent = getppid();
    // Asked afterwards: a client that has its end now had it then.
    let mut polled = [PollFd::new(reading, PollFlags::empty())];
    let gone = poll(&mut polled, PollTimeout::ZERO)? > 0;
    Ok(u32::try_from(parent.as_raw()).ok().filter(|pid| *pid != 0 && !gone))
}

/// The descriptor `number`, which must be an end of a pipe for this `access`.
fn look_at(number: RawFd, access: OFlag) -> Result<(ManuallyDrop<OwnedFd>, FileStat), RpcError> {
    let failed =
        |error: io::Error| not_started(&format!("descriptor {number} cannot be used: {error}"));
    let end = sys::inherited(number).map_err(failed)?;
    let status = fstat(&*end).map_err(|errno| failed(errno.into()))?;
    if kind(&status) != SFlag::S_IFIFO {
        return Err(not_started(&format!(
            "descriptor {number} is no pipe, but {}",
            describe(&status)
        )));
    }
    let flags = fcntl(&*end, FcntlArg::F_GETFL).map_err(|errno| failed(errno.into()))?;
    let mode = OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE;
    if mode != access && mode != OFlag::O_RDWR {
        let (this, other) = if access == OFlag::O_RDONLY {
            ("read from", "writing")
        } else {
            ("written to", "reading")
        };
        return Err(not_started(&format!(
            "descriptor {number} is to be {this}, and is for {other}"
        )));
    }
    Ok((end, status))
}

fn not_started(found: &str) -> RpcError {
    refused(format!(
        "this process was not started by a client as its server: {found}. A client starts its server by \
         connecting to an endpoint such as pipe:/usr/lib/wordcount/server, which gives it pipes as \
         descriptors {READING} and {WRITING}"
    ))
}

/// The end `end` with an open file description of its own, if possible.
fn own(end: OwnedFd, status: &FileStat) -> io::Result<OwnedFd> {
    if let Some(anew) = open_anew(end.as_fd(), status) {
        return Ok(anew.into());
    }
    set_nonblocking(&end)?;
    fcntl(&end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(end)
}

fn open_anew(end: BorrowedFd<'_>, status: &FileStat) -> Option<File> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL).ok()?);
    let mode = flags & OFlag::O_ACCMODE;
    let anew = OpenOptions::new()
        .read(mode != OFlag::O_WRONLY)
        .write(mode != OFlag::O_RDONLY)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(format!("/proc/self/fd/{}", end.as_raw_fd()))
        .ok()?;
    let metadata = anew.metadata().ok()?;
    let same = (metadata.dev(), metadata.ino()) == (status.st_dev, status.st_ino);
    same.then_some(anew)
}

/// The standard input and output. In their places come `/dev/null` and the standard error, so that the
/// program can go on printing.
fn take_stdio() -> Result<Transport, RpcError> {
    let failed = |error| RpcError::io("taking over the standard input and output", error);
    let (input, output) = (io::stdin(), io::stdout());
    let (reading, writing) =
        (duplicate(input.as_fd(), "input")?, duplicate(output.as_fd(), "output")?);
    let reader: Box<dyn ReadHalf> = match reading {
        End::Pipe(pipe, status) => {
            Box::new(pipe_halves::Reader::new(own(pipe, &status).map_err(failed)?))
        }
        End::Socket(socket) => stream::reader(socket),
    };
    let writer: Box<dyn WriteHalf> = match writing {
        End::Pipe(pipe, status) => {
            Box::new(pipe_halves::Writer::new(own(pipe, &status).map_err(failed)?))
        }
        End::Socket(socket) => stream::writer(socket),
    };
    let nothing = File::open("/dev/null").map_err(failed)?;
    dup2_stdin(&nothing).map_err(|errno| failed(errno.into()))?;
    dup2_stdout(io::stderr()).map_err(|errno| failed(errno.into()))?;
    let mut peer = Peer::default();
    // Not who it is: it may be at the other end of a wire.
    peer.known_by = "standard input and output";
    Ok(Transport { reader, writer, peer })
}

enum End {
    Pipe(OwnedFd, FileStat),
    Socket(OwnedFd),
}

fn duplicate(stream: BorrowedFd<'_>, name: &str) -> Result<End, RpcError> {
    let failed = |error| RpcError::io(format!("duplicating the standard {name}"), error);
    let status = fstat(stream).map_err(|errno| failed(errno.into()))?;
    let kind = kind(&status);
    if kind != SFlag::S_IFIFO && kind != SFlag::S_IFSOCK {
        return Err(refused(format!(
            "the standard {name} is {}, and a client has to be at its other end, through a pipe or a \
             socket: it starts this program by connecting to an endpoint such as \
             pipe:/usr/lib/wordcount/server?stdio=1",
            describe(&status)
        )));
    }
    let end = stream.try_clone_to_owned().map_err(failed)?;
    Ok(if kind == SFlag::S_IFIFO { End::Pipe(end, status) } else { End::Socket(end) })
}

fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}

fn same_file(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn describe(status: &FileStat) -> &'static str {
    match kind(status) {
        SFlag::S_IFIFO => "a pipe",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFREG => "a file",
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFCHR => "a terminal or another device",
        SFlag::S_IFBLK => "a block device",
        _ => "something else",
    }
}
