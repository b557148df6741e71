//! System V shared memory segments: `shmget(2)`, `shmctl(2)`. Attaching one is [`Mapping`](super::Mapping)'s.
//!
//! A segment is named by a number that the kernel gives to another one only after a long time: part of it
//! counts how often the place was used. Once marked for removal, a segment stays for those that have it
//! attached, and goes with the last of them.
#![allow(unsafe_code, reason = "no dependency offers these calls")]

use std::io;
use std::mem::MaybeUninit;

use nix::libc;

/// A segment, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment(libc::c_int);

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentStatus {
    /// 0 once it is marked for removal.
    pub(crate) key: i32,
    pub(crate) owner: u32,
    pub(crate) creator: u32,
    pub(crate) creator_group: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// Bytes.
    pub(crate) size: usize,
    /// The process that has made it, whether or not that still lives; 0 for one of another pid namespace.
    pub(crate) maker: u32,
    /// How often it is attached.
    pub(crate) attached: u64,
}

impl Segment {
    /// The segment with this number, if there is one.
    pub(crate) fn from_id(id: i32) -> Self {
        Self(id)
    }

    pub(crate) fn id(self) -> i32 {
        self.0
    }

    /// Makes a segment of `size` bytes, all zero, that only the own user may use, known by `key`.
    ///
    /// # Errors
    /// `EEXIST` when there is one with this key; `ENOSPC` beyond `kernel.shmmni` segments, `EINVAL` beyond
    /// `kernel.shmmax` bytes, `ENOMEM` without memory; the others of `shmget(2)`.
    pub(crate) fn create(key: i32, size: usize) -> io::Result<Self> {
        Self::get(key, size, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)
    }

    /// The same with other permissions.
    #[cfg(test)]
    pub(crate) fn create_with_mode(key: i32, size: usize, mode: i32) -> io::Result<Self> {
        Self::get(key, size, libc::IPC_CREAT | libc::IPC_EXCL | mode)
    }

    /// The segment known by `key`, whoever has made it.
    ///
    /// # Errors
    /// `ENOENT` when there is none; the others of `shmget(2)`.
    pub(crate) fn find(key: i32) -> io::Result<Self> {
        Self::get(key, 0, 0)
    }

    fn get(key: i32, size: usize, flags: libc::c_int) -> io::Result<Self> {
        // SAFETY: the call takes numbers and touches no memory of ours.
        let id = unsafe { libc::shmget(key, size, flags) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(id)) }
    }

    /// What is known of it.
    ///
    /// # Errors
    /// Those of `shmctl(2)`; `EIDRM` and `EINVAL` when it is gone.
    pub(crate) fn status(self) -> io::Result<SegmentStatus> {
        let mut found = MaybeUninit::<libc::shmid_ds>::zeroed();
        // SAFETY: `found` has room for a `shmid_ds`, and is ours alone.
        let result = unsafe { libc::shmctl(self.0, libc::IPC_STAT, found.as_mut_ptr()) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the structure consists of numbers only, for which zeroes are values, and the kernel
        // has filled it.
        let found = unsafe { found.assume_init() };
        Ok(SegmentStatus {
            key: found.shm_perm.__key,
            owner: found.shm_perm.uid,
            creator: found.shm_perm.cuid,
            creator_group: found.shm_perm.cgid,
            mode: u32::from(found.shm_perm.mode) & 0o777,
            size: found.shm_segsz,
            maker: u32::try_from(found.shm_cpid).unwrap_or(0),
            attached: found.shm_nattch,
        })
    }

    /// Marks it for removal.
    ///
    /// # Errors
    /// Those of `shmctl(2)`; `EIDRM` and `EINVAL` when it is gone already.
    pub(crate) fn remove(self) -> io::Result<()> {
        // SAFETY: this command takes no buffer.
        let removed = unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        if removed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Whether this kernel has System V shared memory and semaphores, and lets this process use them.
pub(crate) fn has_system_v() -> bool {
    let is_offered =
        |asked: io::Error| !matches!(asked.raw_os_error(), Some(libc::ENOSYS | libc::EPERM));
    let unlikely = libc::IPC_PRIVATE + 1;
    Segment::find(unlikely).err().is_none_or(is_offered)
        && super::Semaphores::find(unlikely).err().is_none_or(is_offered)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sys::{Mapping, Words};

    #[test]
    fn a_segment_stays_for_those_who_have_it_attached() {
        let segment = Segment::create(libc::IPC_PRIVATE, 4096).unwrap();
        let [one, other] = [(), ()].map(|()| Arc::new(Mapping::of_segment(segment, 4096).unwrap()));
        let status = segment.status().unwrap();
        assert_eq!((status.size, status.mode, status.attached), (4096, 0o600, 2));
        assert_eq!(status.maker, std::process::id());
        segment.remove().unwrap();
        Words::of(&one).store(7, 77);
        drop(one);
        assert_eq!(Words::of(&other).load(7), 77);
        assert_eq!(segment.status().unwrap().attached, 1);
        drop(other);
        assert!(segment.status().is_err());
    }

    #[test]
    fn a_segment_of_another_size_is_not_used() {
        let segment = Segment::create(libc::IPC_PRIVATE, 4096).unwrap();
        for length in [4095, 4097, 1 << 20] {
            let error = Mapping::of_segment(segment, length).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(segment.status().unwrap().attached, 0);
        segment.remove().unwrap();
        assert!(Mapping::of_segment(segment, 4096).is_err());
    }

    #[test]
    fn it_is_there() {
        assert!(has_system_v());
    }
}
