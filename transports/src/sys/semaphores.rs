//! System V semaphores: `semget(2)`, `semop(2)`, `semtimedop(2)`, `semctl(2)`.
//!
//! A set is named by a number that the kernel gives to another one only after a long time, as with
//! segments. A removed set is `EIDRM` or `EINVAL` to whoever uses it, asleep in it or not.
#![allow(unsafe_code, reason = "no dependency offers these calls")]

use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use nix::libc;

/// A set of semaphores, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Semaphores(libc::c_int);

/// What is known of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetStatus {
    pub(crate) owner: u32,
    pub(crate) creator: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// How many there are in it.
    pub(crate) count: usize,
}

/// The last argument of `semctl(2)`.
#[repr(C)]
#[derive(Clone, Copy)]
union Argument {
    value: libc::c_int,
    status: *mut libc::semid_ds,
}

unsafe extern "C" {
    /// Not in `libc`; both glibc and musl have it.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

impl Semaphores {
    /// Makes `count` semaphores, all 0, that only the own user may use, known by `key`.
    ///
    /// # Errors
    /// `EEXIST` when there is a set with this key; `ENOSPC` and `EINVAL` beyond the limits in `kernel.sem`;
    /// the others of `semget(2)`.
    pub(crate) fn create(key: i32, count: usize) -> io::Result<Self> {
        Self::get(key, count, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)
    }

    /// The set known by `key`, whoever has made it.
    ///
    /// # Errors
    /// `ENOENT` when there is none; the others of `semget(2)`.
    pub(crate) fn find(key: i32) -> io::Result<Self> {
        Self::get(key, 0, 0)
    }

    /// The set with this number, if there is one.
    pub(crate) fn from_id(id: i32) -> Self {
        Self(id)
    }

    fn get(key: i32, count: usize, flags: libc::c_int) -> io::Result<Self> {
        let count = libc::c_int::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the call takes numbers and touches no memory of ours.
        let id = unsafe { libc::semget(key, count, flags) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(id)) }
    }

    /// Adds one to a semaphore. One that is at its maximum (32,767) stays there.
    ///
    /// # Errors
    /// `EIDRM` and `EINVAL` when the set is gone; the others of `semop(2)`.
    pub(crate) fn raise(self, index: u16) -> io::Result<()> {
        match self.operate(index, 1, libc::IPC_NOWAIT, None) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => Ok(()),
            result => result,
        }
    }

    /// Takes one from a semaphore, once it is not 0.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn take(self, index: u16) -> io::Result<()> {
        self.operate(index, -1, 0, None)
    }

    /// The same for at most so long, and such that the kernel gives it back when this process ends; `false` when
    /// the time is over.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn lock(self, index: u16, patience: Duration) -> io::Result<bool> {
        match self.operate(index, -1, libc::SEM_UNDO, Some(patience)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives back what [`lock`](Self::lock) took.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn unlock(self, index: u16) -> io::Result<()> {
        self.operate(index, 1, libc::SEM_UNDO | libc::IPC_NOWAIT, None)
    }

    fn operate(
        self,
        index: u16,
        change: i16,
        flags: libc::c_int,
        patience: Option<Duration>,
    ) -> io::Result<()> {
        let flags = i16::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut operation = libc::sembuf { sem_num: index, sem_op: change, sem_flg: flags };
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = until.map(|until| {
                let left = until.saturating_duration_since(Instant::now());
                libc::timespec {
                    tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                    tv_nsec: left.subsec_nanos().into(),
                }
            });
            let timeout = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: one operation is passed, and a time or none, which all live until it returns.
            let done = unsafe { semtimedop(self.0, &raw mut operation, 1, timeout) };
            if done == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
    }

    /// Sets a semaphore to `value`.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn set(self, index: u16, value: i32) -> io::Result<()> {
        self.control(index, libc::SETVAL, Argument { value }).map(drop)
    }

    /// The value of a semaphore.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    #[cfg(test)]
    pub(crate) fn value(self, index: u16) -> io::Result<i32> {
        self.control(index, libc::GETVAL, Argument { value: 0 })
    }

    /// The process that has last changed a semaphore, whether or not that still lives; 0 for none, or one of
    /// another pid namespace.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn process(self, index: u16) -> io::Result<u32> {
        let id = self.control(index, libc::GETPID, Argument { value: 0 })?;
        Ok(u32::try_from(id).unwrap_or(0))
    }

    /// What is known of it.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub(crate) fn status(self) -> io::Result<SetStatus> {
        let mut found = MaybeUninit::<libc::semid_ds>::zeroed();
        self.control(0, libc::IPC_STAT, Argument { status: found.as_mut_ptr() })?;
        // SAFETY: the structure consists of numbers only, for which zeroes are values, and the kernel
        // has filled it.
        let found = unsafe { found.assume_init() };
        Ok(SetStatus {
            owner: found.sem_perm.uid,
            creator: found.sem_perm.cuid,
            mode: u32::from(found.sem_perm.mode) & 0o777,
            count: usize::try_from(found.sem_nsems).unwrap_or(usize::MAX),
        })
    }

    /// Removes it, and ends every wait in it.
    ///
    /// # Errors
    /// Those of `semctl(2)`; `EIDRM` and `EINVAL` when it is gone already.
    pub(crate) fn remove(self) -> io::Result<()> {
        self.control(0, libc::IPC_RMID, Argument { value: 0 }).map(drop)
    }

    /// `argument` has to be what the command takes: a place for a status with `IPC_STAT`.
    fn control(self, index: u16, command: libc::c_int, argument: Argument) -> io::Result<i32> {
        // SAFETY: the commands used here take a number, nothing, or the place for a status that the one
        // caller who uses `IPC_STAT` has made.
        let result = unsafe { libc::semctl(self.0, index.into(), command, argument) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    /// A set of this test alone, and its end.
    struct Private(Semaphores);

    impl Private {
        fn new(count: usize) -> Self {
            Self(Semaphores::create(libc::IPC_PRIVATE, count).unwrap())
        }
    }

    impl Drop for Private {
        fn drop(&mut self) {
            let _ = self.0.remove();
        }
    }

    #[test]
    fn what_is_raised_is_taken() {
        let set = Private::new(3);
        let set = &set.0;
        set.raise(1).unwrap();
        set.raise(1).unwrap();
        set.take(1).unwrap();
        assert_eq!([0, 1, 2].map(|index| set.value(index).unwrap()), [0, 1, 0]);
        assert_eq!(set.process(1).unwrap(), std::process::id());
        assert_eq!(set.process(2).unwrap(), 0);
        let status = set.status().unwrap();
        assert_eq!((status.count, status.mode), (3, 0o600));
    }

    #[test]
    fn a_bell_that_nobody_hears_does_not_overflow() {
        let set = Private::new(1);
        set.0.set(0, 32_766).unwrap();
        for _ in 0..3 {
            set.0.raise(0).unwrap();
        }
        assert_eq!(set.0.value(0).unwrap(), 32_767);
    }

    #[test]
    fn a_lock_is_waited_for_for_a_while() {
        let set = Private::new(1);
        set.0.set(0, 1).unwrap();
        assert!(set.0.lock(0, Duration::from_secs(60)).unwrap());
        assert!(!set.0.lock(0, Duration::from_millis(5)).unwrap());
        set.0.unlock(0).unwrap();
        assert!(set.0.lock(0, Duration::ZERO).unwrap());
    }

    #[test]
    fn whoever_waits_learns_that_the_set_is_gone() {
        let set = Private::new(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| set.0.take(0).unwrap_err());
            set.0.remove().unwrap();
            // Asleep in it, or just about to be.
            let errno = waiting.join().unwrap().raw_os_error();
            assert!(matches!(errno, Some(libc::EIDRM | libc::EINVAL)), "{errno:?}");
        });
    }
}
