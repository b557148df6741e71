//! A server's clients: those that are accepted, those that wait for it, and the one thread that listens to all
//! of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipcall_core::transport::{Peer, Transport};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::helper::{Ear, Helper};
use super::link::{Door, Link, Side, halves};
use super::lobby::{Reason, SLOTS, Stage};
use super::objects::{self, Objects, SERVER, has_died, is_own};
use super::segment_size;
use crate::process::Process;
use crate::sys::{Mapping, Segment, SegmentStatus, ThisProcess};

/// A server's objects and their thread, as long as the listener or a connection needs them. Dropping it removes
/// them.
pub(super) struct Running {
    hub: Arc<Hub>,
    helper: Option<Helper>,
    process: ThisProcess,
}

/// What the thread knows.
struct Hub {
    objects: Objects,
    /// Bytes of a ring.
    capacity: usize,
    /// Readable while a client may wait to be accepted.
    arrivals: EventFd,
    /// Who is in which slot. What stands in the lobby is only what they say.
    occupants: Mutex<Vec<Option<Occupant>>>,
    broken: AtomicBool,
}

/// An accepted client.
struct Occupant {
    client: Arc<Process>,
    /// As long as somebody has the connection on this side.
    link: Option<Arc<Link>>,
}

/// What became of a client that wanted to come in.
enum Admitted {
    Yes(Box<Transport>),
    /// It has died meanwhile.
    Dead,
    Refused(Reason, String),
}

/// A server's end of a connection.
struct End {
    running: Arc<Running>,
    slot: usize,
    process: ThisProcess,
}

