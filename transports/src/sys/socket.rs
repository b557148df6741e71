//! `recv(2)` into the unused capacity of a vector, which safe wrappers would have zeroed first.
#![allow(unsafe_code, reason = "the buffer that the kernel fills is not initialised")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// Appends at most `limit` bytes to `buffer`, within its capacity, without ever blocking.
///
/// # Errors
/// What `recv(2)` reports, `WouldBlock` among it, never `Interrupted`; `InvalidInput` when there is
/// no room for a byte, which would look like the end.
pub(crate) fn recv_append(
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
        // exclusively borrowed through `buffer`, and recv only writes to them.
        let received = unsafe { libc::recv(fd.as_raw_fd(), start, room, libc::MSG_DONTWAIT) };
        match usize::try_from(received) {
            Ok(count) => break count,
            Err(_negative) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    let filled = buffer.len() + count;
    // SAFETY: `filled <= capacity`, because `count <= room <= spare.len()`, and recv has just
    // initialised the `count` bytes after the old length.
    unsafe { buffer.set_len(filled) };
    Ok(count)
}
