//! Descriptors that this process has had since it was started, by their numbers.
#![allow(
    unsafe_code,
    reason = "whoever started this process told us a number, and no type vouches for it"
)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::FdFlag;
use nix::libc;

/// The descriptor `number`, to be looked at; taking it out of the `ManuallyDrop` takes it over. To be
/// called for numbers that the program has declared to be for this use.
///
/// # Errors
/// `EBADF` when it is not open; `Other` when it was opened by this program itself, and so belongs to
/// something else: what is opened in Rust is close-on-exec, and what was inherited cannot be.
pub(crate) fn inherited(number: RawFd) -> io::Result<ManuallyDrop<OwnedFd>> {
    // SAFETY: this asks for a flag of a number, open or not, and touches no memory of ours.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC) {
        return Err(io::Error::other("it was opened by this process itself"));
    }
    // SAFETY: it is open. No `OwnedFd` or other owner that std or we have made has this number, because
    // those are close-on-exec; the program leaves it to us; and it is not closed here.
    Ok(ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) }))
}
