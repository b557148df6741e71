//! The two halves of a connection, each over one end of a private queue.
//!
//! A message of the queue is a piece of the stream, and an empty one is its end. Each half sleeps on an
//! epoll instance that holds its queue and the peer's pidfd.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::claim::Claim;
use super::queue::{Queue, Shape};
use super::unsent::Unsent;
use crate::process::Process;

/// Messages that one call sends at the most, so that a caller with much to write gets to do other things:
/// 64 KiB.
const AT_ONCE: usize = 16;

/// All that a connection consists of on one side, before it is one.
pub(super) struct Parts {
    incoming: Queue,
    incoming_shape: Shape,
    outgoing: Queue,
    outgoing_shape: Shape,
    peer: Arc<Process>,
    reader_sleep: Epoll,
    writer_sleep: Epoll,
}

impl Parts {
    /// Takes what both halves need. Failing here tells the peer nothing, so that it can be tried again.
    pub(super) fn new(incoming: Queue, outgoing: Queue, peer: Process) -> io::Result<Self> {
        let reader_sleep = sleep_on(&[
            (incoming.as_fd(), EpollFlags::EPOLLIN),
            (peer.as_fd(), EpollFlags::EPOLLIN),
        ])?;
        let writer_sleep = sleep_on(&[
            (outgoing.as_fd(), EpollFlags::EPOLLOUT),
            (peer.as_fd(), EpollFlags::EPOLLIN),
        ])?;
        Ok(Self {
            incoming_shape: incoming.shape()?,
            incoming,
            outgoing_shape: outgoing.shape()?,
            outgoing,
            peer: Arc::new(peer),
            reader_sleep,
            writer_sleep,
        })
    }

    /// Lets the client write, and makes the server's two halves.
    pub(super) fn accept(self) -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>) {
        self.incoming.clear(self.incoming_shape);
        self.into_halves(None)
    }

    /// Makes a client's two halves, which keep its claim.
    pub(super) fn connect(self, claim: Claim) -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>) {
        self.into_halves(Some(claim))
    }

    fn into_halves(self, claim: Option<Claim>) -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>) {
        let is_accepted = claim.is_none();
        let outgoing = Arc::new(self.outgoing);
        let kept = claim.map(|claim| Arc::new(Kept { claim, signed: Arc::clone(&outgoing) }));
        let reader = Reader {
            queue: self.incoming,
            // It was full before it was accepted, and the peer may have ended before.
            in_a_row: self.incoming_shape.messages,
            shape: self.incoming_shape,
            sleep: self.reader_sleep,
            peer: Arc::clone(&self.peer),
            rest: Vec::new(),
            given: 0,
            is_quiet: false,
            outlook: Outlook::Open,
            _kept: kept.clone(),
        };
        let writer = Writer {
            queue: outgoing,
            shape: self.outgoing_shape,
            is_accepted,
            sleep: self.writer_sleep,
            peer: self.peer,
            gathered: Vec::new(),
            _kept: kept,
        };
        (Box::new(reader), Box::new(writer))
    }
}

/// What a client keeps until both of its halves are gone, because it may not have been accepted yet.
struct Kept {
    #[expect(dead_code, reason = "dropping it is its use")]
    claim: Claim,
    /// Closing it takes the signature away, by which the server knows whose the queues are.
    #[expect(dead_code, reason = "dropping it is its use")]
    signed: Arc<Queue>,
}

/// One descriptor to sleep on for several.
pub(super) fn sleep_on(several: &[(BorrowedFd<'_>, EpollFlags)]) -> io::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (fd, events) in several {
        epoll.add(fd, EpollEvent::new(*events, 0))?;
    }
    Ok(epoll)
}

struct Reader {
    queue: Queue,
    shape: Shape,
    sleep: Epoll,
    peer: Arc<Process>,
    /// A message that had more bytes than the read that took it wanted, and how many were given.
    rest: Vec<u8>,
    given: usize,
    /// Messages taken since the queue was last seen empty.
    in_a_row: usize,
    /// Whether the queue was seen empty, and the peer alive, since the last message: what has happened
    /// after that is news for the descriptor.
    is_quiet: bool,
    outlook: Outlook,
    _kept: Option<Arc<Kept>>,
}

/// What will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// Anything.
    Open,
    /// What is in the queue, and then the end.
    LastWords,
    /// What is in the queue, and then an error: the peer has died.
    Remains,
    /// Nothing: the end was read.
    Ended,
}

impl Reader {
    /// Takes one message and appends as much of it as there is room for. 0 stands for an empty message.
    fn receive(&mut self, buffer: &mut Vec<u8>, room: usize) -> nix::Result<usize> {
        if room >= self.shape.size {
            return self.queue.receive_append(buffer, room);
        }
        self.rest.clear();
        self.given = 0;
        self.rest.reserve_exact(self.shape.size);
        self.queue.receive_append(&mut self.rest, self.shape.size)?;
        Ok(self.give_rest(buffer, room))
    }

