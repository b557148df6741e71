//! The key file: where the endpoint's path leads. It says which server start it belongs to, its lock
//! says whether that one lives, and its table keeps the ids of the clients' queues, so that what dead
//! processes leave is found without listing queues.
//!
//! ```text
//! bytes 0..128          one line: ipcall posix-mq 1 NONCE PID PID-NAMESPACE, filled up with spaces
//! bytes 128..128+8*256  the table: the id that the queues of slot 0, 1, ... had last, little-endian; 0: none
//! ```
//!
//! A server holds the lock of the first byte for as long as it listens, a client that of its slot. What is
//! in the file is never believed further than that it names queues, which are looked at before use.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::lock;

/// Clients of one server that there can be at a time.
pub(super) const SLOTS: u64 = 256;

const HEADER_SIZE: u64 = 128;
const ID_SIZE: u64 = 8;
const SIZE: u64 = HEADER_SIZE + SLOTS * ID_SIZE;
const MAGIC: &str = "ipcall posix-mq 1";
/// Held by the server.
const LISTENING: Range<u64> = 0..1;

/// Which server start a key file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Different for each start.
    pub(super) nonce: u128,
    pub(super) pid: u32,
    /// The inode of the pid namespace that gave the number, or 0 where that is not known.
    pub(super) pid_namespace: u64,
}

/// An open key file that was found to be one of the own user.
#[derive(Debug)]
pub(super) struct KeyFile(File);

