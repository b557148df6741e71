//! `pread(2)` into the unused capacity of a vector, and `flock(2)` on a descriptor that stays its owner's.
#![allow(
    unsafe_code,
    reason = "nix reads into initialised memory only, and its lock unlocks when dropped"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Appends at most `limit` bytes from the place `offset` of a file to `buffer`, within its capacity.
///
/// # Errors
/// What `pread(2)` reports, never `Interrupted`; `InvalidInput` when there is no room for a byte, which
/// would look like the end.
pub(crate) fn pread_append(
    file: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    limit: usize,
    offset: u64,
) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let room = limit.min(spare.len());
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    if room == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let start = spare.as_mut_ptr().cast();
    let count = loop {
        // SAFETY: `start` points to at least `room` bytes, because `room <= spare.len()`; they are
        // exclusively borrowed through `buffer`, and pread only writes to them.
        let result = unsafe { libc::pread(file.as_raw_fd(), start, room, offset) };
        match usize::try_from(result) {
            Ok(count) => break count,
            Err(_negative) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    let filled = buffer.len() + count;
    // SAFETY: `filled <= capacity`, because `count <= room <= spare.len()`, and pread has just
    // initialised the `count` bytes after the old length.
    unsafe { buffer.set_len(filled) };
    Ok(count)
}

/// Takes the lock on a file for the description that `file` leads to, unless another has it; says whether
/// it did. It is released with the last descriptor of that description, also when the process is killed.
///
/// # Errors
/// `flock(2)`'s, never `Interrupted` nor `WouldBlock`.
pub(crate) fn try_flock(file: BorrowedFd<'_>) -> io::Result<bool> {
    flock(file, libc::LOCK_EX)
}

/// Whether another description has the lock on a file. This one must not have it.
///
/// # Errors
/// `flock(2)`'s, never `Interrupted` nor `WouldBlock`.
pub(crate) fn is_flocked(file: BorrowedFd<'_>) -> io::Result<bool> {
    // Shared, so that two who ask do not take each other for the holder.
    let free = flock(file, libc::LOCK_SH)?;
    if free {
        flock(file, libc::LOCK_UN)?;
    }
    Ok(!free)
}

fn flock(file: BorrowedFd<'_>, operation: libc::c_int) -> io::Result<bool> {
    loop {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let result = unsafe { libc::flock(file.as_raw_fd(), operation | libc::LOCK_NB) };
        match Errno::result(result) {
            Ok(_) => return Ok(true),
            Err(Errno::EWOULDBLOCK) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_read_keeps_to_its_place_its_limit_and_the_capacity() {
        let (_directory, mut file, other) = twice();
        file.write_all(b"0123456789").unwrap();
        let mut buffer = Vec::with_capacity(6);
        let capacity = buffer.capacity();
        assert_eq!(pread_append(other.as_fd(), &mut buffer, 2, 3).unwrap(), 2);
        let rest = pread_append(other.as_fd(), &mut buffer, usize::MAX, 5).unwrap();
        assert_eq!(rest, (capacity - 2).min(5));
        assert!(b"3456789".starts_with(&buffer));
        buffer.clear();
        assert_eq!(pread_append(other.as_fd(), &mut buffer, 1, 10).unwrap(), 0);
        let error = pread_append(other.as_fd(), &mut buffer, 0, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_lock_is_seen_by_others_until_it_is_closed() {
        let (_directory, file, other) = twice();
        assert!(!is_flocked(other.as_fd()).unwrap());
        assert!(try_flock(file.as_fd()).unwrap());
        assert!(is_flocked(other.as_fd()).unwrap());
        assert!(!try_flock(other.as_fd()).unwrap());
        drop(file);
        assert!(!is_flocked(other.as_fd()).unwrap());
    }

    /// A file that is open twice.
    fn twice() -> (impl Drop, File, File) {
        let directory = crate::file::testing::Scratch::new();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let other = File::open(&path).unwrap();
        (directory, file, other)
    }
}
