//! Taking a key file's path, accepting the clients that announce themselves, and giving the path back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use ipcall_core::transport::{Listener as Accept, Peer, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::mqueue::mq_unlink;
use nix::sys::epoll::{Epoll, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::{fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::announcement::{Announcement, RENDEZVOUS, rendezvous};
use super::claim::{Names, random};
use super::halves::{Parts, sleep_on};
use super::key::{Header, KeyFile};
use super::queue::{End, Queue, explain_creation, remove_own};
use super::{lock, pid_namespace};
use crate::directory::{Access, Directory};
use crate::endpoint::Place;
use crate::process::Process;

/// Messages in a row that announce nobody, after which the server is told, so that it pauses instead of
/// being kept busy: less than a queue full of them.
const USELESS_AT_ONCE: usize = 8;

/// Accepts the clients of one key file. Dropping it removes the file and the rendezvous queue, and ends
/// the clients that it has not accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    rendezvous: Rendezvous,
    header: Header,
    /// Clients that may be there without an announcement, because the rendezvous queue was full, or
    /// that could not be accepted for want of descriptors.
    overlooked: Vec<u64>,
    /// Clients that were accepted without their announcement, which may still be in the queue.
    ahead: Vec<u64>,
    /// Rings while any are overlooked.
    bell: EventFd,
    /// Holds the rendezvous queue and the bell.
    sleep: Epoll,
    /// Messages that announced nobody: of another server start, of a client that has gone, or no
    /// announcement at all.
    dropped: u64,
    name: Name,
}

/// The rendezvous queue. Dropping it removes its name.
#[derive(Debug)]
struct Rendezvous {
    queue: Queue,
    name: String,
}

/// The key file of a listener, as long as it is ours. Dropping it gives it back.
#[derive(Debug)]
struct Name {
    key: KeyFile,
    place: Place,
    directory: Directory,
}

impl Listener {
    /// Takes the path `place` and listens.
    pub(crate) fn bind(place: &Place, settings: &Settings) -> Result<Self, RpcError> {
        if !settings.allow_uids.is_empty() {
            return Err(RpcError::not_executed(ErrorKind::Refused {
                reason: "a posix-mq endpoint is for the own user alone, because a queue cannot be \
                         opened to one other user: remove allow-uids, or choose unix:"
                    .to_owned(),
            }));
        }
        let shown = place.path.display();
        let failed =
            |doing: &str, error: io::Error| RpcError::io(format!("{doing} {shown}"), error);
        let (directory, _locked) = Directory::lock(&place.directory, Access::OwnUser)?;
        let key = take_key(&place.path)?;
        let name = Name { key, place: place.clone(), directory };

        let nonce = u128::from(random()) << 64 | u128::from(random());
        let header = Header { nonce, pid: std::process::id(), pid_namespace: pid_namespace() };
        // Written first, so that the queue is found by whoever comes after a crash.
        name.key.write_header(&header).map_err(|e| failed("writing", e))?;
        let rendezvous = Rendezvous::make(nonce)?;
        let (bell, sleep) =
            descriptors(&rendezvous.queue).map_err(|e| RpcError::io("making descriptors", e))?;
        let (overlooked, ahead) = (Vec::new(), Vec::new());
        let dropped = 0;
        let listener = Self { rendezvous, header, overlooked, ahead, bell, sleep, dropped, name };
        // Last, because nobody connects before.
        listener.name.key.begin_to_listen().map_err(|e| failed("locking", e))?;
        Ok(listener)
    }

    /// How many messages announced nobody.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes one message from the rendezvous queue and gives the id that it announces, if it does.
    fn next_announced(&mut self) -> io::Result<Option<u64>> {
        let mut message = Vec::with_capacity(RENDEZVOUS.size);
        let queue = &self.rendezvous.queue;
        if let Err(errno) = queue.receive_append(&mut message, RENDEZVOUS.size) {
            // Nothing is in the queue that was not looked at.
            self.ahead.clear();
            return Err(errno.into());
        }
        // If it was full, somebody may have found no room; of whom the table knows. The queue is looked
        // at afterwards, and the table after that: nobody is missed who found it full before.
        if queue.waiting()? + 1 >= queue.shape()?.messages {
            self.overlook(self.name.key.ids()?);
        }
        let announced = Announcement::parse(&message);
        Ok(announced.filter(|it| it.nonce == self.header.nonce).map(|it| it.id))
    }

    /// The connection to the client `id`, if there is one; it is not forgotten if it cannot be had now.
    fn admit(&mut self, id: u64) -> io::Result<Option<Transport>> {
        admit(id).inspect_err(|_| self.overlook([id]))
    }

    /// Ends the clients that were not accepted. Nobody listens any more: whoever asks is told, and goes away by
    /// himself; the others have their queues ready, and see the end of them.
    fn dismiss_clients(&self) {
        for id in self.name.key.ids().unwrap_or_default() {
            drop(admit(id));
        }
        // Of whoever was killed before he had a whole pair.
        for id in self.name.key.ids_of_the_dead().unwrap_or_default() {
            Names::of(id).remove_leftovers();
        }
    }

    fn overlook(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.overlooked.extend(ids);
        // Its count cannot be at its maximum.
        let _ = self.bell.write(1);
    }

    /// The next of those that were overlooked.
    fn next_overlooked(&mut self) -> Option<u64> {
        let next = self.overlooked.pop()?;
        if self.overlooked.is_empty() {
            // It rings, so this cannot fail.
            let _ = self.bell.read();
        }
        Some(next)
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        for _ in 0..USELESS_AT_ONCE {
            while let Some(id) = self.next_overlooked() {
                // Most of the table's are connected already.
                if let Some(client) = self.admit(id)? {
                    self.ahead.push(id);
                    return Ok(client);
                }
            }
            let announced = loop {
                let announced = self.next_announced()?;
                let ahead = self.ahead.iter().position(|id| Some(*id) == announced);
                match ahead {
                    Some(index) => drop(self.ahead.swap_remove(index)),
                    None => break announced,
                }
            };
            if let Some(id) = announced
                && let Some(client) = self.admit(id)?
            {
                return Ok(client);
            }
            self.dropped += 1;
        }
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            format!("{} messages that announced no client were dropped so far", self.dropped()),
        ))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sleep.0.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.rendezvous.remove();
        // With the directory's lock nobody takes the key file over, so it goes last: whoever is killed half-way
        // leaves it to the next. Who has the lock now is starting or stopping, and soon done.
        let locked = self.name.directory.lock_to_leave();
        if locked.is_some() {
            let _ = self.name.key.end_listening();
        } else {
            self.name.give_back();
        }
        self.dismiss_clients();
        self.name.give_back();
    }
}