impl Running {
    /// Opens the lobby, and listens.
    ///
    /// # Errors
    /// When there is no descriptor or no thread; then the objects are removed.
    pub(super) fn start(objects: Objects, start: u64, capacity: usize) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let made = ThisProcess::current()
            .and_then(|process| Ok((process, EventFd::from_flags(flags)?)))
            .inspect_err(|_| objects.remove());
        let (process, arrivals) = made?;
        let hub = Hub {
            objects,
            capacity,
            arrivals,
            occupants: Mutex::new((0..SLOTS).map(|_| None).collect()),
            broken: AtomicBool::new(false),
        };
        // From here on whatever goes wrong removes the objects.
        let mut this = Self { hub: Arc::new(hub), helper: None, process };
        let semaphores = this.hub.objects.semaphores;
        this.helper = Some(Helper::start(semaphores, SERVER, Arc::clone(&this.hub))?);
        this.hub.objects.lobby.open(start, capacity);
        Ok(this)
    }

    /// The next client that waits to be accepted.
    pub(super) fn accept(this: &Arc<Self>) -> io::Result<Transport> {
        this.process.check()?;
        let hub = &this.hub;
        // Before looking, so that who comes meanwhile is not forgotten.
        let _ = hub.arrivals.read();
        if hub.broken.load(Ordering::Acquire) {
            hub.announce();
            return Err(Errno::EIDRM.into());
        }
        let mut occupants = hub.occupants();
        let mut accepted = Err(io::ErrorKind::WouldBlock.into());
        for slot in 0..SLOTS {
            let Some(pid) = hub.waiting(&occupants, slot) else { continue };
            accepted = match this.admit(&mut occupants, slot, pid) {
                Ok(Admitted::Yes(transport)) => Ok(*transport),
                Ok(Admitted::Dead) => {
                    hub.discard(slot, pid);
                    continue;
                }
                Ok(Admitted::Refused(reason, text)) => {
                    hub.refuse(slot, pid, reason);
                    Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
                }
                Err(error) => Err(error),
            };
            break;
        }
        hub.announce_waiting(&occupants);
        accepted
    }

    /// Attaches the segment of the client in `slot`.
    ///
    /// # Errors
    /// When there are no descriptors; then the client goes on waiting.
    fn admit(
        self: &Arc<Self>,
        occupants: &mut [Option<Occupant>],
        slot: usize,
        pid: u32,
    ) -> io::Result<Admitted> {
        let hub = &self.hub;
        let client = match Process::open(pid) {
            Ok(Some(client)) if !client.has_ended() => Arc::new(client),
            Ok(_) => return Ok(Admitted::Dead),
            Err(error) => return refusal(pid, error),
        };
        let (segment, mapping, status) = match hub.attach(slot, pid) {
            Ok(attached) => attached,
            Err(error) => return refusal(pid, error),
        };
        // Whoever has died since, and whose number somebody else has been given, has it attached no more.
        if status.attached < 2 && !hub.objects.lobby.slot(slot).has_left() {
            return Ok(Admitted::Dead);
        }
        let link = Arc::new(Link::new(Arc::clone(&client), &mapping, Side::Server)?);
        let index = objects::client(slot);
        let door = Door { semaphores: hub.objects.semaphores, index, slot: None };
        // Both sides have it: from now on it goes with them.
        let _ = segment.remove();
        hub.objects.lobby.slot(slot).advance(pid, Stage::Ready, Stage::Taken);
        occupants[slot] = Some(Occupant { client, link: Some(Arc::clone(&link)) });
        let end = Arc::new(End { running: Arc::clone(self), slot, process: self.process });
        let (reader, writer) = halves(&link, &mapping, hub.capacity, &door, self.process, end);
        let mut peer = Peer::default();
        peer.pid = Some(link.peer().id());
        peer.uid = Some(status.creator);
        peer.gid = Some(status.creator_group);
        peer.known_by = "shmctl";
        Ok(Admitted::Yes(Box::new(Transport { reader, writer, peer })))
    }

    /// Lets nobody in any more, and refuses those that wait.
    pub(super) fn close(&self) {
        if !self.process.is_current() {
            return;
        }
        let hub = &self.hub;
        hub.objects.lobby.close();
        let mut occupants = hub.occupants();
        for slot in 0..SLOTS {
            // Nobody looks for those that have died any more.
            hub.settle(&mut occupants, slot);
            if let Some(pid) = hub.waiting(&occupants, slot) {
                hub.refuse(slot, pid, Reason::Closed);
            }
        }
        // Nobody looks for it any more. Who has it attached still has it.
        let _ = hub.objects.segment.remove();
    }

    #[cfg(test)]
    pub(super) fn objects(&self) -> &Objects {
        &self.hub.objects
    }

    /// Nobody has the connection any more on this side.
    fn disown(&self, slot: usize) {
        let mut occupants = self.hub.occupants();
        let link = occupants[slot].as_mut().and_then(|occupant| occupant.link.take());
        self.hub.settle(&mut occupants, slot);
        drop(occupants);
        drop(link);
    }
}

impl Hub {
    fn occupants(&self) -> MutexGuard<'_, Vec<Option<Occupant>>> {
        self.occupants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the listener's descriptor readable.
    fn announce(&self) {
        // At its maximum it is readable anyway.
        let _ = self.arrivals.write(1);
    }

    /// The same if a client waits to be accepted.
    fn announce_waiting(&self, occupants: &[Option<Occupant>]) {
        if (0..SLOTS).any(|slot| self.waiting(occupants, slot).is_some()) {
            self.announce();
        }
    }

    /// The pid of the client that waits in `slot` to be accepted, if there is one.
    fn waiting(&self, occupants: &[Option<Occupant>], slot: usize) -> Option<u32> {
        match self.objects.lobby.slot(slot).state() {
            Some((Stage::Ready, pid)) if occupants[slot].is_none() => Some(pid),
            _ => None,
        }
    }