impl KeyFile {
    /// Opens the key file at `path`; `None` if there is nothing.
    ///
    /// # Errors
    /// `Refused` when it is something else, somebody else's, or open to others.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, RpcError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            // A FIFO in its place must not keep us waiting.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => return explain_opening(error, path),
        };
        let key = Self(file);
        key.check(path)?;
        Ok(Some(key))
    }

    /// Makes the key file at `path`, where nothing is. It is empty, and nobody is said to listen.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)?;
        // The umask may have taken bits away.
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self(file))
    }

    /// Which start it belongs to; `None` if it does not say yet, because its server has only begun to
    /// start, or was killed just then.
    pub(super) fn header(&self) -> io::Result<Option<Header>> {
        let mut line = [0; HEADER_SIZE as usize];
        let mut read = 0;
        while read < line.len() {
            match self.0.read_at(&mut line[read..], read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if read == 0 {
            return Ok(None);
        }
        let header = std::str::from_utf8(&line[..read]).ok().and_then(Header::parse);
        header.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Says which start it belongs to. The table stays as it is.
    pub(super) fn write_header(&self, header: &Header) -> io::Result<()> {
        let size = self.0.metadata()?.len();
        let mut bytes = header.to_line();
        if size != SIZE {
            // All of it, so that a client has nothing left to allocate.
            bytes.resize(SIZE as usize, 0);
        }
        self.0.write_all_at(&bytes, 0)
    }

    /// Says that a server listens, for as long as this is open.
    pub(super) fn begin_to_listen(&self) -> io::Result<()> {
        if lock::take(self, LISTENING)? { Ok(()) } else { Err(Errno::EBUSY.into()) }
    }

    pub(super) fn end_listening(&self) -> io::Result<()> {
        lock::give_back(self, LISTENING)
    }

    /// Whether a server listens, other than through this.
    pub(super) fn is_listened_at(&self) -> io::Result<bool> {
        lock::is_taken(self, LISTENING)
    }

    /// Takes a slot for as long as this is open; `None` when all are taken.
    pub(super) fn take_slot(&self) -> io::Result<Option<u64>> {
        for slot in 0..SLOTS {
            if lock::take(self, place(slot))? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// The id that the queues of `slot` had last; 0 if it had none.
    pub(super) fn id(&self, slot: u64) -> io::Result<u64> {
        let mut id = [0; ID_SIZE as usize];
        self.0.read_exact_at(&mut id, place(slot).start)?;
        Ok(u64::from_le_bytes(id))
    }

    /// The id that the queues of `slot`, which is ours, will have. Eight aligned bytes in one page are
    /// written whole, whenever this process is killed.
    pub(super) fn write_id(&self, slot: u64, id: u64) -> io::Result<()> {
        self.0.write_all_at(&id.to_le_bytes(), place(slot).start)
    }

    /// All ids that there are.
    pub(super) fn ids(&self) -> io::Result<Vec<u64>> {
        Ok(self.table()?.into_iter().filter(|id| *id != 0).collect())
    }

    /// The ids of the slots that nobody has taken: if any of their queues are there, a dead client has left
    /// them.
    pub(super) fn ids_of_the_dead(&self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for (slot, id) in (0..).zip(self.table()?) {
            // Asked after the table was read: who takes the slot from now on has another id.
            if id != 0 && !lock::is_taken(self, place(slot))? {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The ids of all slots, or nothing if there is no table yet.
    fn table(&self) -> io::Result<Vec<u64>> {
        if self.0.metadata()?.len() < SIZE {
            return Ok(Vec::new());
        }
        let mut table = vec![0; (SLOTS * ID_SIZE) as usize];
        self.0.read_exact_at(&mut table, HEADER_SIZE)?;
        let (ids, _) = table.as_chunks();
        Ok(ids.iter().map(|id| u64::from_le_bytes(*id)).collect())
    }

    /// Device and inode.
    pub(super) fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.0.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Whether it has no name any more.
    pub(super) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.nlink() == 0)
    }

    fn check(&self, path: &Path) -> Result<(), RpcError> {
        let path = path.display();
        let metadata =
            self.0.metadata().map_err(|e| RpcError::io(format!("looking at {path}"), e))?;
        let (owner, own, mode) = (metadata.uid(), geteuid().as_raw(), metadata.mode() & 0o7777);
        if owner != own {
            return refused(format!(
                "{path} belongs to uid {owner}, and this process runs as uid {own}: a posix-mq \
                 endpoint is for one user alone; choose another path, or unix:, which can admit others"
            ));
        }
        let header = match self.header() {
            _ if !metadata.is_file() || metadata.len() > SIZE => return refused(foreign(&path)),
            Ok(header) => header,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return refused(foreign(&path));
            }
            Err(error) => return Err(RpcError::io(format!("reading {path}"), error)),
        };
        match (mode & 0o177, header) {
            (0, _) => Ok(()),
            // No server makes such a file, not even for a moment.
            (_, None) => refused(foreign(&path)),
            (_, Some(_)) => refused(format!(
                "the key file {path} has mode {mode:04o}, so others may use it: run chmod 600 {path}"
            )),
        }
    }
}

impl AsFd for KeyFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Header {
    fn to_line(self) -> Vec<u8> {
        let Self { nonce, pid, pid_namespace } = self;
        let width = HEADER_SIZE as usize - 1;
        let line = format!("{MAGIC} {nonce:032x} {pid} {pid_namespace}");
        format!("{line:<width$}\n").into_bytes()
    }

    fn parse(line: &str) -> Option<Self> {
        let words = line.strip_suffix('\n')?.strip_prefix(MAGIC)?;
        let mut words = words.split_ascii_whitespace();
        let header = Self {
            nonce: u128::from_str_radix(words.next()?, 16).ok()?,
            pid: words.next()?.parse().ok()?,
            pid_namespace: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(header)
    }
}

/// The bytes of a slot in the file, which are also those of its lock.
fn place(slot: u64) -> Range<u64> {
    let start = HEADER_SIZE + slot * ID_SIZE;
    start..start + ID_SIZE
}

fn refused<T>(reason: String) -> Result<T, RpcError> {
    Err(RpcError::not_executed(ErrorKind::Refused { reason }))
}

fn foreign(path: &impl std::fmt::Display) -> String {
    format!(
        "{path} is a foreign file, not the key file of a posix-mq server: move it away, or choose \
         another path"
    )
}

fn explain_opening(error: io::Error, path: &Path) -> Result<Option<KeyFile>, RpcError> {
    let shown = path.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Ok(None),
        // A symbolic link, a directory, a socket.
        Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => refused(foreign(&shown)),
        Some(Errno::EACCES | Errno::EPERM) => refused(format!(
            "the permissions of {shown} or its directory keep uid {} out: a posix-mq endpoint is for \
             one user alone; unix: can admit others",
            geteuid()
        )),
        _ => Err(RpcError::io(format!("opening {shown}"), error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header { nonce: u128::MAX - 5, pid: u32::MAX, pid_namespace: u64::MAX };
        let line = header.to_line();
        assert_eq!(line.len() as u64, HEADER_SIZE);
        assert_eq!(Header::parse(std::str::from_utf8(&line).unwrap()), Some(header));
    }

    #[test]
    fn other_lines_are_no_headers() {
        for line in [
            "",
            "\n",
            "precious\n",
            "ipcall posix-mq 1\n",
            "ipcall posix-mq 2 0f 1 1\n",
            "ipcall posix-mq 1 0f 1 1",
            "ipcall posix-mq 1 0f 1\n",
            "ipcall posix-mq 1 0f 1 1 1\n",
            "ipcall posix-mq 1 0g 1 1\n",
            "ipcall posix-mq 1 0f -1 1\n",
        ] {
            assert_eq!(Header::parse(line), None, "{line:?}");
        }
    }
}
