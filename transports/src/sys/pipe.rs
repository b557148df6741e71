//! `read(2)` into the unused capacity of a vector, and `pwritev2(2)` with `RWF_NOSIGNAL`, for pipes.
//!
//! A write to a pipe that nobody reads raises `SIGPIPE`, which kills by default. The flag spares that
//! since Linux 6.18 (measured: 60 ns more than `writev(2)`); before, the kernel answers `EOPNOTSUPP`
//! and writes nothing, and every further write of this process goes through [`super::sigpipe`], which
//! takes two system calls more.
#![allow(unsafe_code, reason = "nix offers neither; see the comments at the blocks")]

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc;

use super::sigpipe;

/// `RWF_NOSIGNAL` of `linux/fs.h`, which libc does not name yet.
const RWF_NOSIGNAL: libc::c_int = 0x100;

/// Slices that one `pwritev2(2)` takes (`UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

/// Whether the kernel has refused the flag.
static WITHOUT_FLAG: AtomicBool = AtomicBool::new(false);

/// Appends at most `limit` bytes to `buffer`, within its capacity. Blocks unless `fd` is non-blocking.
///
/// # Errors
/// What `read(2)` reports, `WouldBlock` among it, never `Interrupted`; `InvalidInput` when there is
/// no room for a byte, which would look like the end.
pub(crate) fn read_append(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let room = limit.min(spare.len());
    if room == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let start = spare.as_mut_ptr().cast();
    let count = loop {
        // SAFETY: `start` points to at least `room` bytes, because `room <= spare.len()`; they are
        // exclusively borrowed through `buffer`, and read only writes to them.
        let result = unsafe { libc::read(fd.as_raw_fd(), start, room) };
        match usize::try_from(result) {
            Ok(count) => break count,
            Err(_negative) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    let filled = buffer.len() + count;
    // SAFETY: `filled <= capacity`, because `count <= room <= spare.len()`, and read has just
    // initialised the `count` bytes after the old length.
    unsafe { buffer.set_len(filled) };
    Ok(count)
}

/// Writes a prefix of the concatenated slices without raising `SIGPIPE`. Blocks unless `fd` is
/// non-blocking.
///
/// # Errors
/// What `write(2)` reports, `WouldBlock` and `BrokenPipe` among it, never `Interrupted`.
pub(crate) fn write_without_sigpipe(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    if slices.is_empty() {
        return Ok(0);
    }
    let slices = &slices[..slices.len().min(MAX_SLICES)];
    while !WITHOUT_FLAG.load(Ordering::Relaxed) {
        match write_with_flag(fd, slices) {
            Err(Errno::EINTR) => {}
            // Refused before anything was written. The last two: older than the call or the flags.
            Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
                WITHOUT_FLAG.store(true, Ordering::Relaxed);
            }
            result => return Ok(result?),
        }
    }
    sigpipe::write(fd, slices)
}

fn write_with_flag(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
    let count = libc::c_int::try_from(slices.len()).map_err(|_| Errno::EINVAL)?;
    // -1: at the current position, which a pipe does not have.
    let (start, position) = (slices.as_ptr().cast::<libc::iovec>(), -1);
    // SAFETY: `start` points to `count` iovecs, because an `IoSlice` has the layout of one; what they
    // point to is borrowed through `slices`, and pwritev2 only reads it.
    let result = unsafe { libc::pwritev2(fd.as_raw_fd(), start, count, position, RWF_NOSIGNAL) };
    Errno::result(result).map(isize::cast_unsigned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_write_to_nobody_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().unwrap();
        let slices = [IoSlice::new(b"anybody "), IoSlice::new(b"there?")];
        assert_eq!(write_without_sigpipe(writer.as_fd(), &slices).unwrap(), 14);
        drop(reader);
        let error = write_without_sigpipe(writer.as_fd(), &slices).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_read_keeps_to_its_limit_and_to_the_capacity() {
        let (reader, writer) = io::pipe().unwrap();
        write_without_sigpipe(writer.as_fd(), &[IoSlice::new(b"123456789")]).unwrap();
        let mut buffer = Vec::with_capacity(6);
        buffer.push(b'0');
        let capacity = buffer.capacity();
        assert_eq!(read_append(reader.as_fd(), &mut buffer, 2).unwrap(), 2);
        let rest = read_append(reader.as_fd(), &mut buffer, usize::MAX).unwrap();
        assert_eq!(rest, (capacity - 3).min(7));
        assert!(b"0123456789".starts_with(&buffer));
        assert_eq!(buffer.capacity(), capacity);
        buffer.truncate(0);
        let error = read_append(reader.as_fd(), &mut buffer, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