    /// The segment of the client in `slot`, process `pid`, if it is what it should be.
    fn attach(&self, slot: usize, pid: u32) -> io::Result<(Segment, Arc<Mapping>, SegmentStatus)> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let slot = self.objects.lobby.slot(slot);
        let segment = slot.id().map(Segment::from_id).ok_or_else(|| wrong("it has no number"))?;
        let check = |status: &SegmentStatus| {
            if !is_own(status) {
                return Err(wrong("it belongs to another user, or is open to others"));
            }
            if status.maker != pid || Some(status.key) != slot.key() {
                return Err(wrong("another process has made it"));
            }
            Ok(())
        };
        check(&segment.status()?)?;
        let mapping = Mapping::of_segment(segment, segment_size(self.capacity))?;
        Ok((segment, Arc::new(mapping), segment.status()?))
    }

    /// Gives up a client that has died before it was accepted.
    fn discard(&self, slot: usize, pid: u32) {
        objects::remove_client_segment(&self.objects.lobby, slot, pid);
        self.free(slot);
    }

    fn refuse(&self, slot: usize, pid: u32, reason: Reason) {
        objects::remove_client_segment(&self.objects.lobby, slot, pid);
        self.objects.lobby.slot(slot).refuse(pid, reason);
        // If nobody is there to be told, the slot is free when that is noticed.
        let _ = self.objects.semaphores.raise(objects::client(slot));
    }

    /// Gives the slot to the next client.
    fn free(&self, slot: usize) {
        let _ = self.objects.semaphores.set(objects::client(slot), 0);
        self.objects.lobby.slot(slot).free();
    }

    /// Frees the slot if neither side needs it any more.
    fn settle(&self, occupants: &mut [Option<Occupant>], slot: usize) {
        let left = self.objects.lobby.slot(slot).has_left();
        match &occupants[slot] {
            Some(Occupant { link: Some(_), .. }) => {}
            Some(Occupant { client, link: None }) => {
                if left || client.has_ended() {
                    occupants[slot] = None;
                    self.free(slot);
                }
            }
            None => match self.objects.lobby.slot(slot).state() {
                Some((Stage::Free, _)) => {}
                Some((Stage::Claimed | Stage::Ready, pid)) => {
                    if has_died(pid) {
                        self.discard(slot, pid);
                    }
                }
                Some((Stage::Refused, pid)) => {
                    if left || has_died(pid) {
                        self.free(slot);
                    }
                }
                // Nobody who keeps to the rules says so.
                Some((Stage::Taken, _)) | None => self.free(slot),
            },
        }
    }
}

/// What becomes of a client, process `pid`, that cannot be let in because of `error`.
///
/// # Errors
/// When that passes, and the client can go on waiting.
fn refusal(pid: u32, error: io::Error) -> io::Result<Admitted> {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => Err(error),
        Some(Errno::ENOMEM) => {
            let text = format!("no memory is left to attach the segment of process {pid}");
            Ok(Admitted::Refused(Reason::Memory, text))
        }
        _ => {
            let text = format!("the segment of a client, process {pid}, is wrong: {error}");
            Ok(Admitted::Refused(Reason::Nonsense, text))
        }
    }
}

impl Ear for Hub {
    fn hear(&self) {
        let mut occupants = self.occupants();
        let mut others = self.objects.lobby.take_request();
        for slot in self.objects.lobby.take_rung() {
            match &occupants[slot] {
                Some(Occupant { link: Some(link), .. }) => link.listen(),
                _ => others = true,
            }
        }
        // Somebody comes or goes: a moment to look whether others have gone without a word.
        if others {
            (0..SLOTS).for_each(|slot| self.settle(&mut occupants, slot));
            self.announce_waiting(&occupants);
        }
    }

    fn lose(&self, _error: &io::Error) {
        self.broken.store(true, Ordering::Release);
        let occupants = self.occupants();
        let links = occupants.iter().flatten().filter_map(|occupant| occupant.link.as_ref());
        links.for_each(|link| link.lose());
        self.announce();
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hub.arrivals.as_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.helper.take());
        // In a forked child they are not this process's to remove.
        if self.process.is_current() {
            self.hub.objects.remove();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.running.disown(self.slot);
        }
    }
}
