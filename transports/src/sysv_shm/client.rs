//! The client's side: finding the server, claiming a slot, and making the segment.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ipcall_core::transport::{Peer, Transport};
use ipcall_core::{ErrorKind, RpcError};
use nix::unistd::geteuid;

use super::helper::{Ear, Helper};
use super::limits::explain_segment;
use super::link::{Door, Link, Side, halves, is_gone};
use super::lobby::{Reason, SLOTS, Stage};
use super::objects::{self, LOCK, Objects, SERVER};
use super::{Address, LARGEST, TITLE, segment_size};
use crate::key_file::Record;
use crate::ring::SMALLEST;
use crate::sys::{Mapping, Segment, ThisProcess};

/// For how long the lobby's lock is waited for, which is held for a few instructions.
const PATIENCE: Duration = Duration::from_millis(100);

/// Connects: claims a slot, and makes the segment. The halves can write at once.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    let (record, server) = address.file.find(TITLE)?;
    let objects = find(address, &record)?;
    let capacity = objects.lobby.capacity();
    if !capacity.is_power_of_two() || !(SMALLEST..=LARGEST).contains(&capacity) {
        let reason = format!("the server offers a ring of {capacity} bytes");
        return Err(RpcError::not_executed(ErrorKind::ProtocolViolation { reason }));
    }
    let seat = Seat::claim(objects, address)?;
    let size = segment_size(capacity);
    let (segment, mapping) = seat.make_segment(size).map_err(|error| {
        let doing = "making a shared memory segment";
        RpcError::io(doing, explain_segment(error, size))
    })?;
    let guard = Unpublished { segment: Some(segment) };
    let making = |error| RpcError::io("making an end of a connection", error);
    let pidfd = server.pidfd();
    let link = Link::new(Arc::new(server), &mapping, Side::Client).map_err(making)?;
    let end = End::start(seat, segment, Arc::new(link)).map_err(making)?;
    let (door, end) = (end.seat.door(), Arc::new(end));
    let (reader, writer) =
        halves(&end.link, &mapping, capacity, &door, end.seat.process, Arc::clone(&end) as _);
    if !end.seat.publish(segment) {
        return Err(ended(address));
    }
    guard.keep();
    let mut peer = Peer::default();
    peer.pid = Some(record.pid);
    peer.uid = Some(geteuid().as_raw());
    peer.known_by = "key file";
    peer.pidfd = pidfd;
    Ok(Transport { reader, writer, peer })
}

/// The objects of the server that lives at `address`.
fn find(address: &Address, record: &Record) -> Result<Objects, RpcError> {
    let path = address.file.path.display();
    let found = Objects::find(record.key, record.pid).map_err(|error| {
        RpcError::io(format!("finding the lobby of the key file {path}"), error)
    })?;
    found
        .filter(|objects| objects.lobby.is_open(record.start))
        .ok_or_else(|| absent(format!("the server of the key file {path} has no open lobby now")))
}

fn absent(detail: String) -> RpcError {
    RpcError::not_executed(ErrorKind::ServerAbsent { detail })
}

fn ended(address: &Address) -> RpcError {
    absent(format!("the server of the key file {} has just ended", address.file.path.display()))
}

/// A slot that this process has claimed. Dropping it gives it up.
struct Seat {
    objects: Objects,
    slot: usize,
    pid: u32,
    process: ThisProcess,
}

impl Seat {
    fn claim(objects: Objects, address: &Address) -> Result<Self, RpcError> {
        let path = address.file.path.display();
        let failed = |error: io::Error| {
            if is_gone(&error) {
                ended(address)
            } else {
                RpcError::io(format!("locking the lobby of the key file {path}"), error)
            }
        };
        let pid = std::process::id();
        let process = ThisProcess::current().map_err(failed)?;
        if !objects.semaphores.lock(LOCK, PATIENCE).map_err(failed)? {
            let holder = objects.semaphores.process(LOCK).map_err(failed)?;
            return Err(absent(format!(
                "process {holder} has held the lock of the lobby of the key file {path} for {PATIENCE:?}: \
                 it must have been stopped while it was connecting; let it go on, or end it"
            )));
        }
        let claim =
            |slot: &usize| objects.lobby.slot(*slot).advance(pid, Stage::Free, Stage::Claimed);
        let claimed = (0..SLOTS).find(claim);
        // If it is gone, so is the lock.
        let _ = objects.semaphores.unlock(LOCK);
        let Some(slot) = claimed else {
            // Some may be those of clients that have died: the server looks.
            objects.lobby.request();
            let _ = objects.semaphores.raise(SERVER);
            return Err(RpcError::not_executed(ErrorKind::Overloaded {
                what: format!("clients of the server of the key file {path}"),
                limit: SLOTS as u64,
            }));
        };
        Ok(Self { objects, slot, pid, process })
    }

