//! The server's directory: its names, who holds it, and what lies in it.
//!
//! ```text
//! wordcount/              the server's, made by it, mode 0700
//!     server.0, server.1  whose locks it holds as long as it listens; the first says how it keeps spools
//!     new.RANDOM/         of a client that is making its files
//!     client.RANDOM/      of a client that waits to be accepted
//!         up.0, up.1, down.0, down.1
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::spool;
use crate::private::{Unfit, open, own};
use crate::sys;

const SERVER: [&str; 2] = ["server.0", "server.1"];
const NEW: &str = "new.";
const CLIENT: &str = "client.";

/// Random bytes in the name of a sub-directory, as two digits each.
const RANDOM: usize = 16;

/// Makes the two files whose locks say that a server is there, and shows them only with the locks.
pub(super) fn announce(place: &OwnedFd) -> io::Result<[File; 2]> {
    let hidden = SERVER.map(|name| format!("{NEW}{name}"));
    let files = [create(place, OsStr::new(&hidden[0]))?, create(place, OsStr::new(&hidden[1]))?];
    let files = files.map(File::from);
    (&files[0]).write_all(spool::LAYOUT)?;
    spool::hold(&files)?;
    for (hidden, name) in hidden.iter().zip(SERVER) {
        renameat(place, hidden.as_str(), place, name)?;
    }
    Ok(files)
}

/// The files whose locks a server holds, if there are any.
pub(super) fn find_server(place: &OwnedFd) -> Result<[File; 2], Unfit> {
    let open = |name| -> Result<File, Unfit> {
        let file = open(place, OsStr::new(name), OFlag::O_RDONLY)?;
        let status = fstat(&file)?;
        if status.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Err(Unfit::Because(format!("has a {name} that is no file")));
        }
        own(&status).map(|()| file.into())
    };
    Ok([open(SERVER[0])?, open(SERVER[1])?])
}

/// Whether a server keeps spools as this client does.
pub(super) fn is_of_this_kind(server: &[File; 2]) -> io::Result<bool> {
    let limit = spool::LAYOUT.len() + 1;
    let mut layout = Vec::with_capacity(limit);
    sys::pread_append(server[0].as_fd(), &mut layout, limit, 0)?;
    Ok(layout == spool::LAYOUT)
}

/// The clients that wait to be accepted.
pub(super) fn waiting(place: &OwnedFd) -> nix::Result<Vec<OsString>> {
    let is_client = |name: &OsStr| has_random(name, CLIENT);
    Ok(entries(place)?.into_iter().filter(|name| is_client(name)).collect())
}

/// Removes all that servers and clients leave, except what clients are just making. To be called when no server
/// is there that could accept them.
pub(super) fn sweep(place: &OwnedFd) -> nix::Result<()> {
    for name in entries(place)? {
        if has_random(&name, CLIENT) || has_random(&name, NEW) {
            remove(place, &name);
        } else if is_server(&name) {
            let _ = unlinkat(place, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
    Ok(())
}

/// Opens the sub-directory of a client.
pub(super) fn open_client(place: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Unfit> {
    let directory = open(place, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    own(&fstat(&directory)?)?;
    Ok(directory)
}

/// Removes the sub-directory of a client with its files.
pub(super) fn remove(place: &OwnedFd, name: &OsStr) {
    if let Ok(directory) = open(place, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        for file in spool::NAMES {
            // They may be gone. What else is there stays, and the sub-directory with it.
            let _ = unlinkat(&directory, file, UnlinkatFlags::NoRemoveDir);
        }
    }
    let _ = unlinkat(place, name, UnlinkatFlags::RemoveDir);
}

/// A sub-directory that a client makes its files in; the name that it has, and the one that it will have.
pub(super) fn make_client(place: &OwnedFd) -> nix::Result<(OwnedFd, OsString, OsString)> {
    loop {
        let random = random();
        let (name, later) = (format!("{NEW}{random}"), format!("{CLIENT}{random}"));
        match mkdirat(place, name.as_str(), mode(0o700)) {
            Ok(()) => {
                let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
                let opened = open(place, OsStr::new(&name), how);
                let directory = opened.inspect_err(|_| {
                    remove(place, OsStr::new(&name));
                })?;
                return Ok((directory, name.into(), later.into()));
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Makes a file that only its user can open.
pub(super) fn create(directory: impl AsFd, name: &OsStr) -> nix::Result<OwnedFd> {
    let file = open(directory, name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)?;
    // The umask may have taken bits away.
    fchmod(&file, mode(0o600))?;
    Ok(file)
}

/// The names in a directory.
fn entries(place: &OwnedFd) -> nix::Result<Vec<OsString>> {
    let mut found = Vec::new();
    let mut directory =
        Dir::from_fd(open(place, OsStr::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)?;
    for entry in directory.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != OsStr::new(".") && name != OsStr::new("..") {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

fn is_server(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let bytes = bytes.strip_prefix(NEW.as_bytes()).unwrap_or(bytes);
    SERVER.iter().any(|server| server.as_bytes() == bytes)
}

fn has_random(name: &OsStr, prefix: &str) -> bool {
    name.as_bytes().strip_prefix(prefix.as_bytes()).is_some_and(|digits| {
        digits.len() == 2 * RANDOM && digits.iter().all(u8::is_ascii_hexdigit)
    })
}

/// Digits that nobody else is likely to have.
fn random() -> String {
    let mut digits = String::with_capacity(2 * RANDOM);
    while digits.len() < 2 * RANDOM {
        // Different in each process and at each call.
        let number = RandomState::new().hash_one(std::process::id());
        // Writing to a string does not fail.
        let _ = write!(digits, "{number:016x}");
    }
    digits
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}
