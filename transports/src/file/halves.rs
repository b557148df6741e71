//! The two halves of a connection.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, WatchDescriptor};
use nix::sys::uio::pwritev;

use super::joining::Files;
use super::limits;
use super::spool::{SEGMENT, Turn};
use super::watcher::Watch;
use crate::sys::{self, ThisProcess};

/// Tries, without sleeping in between, after which a half looks whether the other side still lives.
const TRIES: u32 = 1024;

/// Slices that one `pwritev(2)` takes (`UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

/// What the halves have in common.
struct Half {
    files: Arc<Files>,
    watch: Watch,
    /// The server's files, as long as a client waits for it.
    server: Vec<WatchDescriptor>,
    process: ThisProcess,
    turn: Turn,
    /// Bytes of the current segment that were read or written.
    at: u64,
    tries: u32,
}

impl Half {
    fn new(files: Arc<Files>) -> io::Result<Self> {
        let mut watch = Watch::new()?;
        let mut server = Vec::new();
        for file in files.server().into_iter().flatten() {
            server.push(watch.add(file, AddWatchFlags::IN_CLOSE_WRITE)?);
        }
        let process = ThisProcess::current()?;
        Ok(Self { files, watch, server, process, turn: Turn::First, at: 0, tries: 0 })
    }

    /// Watches the segments of both directions, for what is not empty.
    fn watch(
        &mut self,
        files: &Files,
        incoming: AddWatchFlags,
        outgoing: AddWatchFlags,
    ) -> io::Result<()> {
        for (spool, mask) in [(&files.incoming, incoming), (&files.outgoing, outgoing)] {
            for segment in spool.segments().iter().filter(|_| !mask.is_empty()) {
                self.watch.add(segment, mask)?;
            }
        }
        // What has happened before it was watched.
        self.watch.remind();
        Ok(())
    }

    /// Whether it is time to look at more than bytes.
    fn is_curious(&mut self) -> bool {
        self.tries = self.tries.wrapping_add(1);
        self.watch.take_news() || self.tries.is_multiple_of(TRIES)
    }

    fn peer_lives(&mut self) -> io::Result<bool> {
        let lives = self.files.peer_lives()?;
        if self.files.server().is_none() {
            self.server.drain(..).for_each(|place| self.watch.remove(place));
        }
        Ok(lives)
    }

    /// Whether it sleeps now. An error shows again, to whoever tries.
    fn settle(&self, quiet: io::Result<bool>) -> bool {
        if quiet.is_err() {
            self.watch.remind();
        }
        let quiet = quiet.unwrap_or(false);
        if !quiet {
            self.watch.wake_up();
        }
        quiet
    }

    fn died(&self) -> io::Error {
        let text = match self.files.server() {
            Some(_) => "the server went away before it accepted",
            None => "it has gone without closing the connection",
        };
        io::Error::new(io::ErrorKind::ConnectionReset, text)
    }
}

/// How the incoming bytes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has said so.
    Orderly,
    Death,
}

/// The half that reads.
pub(super) struct Reader {
    half: Half,
    /// Known: what is there by now is all.
    end: Option<End>,
}

impl Reader {
    pub(super) fn new(files: &Arc<Files>) -> io::Result<Self> {
        let mut half = Half::new(Arc::clone(files))?;
        let incoming =
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_CLOSE_WRITE;
        half.watch(files, incoming, AddWatchFlags::empty())?;
        Ok(Self { half, end: None })
    }

