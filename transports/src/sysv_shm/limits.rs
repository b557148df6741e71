//! Errors that name the kernel's limit that was reached, what it is, and what was needed.

use std::fs;
use std::io;

use nix::errno::Errno;

use super::lobby;
use super::objects::SEMAPHORES;

/// Explains why a segment of `size` bytes cannot be made.
pub(super) fn explain_segment(error: io::Error, size: usize) -> io::Error {
    let text = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => format!(
            "no shared memory segment is left: all programs together may have {} (kernel.shmmni), and {} pages \
             in them (kernel.shmall); one more with {size} bytes is needed. ipcs -m lists them",
            value("shmmni"),
            value("shmall")
        ),
        Some(Errno::EINVAL) => format!(
            "a shared memory segment may have {} bytes (kernel.shmmax), and {size} are needed: choose a \
             smaller ring, or raise the limit",
            value("shmmax")
        ),
        Some(Errno::ENOMEM) => {
            format!("no memory is left for a shared memory segment of {size} bytes")
        }
        _ => return error,
    };
    io::Error::new(io::ErrorKind::QuotaExceeded, text)
}

/// Explains why a server's objects cannot be made.
pub(super) fn explain_objects(error: io::Error) -> io::Error {
    let limits = value("sem");
    let limits: Vec<_> = limits.split_whitespace().collect();
    let limit = |place: usize| limits.get(place).copied().unwrap_or("an unknown number");
    // semget(2) knows no other reasons for these, and the lobby is too small for shmget(2) to have them.
    let text = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => format!(
            "no System V object is left: all programs together may have {} sets of semaphores with {} in them \
             (kernel.sem), and {} shared memory segments (kernel.shmmni); a set of {SEMAPHORES} and a \
             segment of {} bytes are needed. ipcs lists them",
            limit(3),
            limit(1),
            value("shmmni"),
            lobby::SIZE
        ),
        Some(Errno::EINVAL) => format!(
            "a set may have {} semaphores (kernel.sem), and {SEMAPHORES} are needed: raise the limit",
            limit(0)
        ),
        _ => return error,
    };
    io::Error::new(io::ErrorKind::QuotaExceeded, text)
}

/// The value of a limit, as far as the kernel says it.
fn value(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    text.map_or_else(|_| "an unknown number of".to_owned(), |text| text.trim().to_owned())
}
