//! The client's side of a connection that is being made: until the server has opened both FIFOs, neither
//! half can do anything, and both learn at once when it has, or that it never will.
//!
//! Whichever half is used first looks, and what it finds holds for both. The reading half sleeps on
//! `down` itself, because it does that before every answer for the connection's whole life; the writing
//! half, which rarely sleeps, on an epoll descriptor, which shows what matters at the time:
//!
//! | | `down` | rendezvous | `up` |
//! |---|---|---|---|
//! | until accepted | readable: accepted; hung up: gone | error: the server is gone | |
//! | then | | | room, or nobody reads any more |

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::listener::ACCEPTED;
use super::pair::{Made, Names};
use crate::{pipe_halves, sys};

/// The two halves of a connection to the server that reads `rendezvous`, to which `pair` has been
/// announced.
///
/// # Errors
/// When no further descriptor is to be had.
pub(super) fn halves(
    pair: Made,
    rendezvous: OwnedFd,
) -> io::Result<(Box<dyn ReadHalf>, Box<dyn WriteHalf>)> {
    let Made { down, up, guard, names, .. } = pair;
    let (down, up) = (Arc::new(down), Arc::new(up));
    let bell = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    bell.add(&down, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    // Its error shows without being asked for.
    bell.add(&rendezvous, EpollEvent::new(EpollFlags::empty(), 0))?;
    let bell = Arc::new(bell);
    let waiting = Waiting {
        rendezvous,
        down: Arc::clone(&down),
        up: Arc::downgrade(&up),
        bell: Arc::clone(&bell),
        names,
        _guard: guard,
    };
    let joining = Arc::new(Joining(Mutex::new(State::Waiting(Box::new(waiting)))));
    let reader =
        Reader { end: pipe_halves::Reader::new(down), joining: Some(Arc::clone(&joining)) };
    let writer = Writer { end: pipe_halves::Writer::new(up), bell, joining: Some(joining) };
    Ok((Box::new(reader), Box::new(writer)))
}

/// How far a connection is, for both of its halves.
struct Joining(Mutex<State>);

enum State {
    Waiting(Box<Waiting>),
    Accepted,
    Gone(&'static str),
}

/// What a connection has only until it is accepted.
struct Waiting {
    rendezvous: OwnedFd,
    down: Arc<OwnedFd>,
    /// Ended with the writing half, as always.
    up: Weak<OwnedFd>,
    bell: Arc<Epoll>,
    names: Names,
    _guard: OwnedFd,
}

impl Joining {
    /// `Ok` once accepted, `WouldBlock` before; otherwise it will not be.
    fn settle(&self) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = match &*state {
            State::Waiting(waiting) => waiting.look(),
            State::Accepted => return Ok(()),
            State::Gone(how) => return Err(gone(how)),
        };
        match outcome {
            Ok(()) => {
                if let State::Waiting(waiting) = std::mem::replace(&mut *state, State::Accepted) {
                    // The server has removed them.
                    waiting.names.forget();
                }
                Ok(())
            }
            Err(Failure::NotYet) => Err(io::ErrorKind::WouldBlock.into()),
            Err(Failure::Gone(how)) => {
                if let State::Waiting(waiting) = std::mem::replace(&mut *state, State::Gone(how)) {
                    waiting.names.wake_reader();
                }
                Err(gone(how))
            }
        }
    }

    /// Whoever panicked with the lock left a whole state behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, how)
}

enum Failure {
    NotYet,
    Gone(&'static str),
}

impl Waiting {
    /// Looks whether the server has accepted.
    fn look(&self) -> Result<(), Failure> {
        // In this order: a server that goes after it has accepted has written before.
        let mut polled = [
            PollFd::new(self.rendezvous.as_fd(), PollFlags::empty()),
            PollFd::new(self.down.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, PollTimeout::ZERO) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Err(Failure::Gone("waiting for the server to accept has failed")),
        }
        let [rendezvous, down] = polled.map(|place| place.revents().unwrap_or(PollFlags::empty()));
        if down.contains(PollFlags::POLLIN) {
            return self.take_acceptance();
        }
        if down.contains(PollFlags::POLLHUP) || rendezvous.contains(PollFlags::POLLERR) {
            return Err(Failure::Gone("the server went away before it accepted"));
        }
        Err(Failure::NotYet)
    }

    fn take_acceptance(&self) -> Result<(), Failure> {
        let mut byte = Vec::with_capacity(1);
        match sys::read_append(self.down.as_fd(), &mut byte, 1) {
            Ok(1) if byte == [ACCEPTED] => {}
            _ => return Err(Failure::Gone("the server did not accept as this client knows it")),
        }
        self.watch_for_room()
            .map_err(|_| Failure::Gone("the kernel has no memory to watch the connection"))
    }

    fn watch_for_room(&self) -> nix::Result<()> {
        self.bell.delete(&self.down)?;
        self.bell.delete(&self.rendezvous)?;
        match self.up.upgrade() {
            Some(up) => self.bell.add(&up, EpollEvent::new(EpollFlags::EPOLLOUT, 0)),
            None => Ok(()),
        }
    }
}

struct Reader {
    end: pipe_halves::Reader<Arc<OwnedFd>>,
    joining: Option<Arc<Joining>>,
}

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        settle(&mut self.joining)?;
        self.end.try_read(buffer, limit)
    }

    fn short_read_drains(&self) -> bool {
        self.end.short_read_drains()
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

struct Writer {
    end: pipe_halves::Writer<Arc<OwnedFd>>,
    bell: Arc<Epoll>,
    joining: Option<Arc<Joining>>,
}

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        settle(&mut self.joining)?;
        self.end.try_write(buffers)
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.0.as_fd()
    }
}

/// Looks at a connection that is being made, and forgets that once it stands.
fn settle(joining: &mut Option<Arc<Joining>>) -> io::Result<()> {
    if let Some(waiting) = joining {
        waiting.settle()?;
        *joining = None;
    }
    Ok(())
}
