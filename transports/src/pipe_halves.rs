//! The two halves of a connection that is two pipes, one for each direction, for every transport
//! that is one.
//!
//! What holds for an open pipe is the same wherever it came from; how it came to be open, and who the
//! other side is, is the transport's concern. Each half owns one end of one pipe. Its open file
//! description must be non-blocking and shared with nobody who could change that (`O_NONBLOCK`
//! belongs to the description): a transport that is handed a pipe opens it anew.
//!
//! - System calls: `read(2)`; `pwritev2(2)` with `RWF_NOSIGNAL`, or what [`crate::sys`] has for older
//!   kernels; `fcntl(F_SETPIPE_SZ)` once, when a pipe has been full for the first time.
//! - Limits: a pipe holds 64 KiB, and 256 KiB once it was full, if that is allowed. A user's pipes may
//!   hold 64 MiB together (`fs.pipe-user-pages-soft`); those beyond hold 4 or 8 KiB, which is enough.
//! - The end: a reader sees it when the last writing descriptor is closed and all is read; a writer has
//!   `BrokenPipe` when the last reading one is closed. So no other process, and nobody else in this one,
//!   may hold an end open. Each direction ends by itself.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipcall_core::transport::{ReadHalf, WriteHalf};
use nix::fcntl::{FcntlArg, fcntl};

use crate::sys;

/// Bytes that a pipe holds once it was full. Not before, because most connections are never full, and
/// what one pipe has, the user's other pipes go without.
const ENLARGED: i32 = 256 << 10;

/// The reading end of a pipe.
///
/// A writer must have had the pipe open since this end was opened: before that, `read(2)` says the end
/// and `poll(2)` says nothing.
pub(crate) struct Reader(OwnedFd);

impl Reader {
    /// The end must be non-blocking.
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self(end)
    }
}

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        sys::read_append(self.0.as_fd(), buffer, limit)
    }

    /// `read(2)` goes on over the pipe's pages until it has enough or there is none. (Not if the
    /// writer has chosen packets, `O_DIRECT`; then it is the writer that waits for its own bytes to be
    /// read.) The end that comes right behind the last bytes is still shown by `poll(2)` afterwards,
    /// and in an edge-triggered epoll as a state of its own (`EPOLLHUP`).
    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The writing end of a pipe.
///
/// A write of at most `PIPE_BUF` (4096) bytes goes in whole or not at all, so it may be told
/// `WouldBlock` where there is room for some of it. It never is where `poll(2)` says that there is room:
/// that means a free page.
pub(crate) struct Writer {
    end: OwnedFd,
    /// Whether it is still to be enlarged.
    small: bool,
}

impl Writer {
    /// The end must be non-blocking.
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self { end, small: true }
    }

    /// One that keeps the size that it has.
    #[cfg(test)]
    pub(crate) fn with_fixed_size(end: OwnedFd) -> Self {
        Self { end, small: false }
    }
}

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = sys::write_without_sigpipe(self.end.as_fd(), buffers);
        match result {
            Err(error) if self.small && error.kind() == io::ErrorKind::WouldBlock => {
                self.small = false;
                if !enlarge(self.end.as_fd()) {
                    return Err(error);
                }
                sys::write_without_sigpipe(self.end.as_fd(), buffers)
            }
            result => result,
        }
    }
}

/// Gives a pipe more room; says whether it has more now.
fn enlarge(pipe: BorrowedFd<'_>) -> bool {
    let has = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap_or(ENLARGED);
    // EPERM: the user's pipes, or one pipe (fs.pipe-max-size), may not hold more. Then it stays as it is.
    has < ENLARGED && fcntl(pipe, FcntlArg::F_SETPIPE_SZ(ENLARGED)).is_ok_and(|is| is > has)
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

#[cfg(test)]
#[path = "pipe_halves_tests.rs"]
mod tests;