    /// Makes the segment of the connection, of `size` bytes.
    fn make_segment(&self, size: usize) -> io::Result<(Segment, Arc<Mapping>)> {
        let slot = self.objects.lobby.slot(self.slot);
        let segment = objects::with_free_key(|key| {
            slot.set_key(key);
            Segment::create(key, size)
        })?;
        match Mapping::of_segment(segment, size) {
            Ok(mapping) => Ok((segment, Arc::new(mapping))),
            Err(error) => {
                let _ = segment.remove();
                Err(error)
            }
        }
    }

    /// Shows the segment to the server; `false` if that has just stopped listening.
    fn publish(&self, segment: Segment) -> bool {
        let slot = self.objects.lobby.slot(self.slot);
        slot.set_id(segment.id());
        let shown = slot.advance(self.pid, Stage::Claimed, Stage::Ready);
        // Afterwards: whoever closes it looks then who is there.
        if !shown || self.objects.lobby.is_closed() {
            return false;
        }
        self.door().knock();
        true
    }

    fn door(&self) -> Door {
        let slot = Some((self.objects.lobby.clone(), self.slot));
        Door { semaphores: self.objects.semaphores, index: SERVER, slot }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        let slot = self.objects.lobby.slot(self.slot);
        if !slot.advance(self.pid, Stage::Claimed, Stage::Free) {
            slot.leave();
            self.door().knock();
        }
    }
}

/// A segment that the server cannot have seen. Dropping it removes it.
struct Unpublished {
    segment: Option<Segment>,
}

impl Unpublished {
    fn keep(mut self) {
        self.segment = None;
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(segment) = self.segment {
            let _ = segment.remove();
        }
    }
}

/// A client's end of a connection.
struct End {
    // Before the slot is given up, where the next client has a helper of its own.
    helper: Option<Helper>,
    seat: Seat,
    segment: Segment,
    link: Arc<Link>,
}

impl End {
    fn start(seat: Seat, segment: Segment, link: Arc<Link>) -> io::Result<Self> {
        let ear =
            Hearing { link: Arc::clone(&link), objects: seat.objects.clone(), slot: seat.slot };
        let index = objects::client(seat.slot);
        let helper = Helper::start(seat.objects.semaphores, index, Arc::new(ear))?;
        Ok(Self { helper: Some(helper), seat, segment, link })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        drop(self.helper.take());
        let slot = self.seat.objects.lobby.slot(self.seat.slot);
        let taken = matches!(slot.state(), Some((Stage::Taken, _)));
        if self.seat.process.is_current() && !taken && self.link.peer().has_ended() {
            // Nobody else does it any more.
            let _ = self.segment.remove();
        }
    }
}

/// What the helper of a client's end knows.
struct Hearing {
    link: Arc<Link>,
    objects: Objects,
    slot: usize,
}

impl Ear for Hearing {
    fn hear(&self) {
        self.link.listen();
        let slot = self.objects.lobby.slot(self.slot);
        if matches!(slot.state(), Some((Stage::Refused, _))) {
            let (kind, text) = refused(slot.reason());
            self.link.fail(kind, text);
        }
    }

    fn lose(&self, _error: &io::Error) {
        self.link.lose();
    }
}

fn refused(reason: Reason) -> (io::ErrorKind, &'static str) {
    match reason {
        Reason::Closed => (io::ErrorKind::ConnectionReset, "the server has just stopped listening"),
        Reason::Nonsense => (
            io::ErrorKind::ConnectionRefused,
            "the server does not take the segment of this client for what it should be",
        ),
        Reason::Memory => {
            (io::ErrorKind::ConnectionRefused, "the server has no memory left to attach a segment")
        }
    }
}
