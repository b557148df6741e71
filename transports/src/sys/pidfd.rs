//! `pidfd_open(2)` and `pidfd_send_signal(2)`.
#![allow(unsafe_code, reason = "no dependency offers the calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;

/// A descriptor for the process `pid`, readable once it has ended. Close-on-exec.
///
/// # Errors
/// `ESRCH` when there is no such process; `ENOSYS` before Linux 5.3; the others of `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags: libc::c_uint = 0;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) };
    let descriptor = match RawFd::try_from(opened) {
        Ok(descriptor) if descriptor >= 0 => descriptor,
        _ => return Err(io::Error::last_os_error()),
    };
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sends `signal` to the process of `pidfd`, and never to one that has been given its number since.
///
/// # Errors
/// `ESRCH` when it has ended and was waited for; `EPERM` when it may not be signalled.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let (info, flags) = (ptr::null::<libc::siginfo_t>(), 0 as libc::c_uint);
    let number = signal as libc::c_int;
    // SAFETY: the call takes numbers and a pointer that may be null, as for kill(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, info, flags)
    };
    Ok(Errno::result(sent).map(drop)?)
}
