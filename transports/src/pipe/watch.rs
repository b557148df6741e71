//! The client's halves: a pipe, and the life of the process at its other end.
//!
//! A pipe ends when nobody has its other end any more. That is the server and, by mistake or on purpose,
//! whatever the server has started; so the end of the server's process ends the connection, too. A half
//! therefore sleeps on an epoll descriptor that holds its pipe and the process's pidfd.
//!
//! Which of the two shows first is chance: a process that dies closes its files, and only then can it be asked
//! how it ended; and whatever is just being started somewhere in this process has all its descriptors
//! for a moment, the child's ends of pipes among them. So for up to [`PATIENCE`] after the end of one the
//! other is waited for. A server that has closed its pipe and lives on costs that time once.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::child::Child;
use super::end::{End, ServerEnded};
use crate::pipe_halves;

/// How long the end of a pipe may come before or after the end of its process. It takes some tens of
/// microseconds, or longer where the CPU is given to others in between.
const PATIENCE: Duration = Duration::from_millis(50);

/// Fruitless tries after which a half that never sleeps looks whether the process still lives.
const TRIES: u32 = 1024;

/// The end of a server that has nothing more to say.
const EXITED: ServerEnded = ServerEnded { end: End::Exited(0), left_pipe: false };

/// A half of a connection to a child.
pub(super) struct Watch<T> {
    pipe: T,
    state: State,
    /// What it sleeps on.
    epoll: Epoll,
    /// Whether, should the pipe have nothing to offer, it may be the process that has ended.
    suspicious: bool,
    tries: u32,
    /// Dropped after the pipe: the process is to see the end of that first.
    child: Arc<Child>,
}

enum State {
    Open,
    /// The pipe has ended, and how the process has may show, until the timer says that it does not.
    PipeEnded(TimerFd),
    /// The process has ended, and the pipe will, until the timer says that others have it.
    ProcessEnded(TimerFd, End),
    /// All is known.
    Ended(Cause),
}

/// Why there is nothing more to read or to write.
#[derive(Clone, Copy)]
enum Cause {
    /// The other end was closed, by a process that lives on.
    Closed,
    Process(ServerEnded),
}

impl Watch<pipe_halves::Reader> {
    /// The half that reads from `child`.
    pub(super) fn reader(end: OwnedFd, child: Arc<Child>) -> io::Result<Self> {
        Self::new(pipe_halves::Reader::new(end), EpollFlags::EPOLLIN, child)
    }
}

impl Watch<pipe_halves::Writer> {
    /// The half that writes to `child`.
    pub(super) fn writer(end: OwnedFd, child: Arc<Child>) -> io::Result<Self> {
        Self::new(pipe_halves::Writer::new(end), EpollFlags::EPOLLOUT, child)
    }
}

