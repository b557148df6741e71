//! Waiting for a half as the core does: try, arm, and sleep with `poll(2)` on its descriptor.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What a descriptor is slept on for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    Read,
    Write,
}

impl From<Interest> for Want {
    fn from(interest: Interest) -> Self {
        match interest {
            Interest::Readable => Self::Read,
            Interest::Writable => Self::Write,
        }
    }
}

/// Sleeps until `fd` shows what is wanted, or its end; for ever, because the watchdog is there.
pub(crate) fn sleep(fd: BorrowedFd<'_>, want: Want) {
    assert!(wait(fd, want, PollTimeout::NONE));
}

/// Whether `fd` shows what is wanted right now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, want: Want) -> bool {
    wait(fd, want, PollTimeout::ZERO)
}

fn wait(fd: BorrowedFd<'_>, want: Want, timeout: PollTimeout) -> bool {
    let flags = match want {
        Want::Read => PollFlags::POLLIN,
        Want::Write => PollFlags::POLLOUT,
    };
    loop {
        match poll(&mut [PollFd::new(fd, flags)], timeout) {
            Ok(ready) => return ready > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}

pub(crate) fn is_would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads once, sleeping first if need be, and never more than `limit`.
pub(crate) fn read_some(
    reader: &mut dyn ReadHalf,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    loop {
        buffer.reserve(limit);
        let result = reader.try_read(buffer, limit);
        if !is_would_block(&result) {
            return result;
        }
        if reader.arm() {
            sleep(reader.as_fd(), Want::Read);
        }
    }
}

/// Writes once, sleeping first if need be.
pub(crate) fn write_some(writer: &mut dyn WriteHalf, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let result = writer.try_write(buffers);
        if !is_would_block(&result) {
            return result;
        }
        if writer.arm() {
            let want = writer.interest().into();
            sleep(writer.as_fd(), want);
        }
    }
}

/// Reads exactly `count` bytes.
pub(crate) fn read_exactly(reader: &mut dyn ReadHalf, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let missing = count - bytes.len();
        let came = read_some(reader, &mut bytes, missing).unwrap();
        assert!(came > 0, "it ended after {} of {count} bytes", bytes.len());
        assert!(came <= missing, "{came} bytes read where {missing} were the limit");
    }
    bytes
}

/// Reads to the orderly end.
pub(crate) fn read_to_end(reader: &mut dyn ReadHalf) -> Vec<u8> {
    let mut bytes = Vec::new();
    while read_some(reader, &mut bytes, 64 << 10).unwrap() > 0 {}
    bytes
}

/// Writes all of `bytes`.
pub(crate) fn write_all(writer: &mut dyn WriteHalf, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = write_some(writer, &[IoSlice::new(bytes)]).unwrap();
        assert!(count > 0 && count <= bytes.len(), "{count} of {} bytes written", bytes.len());
        bytes = &bytes[count..];
    }
}

/// Writes without sleeping until the peer is full, and says how much that took. Then the writer is
/// armed, and its descriptor quiet: what TCP acknowledges late has made its room by then.
pub(crate) fn fill(writer: &mut dyn WriteHalf, mut next: impl FnMut(usize) -> Vec<u8>) -> usize {
    const MORE_THAN_ANY_BUFFER: usize = 256 << 20;
    let mut written = 0;
    while written < MORE_THAN_ANY_BUFFER {
        let chunk = next(written);
        match writer.try_write(&[IoSlice::new(&chunk)]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if writer.arm() && !is_ready(writer.as_fd(), writer.interest().into()) {
                    return written;
                }
            }
            Err(error) => panic!("filling, after {written} bytes: {error}"),
        }
    }
    panic!("the peer takes {written} bytes without being read: there is no back-pressure");
}
