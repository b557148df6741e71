//! The System V objects: made, found again, checked, and removed when their makers have died.
//!
//! Each is known by a key until it is marked for removal, and whoever makes one writes the key down before:
//! a server in the key file, a client in its slot. So whatever a killed process was doing, the next server finds
//! what it left. Keys: 12 bits say that it is ours, the rest is random. Beside that, an object of ours shows by its
//! owner and creator, its mode 0600, and its size.
//!
//! Whose it is stands in the kernel's own records: which process has made a segment, and which one has last
//! set the semaphore that nobody but the server sets, once.

use std::fs;
use std::io;
use std::sync::Arc;

use nix::unistd::geteuid;

use super::link::is_gone;
use super::lobby::{self, Lobby, SLOTS, Stage};
use super::random;
use crate::process::Process;
use crate::sys::{Mapping, Segment, SegmentStatus, Semaphores, Words};

/// The lobby's lock: 1 while nobody holds it.
pub(super) const LOCK: u16 = 0;
/// Set by the server when it has made the set, and by nobody else.
const OWNER: u16 = 1;
/// Rung for the server.
pub(super) const SERVER: u16 = 2;
const FIRST_CLIENT: u16 = 3;

/// Semaphores of a server's set.
pub(super) const SEMAPHORES: usize = FIRST_CLIENT as usize + SLOTS;

const OURS: i32 = 0x1bd;
const OURS_SHIFT: u32 = 20;

/// Keys that are tried before it is given up to find one that is free.
const ATTEMPTS: usize = 100;

/// The semaphore that is rung for the client in this slot.
pub(super) fn client(slot: usize) -> u16 {
    FIRST_CLIENT + u16::try_from(slot).expect("there are not so many slots")
}

/// Makes something with a key that nobody has, which `make` writes down before.
///
/// # Errors
/// Those of `make`, but `AlreadyExists` only after many keys.
pub(super) fn with_free_key<T>(mut make: impl FnMut(i32) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for _ in 0..ATTEMPTS {
        let number = i32::try_from(random() >> (64 - OURS_SHIFT)).expect("it is less than 2^20");
        match make(OURS << OURS_SHIFT | number) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            result => return result,
        }
    }
    Err(last)
}

/// Whether it is one of the own user alone.
pub(super) fn is_own(status: &SegmentStatus) -> bool {
    let own = geteuid().as_raw();
    (status.owner, status.creator, status.mode) == (own, own, 0o600)
}

fn is_own_set(semaphores: Semaphores) -> bool {
    let own = geteuid().as_raw();
    semaphores.status().is_ok_and(|status| {
        (status.owner, status.creator, status.mode) == (own, own, 0o600)
            && status.count == SEMAPHORES
    })
}

/// The lobby and the semaphores of a server.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) segment: Segment,
    pub(super) lobby: Lobby,
    pub(super) semaphores: Semaphores,
}

impl Objects {
    /// Makes them, known by `key`. The lobby is not open yet.
    ///
    /// # Errors
    /// `AlreadyExists` when the key is taken; those of `shmget(2)` and `semget(2)`.
    pub(super) fn create(key: i32) -> io::Result<Self> {
        let segment = Segment::create(key, lobby::SIZE)?;
        let made = Self::furnish(segment, key);
        if made.is_err() {
            let _ = segment.remove();
        }
        made
    }

    fn furnish(segment: Segment, key: i32) -> io::Result<Self> {
        let mapping = Arc::new(Mapping::of_segment(segment, lobby::SIZE)?);
        let semaphores = Semaphores::create(key, SEMAPHORES)?;
        let set = semaphores.set(OWNER, 1).and_then(|()| semaphores.set(LOCK, 1));
        if let Err(error) = set {
            let _ = semaphores.remove();
            return Err(error);
        }
        Ok(Self { segment, lobby: Lobby::new(Words::of(&mapping)), semaphores })
    }

    /// Removes them, as far as they are there.
    pub(super) fn remove(&self) {
        let _ = self.semaphores.remove();
        let _ = self.segment.remove();
    }

