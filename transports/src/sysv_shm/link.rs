//! A connection's end: two halves over the rings of one segment, and what wakes them.
//!
//! The segment begins with four words. Each counts how often one half was rung for by the other side; behind them
//! lie the two sides' memories:
//!
//! ```text
//!  0                     64                    4096               4096 + 4096 + capacity
//!  | the client rings    | the server rings    | client's memory, | server's memory |
//!  | reader  | writer    | reader  | writer    | see `ring`       |                 |
//! ```
//!
//! Whoever rings counts, and then raises the semaphore on which the other side's helper sleeps. That looks
//! which half is meant.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::errno::Errno;

use super::HEAD;
use super::lobby::Lobby;
use crate::bell;
use crate::process::Process;
use crate::ring::{CONTROL, Consumer, Producer};
use crate::ring_halves::{Bell, Reader, Said, Writer};
use crate::sys::{Mapping, Region, Semaphores, ThisProcess, Words};

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Which half of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Reader = 0,
    Writer = 1,
}

/// How the other side's helper is woken.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) semaphores: Semaphores,
    pub(super) index: u16,
    /// Where that helper serves several, and has to be told for whom it was woken.
    pub(super) slot: Option<(Lobby, usize)>,
}

/// What the helper knows of a connection's end.
#[derive(Debug)]
pub(super) struct Link {
    peer: Arc<Process>,
    words: Words,
    side: Side,
    /// What was counted when last looked at.
    seen: [AtomicU64; 2],
    bells: [bell::Bell; 2],
    broken: Mutex<Option<Broken>>,
}

/// Why a connection is over although the peer's process lives.
#[derive(Clone, Debug)]
enum Broken {
    Gone,
    Error(io::ErrorKind, String),
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Where it counts that it has rung for this half of the other side.
    fn word(self, half: Half) -> usize {
        let line = match self {
            Self::Client => 0,
            Self::Server => 8,
        };
        line + half as usize
    }

    /// Where its memory begins.
    pub(super) fn offset(self, capacity: usize) -> usize {
        match self {
            Self::Client => HEAD,
            Self::Server => HEAD + CONTROL + capacity,
        }
    }
}

impl Door {
    fn ring(&self) -> io::Result<()> {
        if let Some((lobby, slot)) = &self.slot {
            lobby.note_rung(*slot);
        }
        match self.semaphores.raise(self.index) {
            // The server has ended, or somebody has removed them: the helper finds out.
            Err(error) if is_gone(&error) => Ok(()),
            result => result,
        }
    }

    /// Tells the other side to look at the slot, if it can be told.
    pub(super) fn knock(&self) {
        let _ = self.ring();
    }
}

/// Whether an error says that there is no such segment or set.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EINVAL | Errno::EIDRM))
}

impl Link {
    /// # Errors
    /// When there are no descriptors.
    pub(super) fn new(peer: Arc<Process>, mapping: &Arc<Mapping>, side: Side) -> io::Result<Self> {
        let bells = [bell::Bell::new(&*peer)?, bell::Bell::new(&*peer)?];
        let (words, seen) = (Words::of(mapping), Default::default());
        Ok(Self { peer, words, side, seen, bells, broken: Mutex::default() })
    }

    /// Wakes the halves for which the other side has rung.
    pub(super) fn listen(&self) {
        for half in [Half::Reader, Half::Writer] {
            let count = self.words.load(self.side.other().word(half));
            if self.seen[half as usize].swap(count, Ordering::Relaxed) != count {
                self.bells[half as usize].ring();
            }
        }
    }

    /// Nobody rings any more.
    pub(super) fn lose(&self) {
        self.end(Broken::Gone);
    }

    /// The other side does not want this connection.
    pub(super) fn fail(&self, kind: io::ErrorKind, text: &str) {
        self.end(Broken::Error(kind, text.to_owned()));
    }

    fn end(&self, why: Broken) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none() {
            *broken = Some(why);
        }
        drop(broken);
        // Afterwards: a half that silences its bell looks then whether this is so.
        self.bells.iter().for_each(bell::Bell::ring);
    }

    fn broken(&self) -> Option<Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn peer(&self) -> &Arc<Process> {
        &self.peer
    }
}

/// The bell of one half.
struct HalfBell {
    link: Arc<Link>,
    half: Half,
    door: Door,
    process: ThisProcess,
}

impl Bell for HalfBell {
    // The helper may come late, and an epoll descriptor that is ready does not become so.
    const STICKS: bool = true;

    fn ring(&self) -> io::Result<()> {
        let theirs = match self.half {
            Half::Reader => Half::Writer,
            Half::Writer => Half::Reader,
        };
        self.link.words.add(self.link.side.word(theirs), 1);
        self.door.ring()
    }

    fn hear(&self) -> io::Result<Said> {
        let bell = &self.link.bells[self.half as usize];
        if !bell.is_readable() {
            return Ok(Said::Nothing);
        }
        loop {
            let still = bell.silence();
            if let Some(broken) = self.link.broken() {
                bell.ring();
                return match broken {
                    Broken::Gone => Ok(Said::Gone),
                    Broken::Error(kind, text) => Err(io::Error::new(kind, text)),
                };
            }
            if !still {
                return Ok(Said::Nothing);
            }
            if self.link.peer.has_ended() {
                return Ok(Said::Gone);
            }
            // It was rung meanwhile. Left as it is, it would not ring again for who sleeps on edges.
        }
    }
}

impl AsFd for HalfBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.bells[self.half as usize].as_fd()
    }
}

impl Drop for HalfBell {
    fn drop(&mut self) {
        // The half has closed its ring. In a forked child it has not.
        if self.process.is_current() {
            let _ = self.ring();
        }
    }
}

/// The halves of a connection's end. `end` goes with the second of them.
pub(super) fn halves(
    link: &Arc<Link>,
    mapping: &Arc<Mapping>,
    capacity: usize,
    door: &Door,
    process: ThisProcess,
    end: Arc<dyn Send + Sync>,
) -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>) {
    let region =
        |side: Side| Region::within(mapping, side.offset(capacity), capacity, side == link.side);
    let (own, peer) = (region(link.side), region(link.side.other()));
    let bell = |half| HalfBell { link: Arc::clone(link), half, door: door.clone(), process };
    let reader = RingReader {
        reader: Reader::new(Consumer::new(own.clone(), peer.clone(), capacity), process),
        bell: bell(Half::Reader),
        _end: Arc::clone(&end),
    };
    let writer = RingWriter {
        writer: Writer::new(Producer::new(own, peer, capacity), process),
        bell: bell(Half::Writer),
        _end: end,
    };
    (Box::new(reader), Box::new(writer))
}

/// A reading half.
struct RingReader {
    // In this order: closed, then rung for, then given up.
    reader: Reader,
    bell: HalfBell,
    _end: Arc<dyn Send + Sync>,
}

impl ReadHalf for RingReader {
    #[inline]
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        self.reader.try_read(&self.bell, buffer, limit)
    }

    #[inline]
    fn is_dry(&mut self) -> bool {
        self.reader.is_dry()
    }

    fn arm(&mut self) -> bool {
        self.reader.arm(&self.bell)
    }

    // A read takes all that is there, as far as there is room for it.
    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// A writing half.
struct RingWriter {
    writer: Writer,
    bell: HalfBell,
    _end: Arc<dyn Send + Sync>,
}

impl WriteHalf for RingWriter {
    #[inline]
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.try_write(&self.bell, buffers)
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn arm(&mut self) -> bool {
        self.writer.arm(&self.bell)
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl AsFd for RingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
