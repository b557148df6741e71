//! A bell that is a pipe each way: `write(2)` to ring, `read(2)` to hear. The death of the process at the other
//! end closes what this one sleeps on.
//!
//! Whoever sleeps on edges need not hear what was rung: with a byte more in it, a pipe wakes them again
//! ([`holds`](PipeBell::holds)). To ring and to sleep are then one system call each, of the cheapest that there are.
//!
//! `O_NONBLOCK` belongs to the open file description, and whoever has made a pipe may have kept that of either
//! end. So the maker uses the ends that it keeps, and the receiver opens its own anew, by `/proc/self/fd` (proc(5)).
//! A pipe without a reader raises `SIGPIPE`. So whoever rings keeps it open for reading as well, and there is one.
//! But only one of the two may have it open for writing: the other learns of its death by that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open, readlink};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, write};

use super::{End, Offer};
use crate::ring_halves::Said;

/// Bytes that a pipe can hold: a page. What a user's pipes can hold together is counted
/// (`fs.pipe-user-pages-soft`, pipe(7)), and a usual one counts for 16 pages.
const SIZE: i32 = 4096;

/// Sleeps in which what is rung is left in the pipe. A peer rings once for a sleep, and when it accepts.
const HOLDS: u32 = 512;

/// Bytes that are heard at once: all that an honest peer may have rung.
const HEARD: usize = 2 * HOLDS as usize;

/// One end of a bell.
#[derive(Debug)]
pub(in crate::shm) struct PipeBell {
    /// What rings here.
    hears: OwnedFd,
    /// What rings at the other end.
    rings: OwnedFd,
    /// That, open for reading, if it is not so itself.
    _reader: Option<OwnedFd>,
    holds: u32,
}

impl PipeBell {
    /// A bell, and what its other end hears and rings.
    pub(super) fn make() -> io::Result<(End, Offer)> {
        let (hears, their_rings) = pipe()?;
        let (reader, rings) = pipe()?;
        let their_hears = reader.try_clone()?;
        let bell = Self { hears, rings, _reader: Some(reader), holds: holds() };
        Ok((End::Pipe(bell), vec![their_hears, their_rings]))
    }

    /// The other end of a bell.
    ///
    /// # Errors
    /// `InvalidData` when these are no pipes, or what `open(2)` reports.
    pub(super) fn accept(hears: OwnedFd, rings: OwnedFd) -> io::Result<Self> {
        let hears = open_anew(&hears, OFlag::O_RDONLY)?;
        let rings = open_anew(&rings, OFlag::O_RDWR)?;
        Ok(Self { hears, rings, _reader: None, holds: holds() })
    }

    pub(super) fn holds(&self) -> u32 {
        self.holds
    }

    pub(super) fn ring(&self) -> io::Result<()> {
        loop {
            return match write(&self.rings, &[1]) {
                Err(Errno::EINTR) => continue,
                // Full of rings that nobody has heard yet.
                Ok(_) | Err(Errno::EAGAIN) => Ok(()),
                Err(errno) => Err(errno.into()),
            };
        }
    }

    pub(super) fn hear(&self) -> io::Result<Said> {
        // Once is enough: a peer that has rung more often is none to wait for.
        let mut rings = [0; HEARD];
        loop {
            return match read(&self.hears, &mut rings) {
                Err(Errno::EINTR) => continue,
                Ok(0) => Ok(Said::Gone),
                Ok(_) | Err(Errno::EAGAIN) => Ok(Said::Nothing),
                Err(errno) => Err(errno.into()),
            };
        }
    }
}

impl AsFd for PipeBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hears.as_fd()
    }
}

/// Looks whether this process can accept such bells.
///
/// # Errors
/// When it cannot open its own descriptors anew.
pub(in crate::shm) fn check_proc() -> io::Result<()> {
    let (reader, _writer) = pipe()?;
    open_anew(&reader, OFlag::O_RDWR).map(drop)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // One that is larger serves as well.
    let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(SIZE));
    Ok((reader, writer))
}

/// The same pipe with an open file description of its own.
fn open_anew(end: &OwnedFd, mode: OFlag) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let name = readlink(path.as_str())?;
    // The name of a pipe, and of nothing else. A FIFO has a path, and its file system may be a process of the peer's, which
    // must not be asked anything.
    if !name.as_encoded_bytes().starts_with(b"pipe:[") {
        let text = format!("{} is no pipe", name.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let flags = mode | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(open(path.as_str(), flags, Mode::empty())?)
}

/// See [`PipeBell::holds`]; 0 with a kernel that wakes nobody by what comes to a pipe that is not empty: Linux 5.5 to
/// 5.13, unless it has the commit "pipe: make pipe writes always wake up readers".
fn holds() -> u32 {
    static HOLDS_RINGS: OnceLock<bool> = OnceLock::new();
    // Where that cannot be found out, they are heard.
    let holds = HOLDS_RINGS.get_or_init(|| each_ring_is_an_edge().unwrap_or(false));
    if *holds { HOLDS } else { 0 }
}

fn each_ring_is_an_edge() -> io::Result<bool> {
    let (reader, writer) = pipe()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&reader, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
    for _ in 0..3 {
        write(&writer, &[1])?;
        if epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO)? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}