    /// Finds those that the process `maker` has made; `None` if they are not there, not ours, or not ready.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn find(key: i32, maker: u32) -> io::Result<Option<Self>> {
        match Self::look_for(key, maker) {
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::InvalidData => Ok(None),
            // Of somebody else who has the same key.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            result => result,
        }
    }

    fn look_for(key: i32, maker: u32) -> io::Result<Option<Self>> {
        let segment = Segment::find(key)?;
        let status = segment.status()?;
        if !is_own(&status) || status.maker != maker {
            return Ok(None);
        }
        let mapping = Arc::new(Mapping::of_segment(segment, lobby::SIZE)?);
        let semaphores = Semaphores::find(key)?;
        if !is_own_set(semaphores) || semaphores.process(OWNER)? != maker {
            return Ok(None);
        }
        Ok(Some(Self { segment, lobby: Lobby::new(Words::of(&mapping)), semaphores }))
    }
}

/// Removes what the server `maker` has left, which has died, and whose key file named `key`; and what those of
/// its clients have left that have died as well.
pub(super) fn remove_leftovers(key: i32, maker: u32) {
    if key >> OURS_SHIFT != OURS {
        return;
    }
    if let Ok(segment) = Segment::find(key)
        && segment.status().is_ok_and(|status| is_own(&status) && status.maker == maker)
    {
        if let Ok(mapping) = Mapping::of_segment(segment, lobby::SIZE) {
            let lobby = Lobby::new(Words::of(&Arc::new(mapping)));
            (0..SLOTS).for_each(|slot| remove_of_dead(&lobby, slot));
        }
        let _ = segment.remove();
    }
    if let Ok(semaphores) = Semaphores::find(key)
        && is_own_set(semaphores)
        // It may have been killed before it has set anything.
        && semaphores.process(OWNER).is_ok_and(|process| process == maker || process == 0)
    {
        let _ = semaphores.remove();
    }
}

/// Removes the segment of the client in this slot, if that has died.
fn remove_of_dead(lobby: &Lobby, slot: usize) {
    if let Some((Stage::Claimed | Stage::Ready, pid)) = lobby.slot(slot).state()
        && has_died(pid)
    {
        remove_client_segment(lobby, slot, pid);
    }
}

/// Removes the segment that the client in this slot has made, process `pid`.
pub(super) fn remove_client_segment(lobby: &Lobby, slot: usize, pid: u32) {
    let key = lobby.slot(slot).key().filter(|key| key >> OURS_SHIFT == OURS);
    if let Some(segment) = key.and_then(|key| Segment::find(key).ok())
        && segment.status().is_ok_and(|status| is_own(&status) && status.maker == pid)
    {
        let _ = segment.remove();
    }
}

/// Removes what processes of this user have left that were killed without a key file that says so. Whoever has a
/// segment attached still has it afterwards.
pub(super) fn sweep() {
    // A kernel that does not list them leaves them where they are.
    for id in listed("/proc/sysvipc/shm") {
        let segment = Segment::from_id(id);
        if segment.status().is_ok_and(|status| is_own(&status) && has_died(status.maker)) {
            let _ = segment.remove();
        }
    }
    for id in listed("/proc/sysvipc/sem") {
        let semaphores = Semaphores::from_id(id);
        // Whoever has just made it and not yet set anything may live.
        if is_own_set(semaphores) && semaphores.process(OWNER).is_ok_and(has_died) {
            let _ = semaphores.remove();
        }
    }
}

/// The numbers of the objects in such a list that have keys of ours.
fn listed(path: &str) -> Vec<i32> {
    let list = fs::read_to_string(path).unwrap_or_default();
    let ours = list.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<i32>);
        let (key, id) = (fields.next()?.ok()?, fields.next()?.ok()?);
        (key >> OURS_SHIFT == OURS).then_some(id)
    });
    ours.collect()
}

/// Whether there is no such process any more. Where the kernel does not say which it was, it may live.
pub(super) fn has_died(pid: u32) -> bool {
    pid != 0
        && match Process::open(pid) {
            Ok(Some(process)) => process.has_ended(),
            Ok(None) => true,
            Err(_) => false,
        }
}
