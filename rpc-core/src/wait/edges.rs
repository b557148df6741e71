//! Sleeping on the edges of a source's descriptor: an epoll set (epoll(7)) that belongs to the source and goes with it
//! from thread to thread.
//!
//! An edge is shown once, to whoever sleeps next. Nothing is lost by that, because nobody concludes from silence that
//! nothing has come:
//!
//! - Whoever is about to sleep says so, and looks afterwards ([`ReadHalf::arm_edge`]). What came before is found
//!   then, whoever was shown its edge, and however much of it was read.
//! - What comes later makes an edge, which stays in the set until somebody sleeps there, be it the one who said so or
//!   another to whom the source was handed.
//! - An edge of what was read already ends one sleep for nothing.
//! - A hang-up is looked for nowhere else. Whoever is shown it gives the set up, and from then on the source is slept
//!   on by level.
//!
//! Whoever sleeps by level in between, as the watch of a server does, takes nothing out of the set. A forked child
//! shares it, and sleeps on nothing: its halves do not let themselves be armed.
//!
//! [`ReadHalf::arm_edge`]: crate::transport::ReadHalf::arm_edge

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What stands in an event for the source, and for what is beside it.
const SOURCE: u64 = 0;
const BESIDE: u64 = 1;

/// The set: a source by its edges, and one thing beside it by its level.
#[derive(Debug)]
pub(super) struct Edges {
    set: Epoll,
    beside: RawFd,
}

/// What ended a sleep; nothing if that was a signal, or the time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Woken {
    pub(super) source: bool,
    pub(super) hung_up: bool,
    pub(super) beside: bool,
}

impl Edges {
    /// `beside` has to stay open as long as this is slept on.
    pub(super) fn new(source: BorrowedFd<'_>, beside: BorrowedFd<'_>) -> io::Result<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        set.add(source, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, SOURCE))?;
        set.add(beside, EpollEvent::new(EpollFlags::EPOLLIN, BESIDE))?;
        Ok(Self { set, beside: beside.as_raw_fd() })
    }

    /// Whether it is this that is beside the source.
    pub(super) fn is_beside(&self, beside: BorrowedFd<'_>) -> bool {
        self.beside == beside.as_raw_fd()
    }

    /// Sleeps, at most so many whole milliseconds.
    ///
    /// # Errors
    /// `epoll_wait(2)`'s.
    pub(super) fn sleep(&self, timeout: Option<Duration>) -> io::Result<Woken> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); 2];
        let count = match self.set.wait(&mut events, timeout) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        let mut woken = Woken::default();
        for event in &events[..count] {
            if event.data() == BESIDE {
                woken.beside = true;
                continue;
            }
            woken.source = true;
            woken.hung_up = event.events().intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        }
        Ok(woken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::collections::VecDeque;
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::AsFd;
    use std::sync::{Arc, Mutex, mpsc};
    use std::thread;

    use super::*;
    use crate::connection::source::{Filled, Source};
    use crate::limits::{Limits, Spin};
    use crate::transport::ReadHalf;
    use crate::wait::thread::{Doorbell, ThreadSource, wait};

    /// Nothing takes that long but to sleep for ever.
    const WATCHDOG: Duration = Duration::from_secs(20);

    /// What has come, beside a bell that need not be heard.
    type Come = Arc<Mutex<VecDeque<u8>>>;

    /// A half that is told by a pipe; it sees the end only when it hears.
    struct Rung {
        bell: PipeReader,
        come: Come,
        gone: bool,
    }

    impl Rung {
        fn has_come(&self) -> bool {
            !self.come.lock().unwrap().is_empty()
        }
    }

    impl AsFd for Rung {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.bell.as_fd()
        }
    }

    impl ReadHalf for Rung {
        fn try_read(&mut self, buffer: &mut Vec<u8>, _limit: usize) -> io::Result<usize> {
            match self.come.lock().unwrap().pop_front() {
                Some(byte) => {
                    buffer.push(byte);
                    Ok(1)
                }
                None if self.gone => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn arm(&mut self) -> bool {
            // One ring at a time, so that there is more than one to hear before the end.
            self.gone |= self.bell.read(&mut [0]).unwrap() == 0;
            !self.gone && !self.has_come()
        }

        fn arm_edge(&mut self) -> bool {
            !self.gone && !self.has_come()
        }

        fn prefers_edges(&self) -> bool {
            true
        }
    }

    /// A source that sleeps beside a doorbell; and what rings it.
    fn source() -> (ThreadSource, Doorbell, PipeWriter, Come) {
        let (bell, ring) = pipe().unwrap();
        let come = Come::default();
        let half = Rung { bell, come: Arc::clone(&come), gone: false };
        let source = Source::new(Box::new(half), &Limits::default());
        let mut source = ThreadSource::new(source, Spin::UpTo(Duration::ZERO));
        let doorbell = Doorbell::new().unwrap();
        source.keep_beside(doorbell.as_fd());
        (source, doorbell, ring, come)
    }

    /// Runs what might sleep for ever.
    fn watched(what: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            what();
            done.send(()).unwrap();
        });
        is_done.recv_timeout(WATCHDOG).unwrap();
    }

    #[test]
    fn an_edge_waits_for_whoever_sleeps_next() {
        watched(|| {
            let (mut source, mut doorbell, mut ring, come) = source();
            for round in 0..3 {
                // One sleeps, and is called away.
                doorbell.ring();
                let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), None).unwrap();
                assert!(ready.other && !ready.read, "round {round}");
                doorbell.silence();
                // It rings; who is to sleep next has said so before it was told what had come.
                ring.write_all(b"!").unwrap();
                let other = thread::spawn(move || {
                    let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), None);
                    (source, doorbell, ready.unwrap())
                });
                let ready;
                (source, doorbell, ready) = other.join().unwrap();
                assert!(ready.read && !ready.other);
                // Shown once, although the bell was never heard.
                let patience = Some(Duration::from_millis(1));
                let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), patience);
                assert!(!ready.unwrap().read);
                // What came without an edge to go with it is found by looking.
                come.lock().unwrap().push_back(7);
                let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), None).unwrap();
                assert!(ready.read);
                assert_eq!(source.fill().unwrap(), Filled::More);
                let _ = source.source.next_event();
            }
        });
    }

    #[test]
    fn a_hang_up_that_was_shown_with_the_last_words_is_not_forgotten() {
        watched(|| {
            let (mut source, doorbell, mut ring, come) = source();
            ring.write_all(b"!!").unwrap();
            drop(ring);
            let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), None).unwrap();
            assert!(ready.read);
            come.lock().unwrap().push_back(7);
            assert_eq!(source.fill().unwrap(), Filled::More);
            while source.fill().unwrap() != Filled::End {
                let ready = wait(Some(&mut source), None, Some(doorbell.as_fd()), None).unwrap();
                assert!(ready.read);
            }
        });
    }
}