impl Rendezvous {
    fn make(nonce: u128) -> Result<Self, RpcError> {
        let name = rendezvous(nonce);
        let queue = Queue::create(&name, End::Reading, RENDEZVOUS)
            .map_err(|errno| explain_creation(errno, RENDEZVOUS.cost(), 1))?;
        Ok(Self { queue, name })
    }

    /// Removes the name, which nobody else has ever had.
    fn remove(&self) {
        let _ = mq_unlink(&*self.name);
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Name {
    /// Removes the key file, and then says that nobody listens: in this order, because a file that is
    /// not listened at is taken over, unless the directory is locked. Once more does no harm: as long as
    /// it is open, no other file is taken for it.
    fn give_back(&self) {
        let (file, name) = (self.directory.file(), &*self.place.name);
        let found = fstatat(file, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        // Somebody may have moved or replaced the file by hand.
        if let (Ok(found), Ok(ours)) = (found, self.key.identity())
            && (found.st_dev, found.st_ino) == ours
        {
            let _ = unlinkat(file, name, UnlinkatFlags::NoRemoveDir);
        }
        let _ = self.key.end_listening();
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The key file at `path`, made or taken over. The directory is locked.
fn take_key(path: &Path) -> Result<KeyFile, RpcError> {
    let failed =
        |doing: &str, error: io::Error| RpcError::io(format!("{doing} {}", path.display()), error);
    loop {
        let Some(key) = KeyFile::open(path)? else {
            return KeyFile::create(path).map_err(|e| failed("making", e));
        };
        if key.is_listened_at().map_err(|e| failed("asking who listens at", e))? {
            return Err(RpcError::not_executed(ErrorKind::AddressInUse {
                detail: format!("a living server has locked the key file {}", path.display()),
            }));
        }
        // A listener that was just dropped had removed it by the time that it let go of the lock.
        if !key.is_removed().map_err(|e| failed("looking at", e))? {
            remove_leftovers(&key)
                .map_err(|e| failed("cleaning up after the last server of", e))?;
            return Ok(key);
        }
    }
}

/// Removes the queues that a dead server and its clients have left.
fn remove_leftovers(key: &KeyFile) -> io::Result<()> {
    if let Some(header) = key.header()? {
        remove_own(&rendezvous(header.nonce));
    }
    key.ids()?.into_iter().for_each(|id| Names::of(id).remove_leftovers());
    Ok(())
}

/// The connection to the client whose queues have this id; `None` if there is none, or none any more.
///
/// # Errors
/// When descriptors or memory ran out; then the client can be accepted later.
fn admit(id: u64) -> io::Result<Option<Transport>> {
    let names = Names::of(id);
    let Some(incoming) = open(&names.up, End::Reading)? else { return Ok(None) };
    let Some(outgoing) = open(&names.down, End::Writing)? else { return Ok(None) };
    let owner = fstat(&incoming)?;
    let signer = lock::signer(&incoming)?;
    let process = signer.map(Process::open).transpose()?.flatten();
    // Asked again: whoever has the signature now had it all the time, and so did his number.
    let (Some(process), true) = (process, lock::signer(&incoming)? == signer) else {
        // If the client has not died after all, it sees the end.
        outgoing.mark_ended();
        let _ = outgoing.send(&[]);
        incoming.mark_ended();
        names.remove();
        return Ok(None);
    };
    let mut peer = Peer::default();
    peer.pid = Some(process.id());
    peer.uid = Some(owner.st_uid);
    peer.gid = Some(owner.st_gid);
    peer.known_by = "the queue's owner and F_OFD_GETLK";
    let parts = match Parts::new(incoming, outgoing, process) {
        Ok(parts) => parts,
        Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
            names.remove();
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Now both sides have them open.
    names.remove();
    let (reader, writer) = parts.accept();
    Ok(Some(Transport { reader, writer, peer }))
}

/// `None` if there is no such queue, or it is not one of the own user.
fn open(name: &str, end: End) -> io::Result<Option<Queue>> {
    match Queue::open(name, end) {
        Ok(queue) => Ok(Some(queue)),
        Err(Errno::ENOENT | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn descriptors(rendezvous: &Queue) -> io::Result<(EventFd, Epoll)> {
    let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let sleep = sleep_on(&[
        (rendezvous.as_fd(), EpollFlags::EPOLLIN),
        (bell.as_fd(), EpollFlags::EPOLLIN),
    ])?;
    Ok((bell, sleep))
}
