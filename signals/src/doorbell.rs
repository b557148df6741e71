//! The signal by which a server that does not read is told to look at its cancellations: which it may be, and
//! sending it to a process that is known by a descriptor.
//!
//! `SIGURG`, unless another is chosen: who does not handle it does not notice it (`signal(7)`), so that nothing
//! happens to a process that has lost its handler by `execve(2)`, or never had one; and sending it never fails for
//! want of a place in the queue of signals, which `RLIMIT_SIGPENDING` bounds for real-time signals alone. It merges
//! with another that is pending, which is just as well.

use std::io;
use std::os::fd::BorrowedFd;

use nix::libc;

use crate::{chosen, sys};

/// `SIGURG`.
pub const URGENT: i32 = libc::SIGURG;

/// `SIGRTMIN`, the first real-time signal that the C library leaves to programs.
pub fn first_realtime() -> i32 {
    sys::first_realtime()
}

/// Whether `number` can be rung with: [`URGENT`], or a real-time signal that does not end system calls.
///
/// # Errors
/// `InvalidInput` when it cannot.
pub fn check(number: i32) -> io::Result<()> {
    let (first, last) = (sys::first_realtime(), sys::last_realtime());
    let reason = if number == chosen() {
        format!("signal {number} is the one that ends system calls")
    } else if number == URGENT || (first..=last).contains(&number) {
        return Ok(());
    } else {
        format!(
            "signal {number} is neither SIGURG ({URGENT}) nor from {first} to {last}, as real-time signals are"
        )
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Sends a signal to the process of `pidfd`, and never to one that has been given its number since.
///
/// # Errors
/// `ESRCH` when it has ended and was waited for, `EPERM` when it may not be signalled, `EAGAIN` when too many
/// real-time signals are queued, `ENOSYS` before Linux 5.1.
pub fn send(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    sys::pidfd_send_signal(pidfd, number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_hurt_is_rung_with() {
        let (first, last) = (sys::first_realtime(), sys::last_realtime());
        for number in [URGENT, first, last, first + 6] {
            check(number).unwrap();
        }
        for number in [0, -1, libc::SIGKILL, libc::SIGTERM, first - 1, last + 1, first + 5] {
            let error = check(number).unwrap_err();
            assert!(error.to_string().contains(&number.to_string()), "{error}");
        }
    }
}
