//! Record locks (`fcntl(2)`): they are let go by the kernel when their holder dies, and anybody can ask
//! who holds one without taking it.
//!
//! Two kinds are used. A lock of the **open file description** (`F_OFD_SETLK`) keeps a place in the key
//! file; closing another descriptor of the file does not let it go. A lock of the **process**
//! (`F_SETLK`) is how a client signs its queue, because the kernel names the process that holds one.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Takes the bytes `range` for this open file description, which has to be open for writing. `false` if
/// somebody has them.
pub(super) fn take(file: impl AsFd, range: Range<u64>) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&record(libc::F_WRLCK, range)?)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Lets the bytes `range` go again.
pub(super) fn give_back(file: impl AsFd, range: Range<u64>) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&record(libc::F_UNLCK, range)?))?;
    Ok(())
}

/// Whether anybody but this open file description has one of the bytes `range`.
pub(super) fn is_taken(file: impl AsFd, range: Range<u64>) -> io::Result<bool> {
    holder(file, range).map(|holder| holder.is_some())
}

/// Makes this process the holder of the first byte of `file`, which has to be open for writing, until it
/// closes any descriptor of it or ends.
pub(super) fn sign(file: impl AsFd) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(&record(libc::F_WRLCK, 0..1)?))?;
    Ok(())
}

/// The process that has signed `file`, as the kernel knows it; `None` when it has ended or closed the
/// file, when it is not of our pid namespace, and when nobody has signed.
pub(super) fn signer(file: impl AsFd) -> io::Result<Option<u32>> {
    let holder = holder(file, 0..1)?;
    Ok(holder.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0))
}

/// The process that holds one of the bytes; -1 stands for an open file description.
fn holder(file: impl AsFd, range: Range<u64>) -> io::Result<Option<libc::pid_t>> {
    let mut found = record(libc::F_WRLCK, range)?;
    // As another open file description would see it: so the locks of this process count, too.
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok((i32::from(found.l_type) != libc::F_UNLCK).then_some(found.l_pid))
}

fn record(kind: libc::c_int, range: Range<u64>) -> io::Result<libc::flock> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    Ok(libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(out_of_range)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(out_of_range)?,
        l_start: libc::off_t::try_from(range.start).map_err(out_of_range)?,
        l_len: libc::off_t::try_from(range.end - range.start).map_err(out_of_range)?,
        // Has to be 0 where an open file description asks.
        l_pid: 0,
    })
}