    /// Reads as much as is there.
    fn read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let Half { files, turn, at, .. } = &mut self.half;
        let spool = &files.incoming;
        let mut count = 0;
        while count < limit {
            let left = usize::try_from(SEGMENT - *at).unwrap_or(usize::MAX);
            let wanted = left.min(limit - count);
            let came = sys::pread_append(spool.segment(*turn).as_fd(), buffer, wanted, *at)?;
            (*at, count) = (*at + came as u64, count + came);
            if *at == SEGMENT {
                if spool.length(*turn)? != SEGMENT {
                    return Err(invalid("a segment of the spool is longer than it may be"));
                }
                spool.give_back(*turn)?;
                (*turn, *at) = (turn.other(), 0);
            } else if came < wanted {
                break;
            }
        }
        Ok(count)
    }

    /// Whether what is there by now is all that comes.
    fn look_for_end(&mut self) -> io::Result<Option<End>> {
        let lives = self.half.peer_lives()?;
        let Half { files, turn, at, .. } = &self.half;
        files.check()?;
        if files.incoming.length(*turn)? < *at {
            return Err(invalid("a segment of the spool has become shorter"));
        }
        // In this order: who closes says so before it goes.
        if files.incoming.has_ended()? {
            return Ok(Some(End::Orderly));
        }
        Ok((!lives).then_some(End::Death))
    }

    /// Whether there is nothing to do but sleep.
    fn is_quiet(&mut self) -> io::Result<bool> {
        if self.half.watch.take_news() {
            self.end = self.look_for_end()?;
        }
        let length = self.half.files.incoming.length(self.half.turn)?;
        if length < self.half.at {
            self.half.watch.remind();
        }
        Ok(self.end.is_none() && length == self.half.at)
    }
}

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        self.half.process.check()?;
        self.half.watch.wake_up();
        loop {
            let count = self.read(buffer, limit)?;
            if count > 0 {
                return Ok(count);
            }
            match self.end {
                Some(End::Orderly) => return Ok(0),
                Some(End::Death) => return Err(self.half.died()),
                None => {}
            }
            if !self.half.is_curious() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let end = self.look_for_end();
            if end.is_err() {
                // Whoever goes on reading is told again.
                self.half.watch.remind();
            }
            self.end = end?;
            if self.end.is_none() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // What was written before the end is still to be read.
        }
    }

    fn arm(&mut self) -> bool {
        if !self.half.process.is_current() || self.end.is_some() {
            return false;
        }
        self.half.watch.fall_asleep();
        let quiet = self.is_quiet();
        self.half.settle(quiet)
    }

    /// A read goes on until there is nothing more.
    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.half.watch.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // In a forked child the connection is not over.
        if self.half.process.is_current() {
            self.half.files.incoming.stop_hearing();
        }
    }
}

/// The half that writes.
pub(super) struct Writer {
    half: Half,
    /// Nobody will read any more.
    unheard: bool,
}

impl Writer {
    pub(super) fn new(files: &Arc<Files>) -> io::Result<Self> {
        let mut half = Half::new(Arc::clone(files))?;
        let (incoming, outgoing) = (AddWatchFlags::IN_CLOSE_WRITE, AddWatchFlags::IN_ATTRIB);
        half.watch(files, incoming, outgoing)?;
        Ok(Self { half, unheard: false })
    }

    fn look_for_end(&mut self) -> io::Result<()> {
        self.unheard = !self.half.peer_lives()? || self.half.files.outgoing.is_unheard()?;
        Ok(())
    }

    /// Goes on in the other segment, if that was read and given back.
    fn turn_over(&mut self) -> io::Result<bool> {
        let next = self.half.turn.other();
        let is_free = self.half.files.outgoing.length(next)? == 0;
        if is_free {
            (self.half.turn, self.half.at) = (next, 0);
        }
        Ok(is_free)
    }

    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let Half { files, turn, at, .. } = &mut self.half;
        let slices = fitting(buffers, usize::try_from(SEGMENT - *at).unwrap_or(usize::MAX));
        let offset = i64::try_from(*at).map_err(|_| io::ErrorKind::InvalidInput)?;
        loop {
            match pwritev(files.outgoing.segment(*turn), &slices, offset) {
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    let error = limits::explain_write(errno, &files.path);
                    files.fail(&error);
                    return Err(error);
                }
                Ok(count) => {
                    *at += count as u64;
                    return Ok(count);
                }
            }
        }
    }

    fn is_quiet(&mut self) -> io::Result<bool> {
        if self.half.watch.take_news() {
            self.look_for_end()?;
        }
        Ok(!self.unheard && self.half.at == SEGMENT && !self.turn_over()?)
    }
}

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.half.process.check()?;
        self.half.watch.wake_up();
        self.half.files.check()?;
        if self.half.is_curious() {
            self.look_for_end()?;
        }
        if self.unheard {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer reads no more"));
        }
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        if self.half.at == SEGMENT && !self.turn_over()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.write(buffers)
    }

    fn arm(&mut self) -> bool {
        if !self.half.process.is_current() || self.unheard {
            return false;
        }
        self.half.watch.fall_asleep();
        let quiet = self.is_quiet();
        self.half.settle(quiet)
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.half.watch.as_fd()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What could not be written is missing: the other side is not to take this for an orderly end.
        if self.half.process.is_current() && self.half.files.check().is_ok() {
            self.half.files.outgoing.end();
        }
    }
}

/// The first of the buffers' bytes, as many as there is room for.
fn fitting<'a>(buffers: &'a [IoSlice<'a>], mut room: usize) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::with_capacity(buffers.len().min(MAX_SLICES));
    for buffer in buffers.iter().take(MAX_SLICES) {
        let part = &buffer[..buffer.len().min(room)];
        slices.push(IoSlice::new(part));
        room -= part.len();
    }
    slices
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
