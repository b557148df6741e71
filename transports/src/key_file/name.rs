//! The path of a key file: taken by a server, found by clients.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ipcall_core::{ErrorKind, RpcError};
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Contents, KeyFile, Record, Title};
use crate::directory::{Access, Directory};
use crate::endpoint::{Parts, percent};
use crate::process::Process;

/// Where a key file lies: a directory and a name in it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) path: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) name: OsString,
}

impl Address {
    /// Understands the path of a key file.
    pub(crate) fn parse(parts: &Parts<'_>) -> Result<Self, String> {
        let bytes = parts.rest()?;
        let example = format!("{}:/run/user/1000/wordcount/key", parts.scheme);
        match bytes.first() {
            None => return Err(format!("a path is missing: write for example {example}")),
            Some(b'/') => {}
            Some(_) => return Err(format!("not an absolute path: write for example {example}")),
        }
        if bytes.contains(&0) {
            return Err("a path cannot contain a NUL".to_owned());
        }
        if bytes.ends_with(b"/") {
            return Err("the path names a directory: add the name of the key file".to_owned());
        }
        let path = PathBuf::from(OsString::from_vec(bytes));
        match (path.parent().map(Path::to_owned), path.file_name().map(OsString::from)) {
            (Some(directory), Some(name)) => Ok(Self { path, directory, name }),
            _ => Err("the path has no name at its end: add the name of the key file".to_owned()),
        }
    }

    /// An endpoint whose key file is called after `name` in `directory`.
    pub(crate) fn fresh(scheme: &str, directory: &Path, name: &str) -> String {
        let path = directory.join(format!("{name}.{scheme}"));
        format!("{scheme}:{}", percent::encode_path(&path))
    }

    /// The server that lives here.
    ///
    /// # Errors
    /// `ServerAbsent`, `Refused` for what is no key file of the own user, `InvalidEndpoint` for a server of
    /// another namespace, and the operating system's.
    pub(crate) fn find(&self, title: Title) -> Result<(Record, Process), RpcError> {
        let path = self.path.display();
        let failed = |doing: &str, e| RpcError::io(format!("{doing} the key file {path}"), e);
        let Some(file) = KeyFile::open(&self.path)? else {
            return Err(absent(format!("there is no key file {path}")));
        };
        let record = match file.read(title).map_err(|error| failed("reading", error))? {
            Contents::Record(record) => record,
            Contents::Empty => {
                return Err(absent(format!("nothing is in the key file {path} yet")));
            }
            Contents::Foreign => return Err(self.foreign()),
        };
        if !record.is_from_here() {
            return Err(RpcError::invalid_endpoint(format!(
                "the server of the key file {path} is in another IPC or pid namespace: use a \
                 transport that reaches there, such as unix:"
            )));
        }
        // In this order: whoever holds the lock afterwards held it all the time, so the process that was
        // opened is the one that has written its number, and not one that was given the same since.
        let process = Process::open(record.pid)
            .map_err(|error| RpcError::io("opening the server's process", error))?
            .filter(|process| !process.has_ended());
        let locked = file.is_locked().map_err(|e| failed("asking who has locked", e))?;
        match process {
            Some(process) if locked => Ok((record, process)),
            _ => Err(absent(format!("the server of the key file {path} has ended"))),
        }
    }

    fn foreign(&self) -> RpcError {
        let reason = format!(
            "{} is a foreign file, not a key file: move it away, or choose another path",
            self.path.display()
        );
        RpcError::not_executed(ErrorKind::Refused { reason })
    }
}

/// A key file that this process has taken. Dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub(crate) struct Name {
    address: Address,
    title: Title,
    file: KeyFile,
    directory: Directory,
}

impl Name {
    /// Takes `address`. If a server has been killed there, its objects are removed by `clean_up` before.
    ///
    /// # Errors
    /// `AddressInUse` when a server lives there, `Refused` for what is no key file of the own user, and the
    /// operating system's.
    pub(crate) fn take(
        address: &Address,
        title: Title,
        clean_up: impl FnOnce(&Record),
    ) -> Result<Self, RpcError> {
        let (directory, _locked) = Directory::lock(&address.directory, Access::OwnUser)?;
        make_room(address, title, clean_up)?;
        let file = KeyFile::create(&address.path).map_err(|error| {
            RpcError::io(format!("making the key file {}", address.path.display()), error)
        })?;
        Ok(Self { address: address.clone(), title, file, directory })
    }

    /// Writes into it where this server is found, in place of what is there.
    pub(crate) fn write(&self, record: &Record) -> Result<(), RpcError> {
        let path = self.address.path.display();
        self.file
            .write(self.title, record)
            .map_err(|error| RpcError::io(format!("writing the key file {path}"), error))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // As long as it is locked, no other server has taken the name over; but somebody may have moved or
        // replaced the file by hand.
        let name = self.address.name.as_os_str();
        let found = fstatat(self.directory.file(), name, AtFlags::AT_SYMLINK_NOFOLLOW);
        if let (Ok(found), Ok(ours)) = (found, self.file.identity())
            && (found.st_dev, found.st_ino) == ours
        {
            let _ = unlinkat(self.directory.file(), name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Removes a stale key file, with what it leads to; anything else that has the name is an error. The
/// directory is locked.
fn make_room(
    address: &Address,
    title: Title,
    clean_up: impl FnOnce(&Record),
) -> Result<(), RpcError> {
    let path = address.path.display();
    let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
    let Some(file) = KeyFile::open(&address.path)? else { return Ok(()) };
    let contents = file.read(title).map_err(|e| failed("reading the key file", e))?;
    let locked = file.is_locked().map_err(|e| failed("asking who has locked the key file", e))?;
    let record = match contents {
        Contents::Record(record) => Some(record),
        Contents::Empty => None,
        Contents::Foreign => return Err(address.foreign()),
    };
    if locked && !record.is_some_and(|record| has_died(&record)) {
        return Err(RpcError::not_executed(ErrorKind::AddressInUse {
            detail: format!("a living server has locked the key file {path}"),
        }));
    }
    // What is in another namespace has gone with it, or cannot be reached.
    if let Some(record) = record.filter(Record::is_from_here) {
        clean_up(&record);
    }
    fs::remove_file(&address.path).map_err(|e| failed("removing the stale key file", e))
}

/// Whether the server has died although its lock is held: by a child that it had forked.
fn has_died(record: &Record) -> bool {
    record.is_from_here()
        && match Process::open(record.pid) {
            Ok(Some(process)) => process.has_ended(),
            Ok(None) => true,
            Err(_) => false,
        }
}

fn absent(detail: String) -> RpcError {
    RpcError::not_executed(ErrorKind::ServerAbsent { detail })
}
