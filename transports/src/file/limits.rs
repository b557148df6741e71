//! What the system may not have enough of, or may not offer in the place that was chosen: errors that
//! name the limit and its value.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::fstatfs;

use super::spool::SEGMENT;

/// File systems whose files may be written to by a kernel that does not tell this one (statfs(2)).
const REMOTE: [(u32, &str); 11] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

/// Makes sure that what one side does in a directory is seen by the other at once.
///
/// # Errors
/// `Refused` when the directory is on a network file system; the operating system's.
pub(super) fn check_place(directory: impl AsFd, path: &str) -> Result<(), RpcError> {
    let failed =
        |errno: Errno| RpcError::io(format!("looking at the file system of {path}"), errno.into());
    let found = fstatfs(directory).map_err(failed)?.filesystem_type().0;
    match REMOTE.iter().find(|(magic, _)| i128::from(found) == i128::from(*magic)) {
        None => check_file_size(path),
        Some((_, name)) => Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "{path} is on {name}, where neither inotify nor flock tell what another machine does: \
                 choose a directory on a local file system, such as tmpfs or ext4, or use tcp:"
            ),
        })),
    }
}

/// Writing beyond that limit would kill the process (SIGXFSZ).
fn check_file_size(path: &str) -> Result<(), RpcError> {
    let failed = |errno: Errno| RpcError::io("asking for RLIMIT_FSIZE", errno.into());
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(failed)?;
    if u128::from(limit) >= u128::from(SEGMENT) {
        return Ok(());
    }
    let text = format!(
        "RLIMIT_FSIZE lets this process write {limit} bytes to a file, and a segment of the spool has \
         {SEGMENT}: raise it (ulimit -f)"
    );
    let error = io::Error::new(io::ErrorKind::QuotaExceeded, text);
    Err(RpcError::io(format!("writing in {path}"), error))
}

/// Why there is no instance of inotify.
pub(super) fn explain_instance(errno: Errno) -> io::Error {
    // Descriptors that are used up say the same.
    if errno != Errno::EMFILE || EventFd::from_flags(EfdFlags::EFD_CLOEXEC).is_err() {
        return errno.into();
    }
    exceeded(format!(
        "no inotify instance is left for this process, which needs one: its user may have {}, in all \
         processes together (fs.inotify.max_user_instances)",
        setting("max_user_instances")
    ))
}

/// Why a file cannot be watched.
pub(super) fn explain_watch(errno: Errno) -> io::Error {
    match errno {
        Errno::ENOSPC => exceeded(format!(
            "no inotify watch is left, and a connection needs four: its user may have {} \
             (fs.inotify.max_user_watches)",
            setting("max_user_watches")
        )),
        Errno::ENOENT => io::Error::other("/proc, through which files are watched, is not mounted"),
        errno => errno.into(),
    }
}

/// Why bytes could not be written to a spool.
pub(super) fn explain_write(errno: Errno, path: &str) -> io::Error {
    let (kind, what) = match errno {
        Errno::ENOSPC => (io::ErrorKind::StorageFull, "the file system has no space left"),
        Errno::EDQUOT => (io::ErrorKind::QuotaExceeded, "the user's quota of space is used up"),
        Errno::EFBIG => (io::ErrorKind::FileTooLarge, "the limit on the size of a file is too low"),
        errno => return errno.into(),
    };
    let text = format!("{path}: {what}; a connection takes up to {} bytes each way", 2 * SEGMENT);
    io::Error::new(kind, text)
}

fn exceeded(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, text)
}

fn setting(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"))
        .map_or_else(|_| "a limited number".to_owned(), |value| value.trim().to_owned())
}
