//! A descriptor to sleep on, for mechanisms that have none: rung by another thread of this process, and
//! readable by itself once the peer's process has ended.
//!
//! It is an epoll descriptor that holds the peer's pidfd and an eventfd. That eventfd is readable all
//! the time and shared by all bells of the process: a bell is rung by saying to its epoll descriptor that it
//! is to look at it. So a bell costs one descriptor, and is silenced without reading anything.
//!
//! System calls: `epoll_create1(2)`, `epoll_ctl(2)`, `eventfd(2)`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// What all bells look at when they ring.
static SOURCE: Mutex<Weak<EventFd>> = Mutex::new(Weak::new());

/// A descriptor that becomes readable when it is rung, or when a process ends.
#[derive(Debug)]
pub(crate) struct Bell {
    epoll: Epoll,
    source: Arc<EventFd>,
}

impl Bell {
    /// A silent bell, which the end of `process` rings, too.
    pub(crate) fn new(process: impl AsFd) -> io::Result<Self> {
        let source = source()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*source, EpollEvent::new(EpollFlags::empty(), 0))?;
        epoll.add(process, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { epoll, source })
    }

    /// Makes it readable.
    pub(crate) fn ring(&self) {
        self.look_for(EpollFlags::EPOLLIN);
    }

    /// Makes it unreadable, unless the process has ended. Says whether it is readable now: because of that, or
    /// because it was rung meanwhile.
    pub(crate) fn silence(&self) -> bool {
        self.look_for(EpollFlags::empty());
        // What has rung stays on the list of what is ready until somebody looks and finds that it is not,
        // and what is on that list already does not ring again.
        self.is_readable()
    }

    /// Whether it is readable now.
    pub(crate) fn is_readable(&self) -> bool {
        let found = self.epoll.wait(&mut [EpollEvent::empty(); 2], EpollTimeout::ZERO);
        // It does not wait, so it is not interrupted either.
        debug_assert!(found.is_ok(), "{found:?}");
        found.is_ok_and(|count| count > 0)
    }

    /// The end of `process` does not ring it any more.
    pub(crate) fn forget(&self, process: impl AsFd) {
        let forgotten = self.epoll.delete(process);
        debug_assert!(forgotten.is_ok(), "{forgotten:?}");
    }

    fn look_for(&self, events: EpollFlags) {
        let looking = self.epoll.modify(&*self.source, &mut EpollEvent::new(events, 0));
        // Both descriptors are open, and one is registered with the other: nothing can be wrong.
        debug_assert!(looking.is_ok(), "{looking:?}");
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

fn source() -> io::Result<Arc<EventFd>> {
    let mut known = SOURCE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = known.upgrade() {
        return Ok(source);
    }
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let source = Arc::new(EventFd::from_value_and_flags(1, flags)?);
    *known = Arc::downgrade(&source);
    Ok(source)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::process::{Child, Command};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::process::Process;

    fn process() -> (Child, Process) {
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let process = Process::open(child.id()).unwrap().unwrap();
        (child, process)
    }

    fn rings(bell: &Bell) -> bool {
        let mut polled = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
    }

    #[test]
    fn it_rings_until_it_is_silenced() {
        let (mut child, process) = process();
        let bell = Bell::new(&process).unwrap();
        let other = Bell::new(&process).unwrap();
        for _ in 0..3 {
            assert!(!rings(&bell));
            bell.ring();
            bell.ring();
            assert!(rings(&bell) && !rings(&other));
            bell.silence();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(rings(&bell), "the process has ended");
        bell.silence();
        assert!(rings(&bell));
        bell.forget(&process);
        assert!(!rings(&bell));
    }

    #[test]
    fn each_ring_is_an_edge() {
        let (mut child, process) = process();
        let bell = Bell::new(&process).unwrap();
        let outer = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        outer.add(&bell, EpollEvent::new(events, 0)).unwrap();
        let edges = || outer.wait(&mut [EpollEvent::empty(); 2], EpollTimeout::ZERO).unwrap();
        for _ in 0..3 {
            assert_eq!(edges(), 0);
            bell.ring();
            assert_eq!((edges(), edges()), (1, 0));
            bell.silence();
            // Also if nobody has looked in between.
            bell.ring();
            bell.silence();
            bell.ring();
            assert_eq!((edges(), edges()), (1, 0));
            bell.silence();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(edges(), 1);
    }
}