impl<T: AsFd> Watch<T> {
    fn new(pipe: T, wanted: EpollFlags, child: Arc<Child>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&pipe, EpollEvent::new(wanted, 0))?;
        epoll.add(&*child, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { pipe, state: State::Open, epoll, suspicious: false, tries: 0, child })
    }

    /// Tries something on the pipe for as long as that is open; afterwards, or if `is_end` says that
    /// this was the end of it, gives the cause.
    fn attempt<R>(
        &mut self,
        mut attempt: impl FnMut(&mut T) -> io::Result<R>,
        is_end: impl Fn(&io::Result<R>) -> bool,
    ) -> io::Result<Result<R, Cause>> {
        if matches!(self.state, State::Open) {
            let result = attempt(&mut self.pipe);
            if is_end(&result) {
                self.state = self.wait_for_process();
            } else if is_would_block(&result)
                && self.is_suspicious()
                && let Some(end) = self.child.end()
            {
                self.state = self.wait_for_pipe(end);
            } else {
                if result.is_ok() {
                    (self.suspicious, self.tries) = (false, 0);
                }
                return result.map(Ok);
            }
        }
        if let State::ProcessEnded(timer, end) = &self.state {
            // What it did before its end counts.
            let result = attempt(&mut self.pipe);
            let left_pipe = is_would_block(&result) && timer.wait().is_ok();
            if !is_end(&result) && !left_pipe {
                return result.map(Ok);
            }
            self.state = State::Ended(Cause::Process(ServerEnded { end: *end, left_pipe }));
        }
        self.cause().map(Err)
    }

    fn is_suspicious(&mut self) -> bool {
        self.tries = self.tries.wrapping_add(1);
        std::mem::take(&mut self.suspicious) || self.tries.is_multiple_of(TRIES)
    }

    /// The pipe has ended: from now on it is ready, and that is no news.
    fn wait_for_process(&self) -> State {
        let timer = self.epoll.delete(&self.pipe).and_then(|()| self.timer());
        // Without one, what is not known now will not be.
        timer.map_or(State::Ended(self.cause_by_now()), State::PipeEnded)
    }

    /// The process has ended, likewise.
    fn wait_for_pipe(&self, end: End) -> State {
        let timer = self.epoll.delete(&*self.child).and_then(|()| self.timer());
        let left_pipe = Cause::Process(ServerEnded { end, left_pipe: true });
        timer.map_or(State::Ended(left_pipe), |timer| State::ProcessEnded(timer, end))
    }

    /// One that ends the sleep after [`PATIENCE`].
    fn timer(&self) -> nix::Result<TimerFd> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let expiration = Expiration::OneShot(TimeSpec::from_duration(PATIENCE));
        timer.set(expiration, TimerSetTimeFlags::empty())?;
        self.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(timer)
    }

    fn cause_by_now(&self) -> Cause {
        let process = |end| Cause::Process(ServerEnded { end, left_pipe: false });
        self.child.end().map_or(Cause::Closed, process)
    }

    /// Why the pipe has ended; `WouldBlock` until it is known.
    fn cause(&mut self) -> io::Result<Cause> {
        if let State::PipeEnded(timer) = &self.state {
            match self.cause_by_now() {
                Cause::Closed if timer.wait().is_err() => {}
                cause => self.state = State::Ended(cause),
            }
        }
        match &self.state {
            State::Ended(cause) => Ok(*cause),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Looks at all that would end the sleep: an edge-triggered sleeper is told only of what comes later.
    fn arm(&mut self) -> bool {
        if matches!(self.state, State::Ended(_)) {
            // Nothing will come any more, which is known already.
            return false;
        }
        self.suspicious = true;
        let mut polled = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        // An error here is one of memory; the sleep that follows will meet it, too.
        !poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl ReadHalf for Watch<pipe_halves::Reader> {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let read = |pipe: &mut pipe_halves::Reader| pipe.try_read(buffer, limit);
        match self.attempt(read, |result| matches!(result, Ok(0)))? {
            Ok(count) => Ok(count),
            // Orderly: it has written all that it wanted to.
            Err(Cause::Closed | Cause::Process(EXITED)) => Ok(0),
            Err(cause) => Err(cause.into_error(io::ErrorKind::ConnectionReset)),
        }
    }

    fn arm(&mut self) -> bool {
        Self::arm(self)
    }

    fn short_read_drains(&self) -> bool {
        self.pipe.short_read_drains()
    }
}

impl WriteHalf for Watch<pipe_halves::Writer> {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let is_broken = |result: &io::Result<usize>| {
            result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        };
        self.attempt(|pipe| pipe.try_write(buffers), is_broken)?
            .map_err(|cause| cause.into_error(io::ErrorKind::BrokenPipe))
    }

    fn arm(&mut self) -> bool {
        Self::arm(self)
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl<T> AsFd for Watch<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Cause {
    fn into_error(self, kind: io::ErrorKind) -> io::Error {
        match self {
            Self::Closed => io::Error::new(kind, "the server has closed its end of the pipe"),
            Self::Process(ended) => io::Error::new(kind, ended),
        }
    }
}

fn is_would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
