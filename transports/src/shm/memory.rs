//! The memory of one side as a file without a name: made, sealed, verified.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl, posix_fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;

use super::LARGEST;
use crate::ring::{CONTROL, SMALLEST};
use crate::sys::Region;

/// Bytes that a connection takes of the server's budget.
pub(super) fn cost(capacity: usize) -> usize {
    2 * (CONTROL + capacity)
}

/// Makes memory for a ring of `capacity`, zero, reserved in full, and of a size that cannot change any more.
/// It is still to be sealed by [`seal`].
pub(super) fn make(capacity: usize) -> io::Result<OwnedFd> {
    let file = memfd_create("ipcall-ring", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let length = libc_offset(CONTROL + capacity)?;
    // Where there is no memory, this says so; the first access would kill the process.
    posix_fallocate(&file, 0, length)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(size_seals()))?;
    Ok(file)
}

/// Lets nobody map the memory for writing who has not done so by now, if so wanted, and lets nobody seal it any
/// further.
pub(super) fn seal(file: &OwnedFd, read_only: bool) -> io::Result<()> {
    let mut seals = SealFlag::F_SEAL_SEAL;
    if read_only {
        seals |= SealFlag::F_SEAL_FUTURE_WRITE;
    }
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// Maps memory that the peer has made, after a look whether it is what it should be.
pub(super) fn map_checked(
    file: impl AsFd + AsRawFd,
    capacity: usize,
    writable: bool,
) -> io::Result<Region> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if !capacity.is_power_of_two() || !(SMALLEST..=LARGEST).contains(&capacity) {
        return Err(wrong(format!("the server offers a ring of {capacity} bytes")));
    }
    // No memory without seals answers this at all.
    let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS)?);
    if !seals.contains(size_seals()) {
        return Err(wrong("the server's memory is not sealed: its size could change".to_owned()));
    }
    let (size, expected) = (fstat(&file)?.st_size, libc_offset(CONTROL + capacity)?);
    if size != expected {
        return Err(wrong(format!("the server's memory has {size} bytes instead of {expected}")));
    }
    Region::map(file, capacity, writable)
}

fn size_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

fn libc_offset(length: usize) -> io::Result<i64> {
    i64::try_from(length).map_err(|_| io::ErrorKind::InvalidInput.into())
}
