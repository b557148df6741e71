//! The key file: where the path of an endpoint over System V objects leads. It says by which key they are
//! found, whose they are, and, by its lock, whether that server lives.
//!
//! ```text
//! ipcall sysv-mq 1
//! pid 0000001234
//! start 0123456789abcdef
//! key 1bc00080
//! ipc-namespace 00000000004026531839
//! pid-namespace 00000000004026531836
//! ```
//!
//! The server holds a lock on it (`F_OFD_SETLK`) from before anything is in it until it gives up its name. The
//! kernel lets go of the lock when the server is killed, and others can ask about it without taking it.
//! An empty file that nobody has locked is one whose server was killed before it could write it.
//!
//! [`Name`] is the server's side of this, [`Address::find`] the client's.

mod name;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::stat::fstat;
use nix::unistd::geteuid;

pub(crate) use name::{Address, Name};

/// More than any key file has.
const LONGEST: u64 = 512;

/// The first line of a key file: which transport it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Title(pub(crate) &'static str);

/// What is in a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) pid: u32,
    /// Different for each start of a server.
    pub(crate) start: u64,
    /// Whatever the transport finds its objects by.
    pub(crate) key: i32,
    /// The namespaces in which the keys and the pid mean something, as inodes; 0 for unknown.
    pub(crate) ipc_namespace: u64,
    pub(crate) pid_namespace: u64,
}

/// An open key file that was found to be one of the own user.
#[derive(Debug)]
pub(crate) struct KeyFile(File);

/// What an open key file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing yet.
    Empty,
    Record(Record),
    /// It is no key file.
    Foreign,
}

impl KeyFile {
    /// Opens the file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// `Refused` when it is something else, somebody else's, or open to others.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, RpcError> {
        let refused = |what: String| {
            let reason = format!("{} {what}: choose another path", path.display());
            Err(RpcError::not_executed(ErrorKind::Refused { reason }))
        };
        let own = geteuid().as_raw();
        let file = match OpenOptions::new()
            .read(true)
            // A FIFO in its place must not keep us waiting.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)
        {
            Ok(file) => file,
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => return Ok(None),
                Some(Errno::ELOOP) => {
                    return refused("is a symbolic link, not a key file".to_owned());
                }
                Some(Errno::ENXIO) => return refused("is a socket, not a key file".to_owned()),
                Some(Errno::EACCES) => return refused(format!("cannot be read by uid {own}")),
                _ => return Err(failed("opening", path, error)),
            },
        };
        let metadata = file.metadata().map_err(|error| failed("looking at", path, error))?;
        if !metadata.file_type().is_file() {
            return refused("is a foreign file, not a key file".to_owned());
        }
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != own {
            return refused(format!("belongs to uid {owner}, and this process runs as uid {own}"));
        }
        if mode & 0o022 != 0 {
            return refused(format!("has mode {mode:04o}, so others may have written it"));
        }
        Ok(Some(Self(file)))
    }

    /// Makes the file at `path`, which has to be absent, and locks it.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)?;
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK)))?;
        Ok(Self(file))
    }

    /// Puts `record` into it, in place of what is there.
    pub(crate) fn write(&self, title: Title, record: &Record) -> io::Result<()> {
        // All records are equally long.
        self.0.write_all_at(record.to_text(title).as_bytes(), 0)
    }

    /// What is in it.
    pub(crate) fn read(&self, title: Title) -> io::Result<Contents> {
        let mut text = Vec::new();
        (&self.0).take(LONGEST).read_to_end(&mut text)?;
        if text.is_empty() {
            return Ok(Contents::Empty);
        }
        let record =
            std::str::from_utf8(&text).ok().and_then(|text| Record::from_text(title, text));
        Ok(record.map_or(Contents::Foreign, Contents::Record))
    }

    /// Whether somebody holds its lock.
    pub(crate) fn is_locked(&self) -> io::Result<bool> {
        let mut found = lock(libc::F_WRLCK);
        fcntl(&self.0, FcntlArg::F_OFD_GETLK(&mut found))?;
        Ok(i32::from(found.l_type) != libc::F_UNLCK)
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let status = fstat(&self.0)?;
        Ok((status.st_dev, status.st_ino))
    }
}

impl Record {
    pub(crate) fn of_this_process(start: u64, key: i32) -> Self {
        Self {
            pid: std::process::id(),
            start,
            key,
            ipc_namespace: namespace("ipc"),
            pid_namespace: namespace("pid"),
        }
    }

    /// Whether keys and pid mean here what they mean to the one who wrote this.
    pub(crate) fn is_from_here(&self) -> bool {
        let same = |theirs, ours| theirs == 0 || ours == 0 || theirs == ours;
        same(self.ipc_namespace, namespace("ipc")) && same(self.pid_namespace, namespace("pid"))
    }

    fn to_text(self, Title(title): Title) -> String {
        let Self { pid, start, key, ipc_namespace, pid_namespace } = self;
        format!(
            "{title}\npid {pid:010}\nstart {start:016x}\nkey {key:08x}\n\
             ipc-namespace {ipc_namespace:020}\npid-namespace {pid_namespace:020}\n"
        )
    }

    fn from_text(title: Title, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name);
        if !value(title.0)?.is_empty() {
            return None;
        }
        let record = Self {
            pid: value("pid ")?.parse().ok()?,
            start: u64::from_str_radix(value("start ")?, 16).ok()?,
            key: i32::from_str_radix(value("key ")?, 16).ok()?,
            ipc_namespace: value("ipc-namespace ")?.parse().ok()?,
            pid_namespace: value("pid-namespace ")?.parse().ok()?,
        };
        (record.to_text(title) == text).then_some(record)
    }
}

/// The inode of this process's namespace of this kind; 0 where that is not known.
fn namespace(kind: &str) -> u64 {
    fs::metadata(format!("/proc/self/ns/{kind}")).map_or(0, |metadata| metadata.ino())
}

/// A lock of the whole file.
fn lock(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).expect("the kinds of locks are small numbers"),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).expect("it is 0"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> RpcError {
    RpcError::io(format!("{doing} the key file {}", path.display()), error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    const TITLE: Title = Title("ipcall test 1");

    fn record() -> Record {
        Record::of_this_process(0x1234, 0x1bc0_0080)
    }

    #[test]
    fn what_is_written_is_read() {
        let record = record();
        assert_eq!(Record::from_text(TITLE, &record.to_text(TITLE)), Some(record));
        assert!(record.is_from_here());
        let elsewhere = Record { ipc_namespace: record.ipc_namespace + 1, ..record };
        assert!(!elsewhere.is_from_here());
        assert!((record.to_text(TITLE).len() as u64) < LONGEST);
    }

    #[test]
    fn what_is_not_exactly_a_record_is_foreign() {
        let text = record().to_text(TITLE);
        for length in 0..text.len() {
            assert_eq!(Record::from_text(TITLE, &text[..length]), None);
        }
        for wrong in [
            text.replace("pid 0", "pid +"),
            text.replace("key 1bc", "key xyz"),
            text.replace("test 1", "test 2"),
            format!("{text}more\n"),
            "precious".to_owned(),
        ] {
            assert_eq!(Record::from_text(TITLE, &wrong), None, "{wrong}");
        }
    }
}