    fn give_rest(&mut self, buffer: &mut Vec<u8>, room: usize) -> usize {
        let rest = &self.rest[self.given..];
        let part = &rest[..rest.len().min(room)];
        buffer.extend_from_slice(part);
        self.given += part.len();
        part.len()
    }

    /// The queue is empty: whether that will change.
    fn look_ahead(&mut self) -> io::Result<()> {
        // A mark is left before the end of its process, so it is looked for afterwards.
        let has_died = self.peer.has_ended();
        // The end itself is missing only if there was no room for it: then a full queue was read since.
        let was_full = self.in_a_row >= self.shape.messages;
        self.in_a_row = 0;
        if (has_died || was_full) && self.queue.is_marked_ended()? {
            self.outlook = Outlook::LastWords;
        } else if has_died {
            self.outlook = Outlook::Remains;
        }
        Ok(())
    }

    /// What an empty queue means.
    fn nothing(&mut self) -> io::Result<usize> {
        match self.outlook {
            Outlook::Open => {
                self.is_quiet = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
            Outlook::LastWords | Outlook::Ended => {
                self.outlook = Outlook::Ended;
                Ok(0)
            }
            Outlook::Remains => {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, died(&self.peer)))
            }
        }
    }
}

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let limit = limit.min(buffer.capacity() - buffer.len());
        if limit == 0 {
            // Giving nothing would look like the end.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.given < self.rest.len() {
            return Ok(self.give_rest(buffer, limit));
        }
        if self.outlook == Outlook::Ended {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            match self.receive(buffer, limit - count) {
                Ok(0) => {
                    self.outlook = Outlook::Ended;
                    return Ok(count);
                }
                Ok(more) => {
                    count += more;
                    self.in_a_row = self.in_a_row.saturating_add(1);
                    self.is_quiet = false;
                    // A message that is not full is mostly the last one.
                    if more < self.shape.size || limit - count < self.shape.size {
                        return Ok(count);
                    }
                }
                // Whatever it is, it will be met again.
                Err(_) if count > 0 => return Ok(count),
                Err(Errno::EAGAIN) if self.outlook == Outlook::Open => {
                    self.look_ahead()?;
                    if self.outlook == Outlook::Open {
                        return self.nothing();
                    }
                    // Once more, for what came between finding nothing and looking.
                }
                Err(Errno::EAGAIN) => return self.nothing(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn arm(&mut self) -> bool {
        if self.given < self.rest.len() || self.outlook != Outlook::Open {
            return false;
        }
        if self.is_quiet {
            return true;
        }
        // If the queue may have been too full for the end, only a read finds out.
        if self.in_a_row >= self.shape.messages {
            return false;
        }
        let ready = self.sleep.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
        self.is_quiet = ready == Ok(0);
        if self.is_quiet {
            self.in_a_row = 0;
        }
        self.is_quiet
    }

    /// There may be more messages behind a short one, but [`arm`](Self::arm) asks for them.
    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sleep.0.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue.mark_ended();
        // A writer that sleeps because the queue is full wakes, finds it full again at once, and looks.
        self.rest.clear();
        self.rest.reserve_exact(self.shape.size);
        let _ = self.queue.receive_append(&mut self.rest, self.shape.size);
    }
}

struct Writer {
    queue: Arc<Queue>,
    shape: Shape,
    /// Whether the server has taken out what a client fills its queue with.
    is_accepted: bool,
    sleep: Epoll,
    peer: Arc<Process>,
    /// A message made of several slices.
    gathered: Vec<u8>,
    _kept: Option<Arc<Kept>>,
}

impl Writer {
    /// What a full queue means.
    fn full(&self) -> io::Error {
        match self.queue.is_marked_ended() {
            Ok(false) if self.peer.has_ended() => {
                io::Error::new(io::ErrorKind::BrokenPipe, died(&self.peer))
            }
            Ok(false) => io::ErrorKind::WouldBlock.into(),
            Ok(true) => io::Error::new(io::ErrorKind::BrokenPipe, "the peer has stopped reading"),
            Err(errno) => errno.into(),
        }
    }
}

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.is_accepted {
            // Said also to whoever writes nothing.
            if self.queue.waiting()? >= self.shape.messages {
                return Err(self.full());
            }
            self.is_accepted = true;
        }
        let mut unsent = Unsent::new(buffers);
        let mut count = 0;
        for _ in 0..AT_ONCE {
            let message = unsent.next_message(&mut self.gathered, self.shape.size);
            if message.is_empty() {
                break;
            }
            let length = message.len();
            match self.queue.send(message) {
                Ok(()) => {
                    unsent.advance(length);
                    count += length;
                }
                // Whatever it is, it will be met again.
                Err(_) if count > 0 => break,
                Err(Errno::EAGAIN) => return Err(self.full()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(count)
    }

    fn interest(&self) -> Interest {
        // It is the epoll instance that becomes readable.
        Interest::Readable
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sleep.0.as_fd()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // In this order: a full queue takes no message, and whoever has emptied it looks for the mark.
        self.queue.mark_ended();
        let _ = self.queue.send(&[]);
    }
}

fn died(peer: &Process) -> String {
    format!("the peer, process {}, has ended without closing the connection", peer.id())
}
