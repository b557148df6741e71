//! The halves of a connection as the core has them. A client's are there at once, and the rings when the
//! server has accepted.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use ipcall_core::transport::{Interest, Peer, ReadHalf, WriteHalf};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::bell;
use super::memory;
use crate::ring::{Consumer, Producer};
use crate::ring_halves::{Reader, Writer};
use crate::sys::{ThisProcess, recv_with_descriptors};

/// What both sides begin with, the version included.
pub(super) const MAGIC: [u8; 8] = *b"ipcshm\x00\x02";
/// Bytes of the server's answer: the magic, the capacity (0 if there is no memory), the budget.
pub(super) const WELCOME: usize = 24;

/// A connection that the server may not have accepted yet.
struct Joining {
    socket: OwnedFd,
    process: ThisProcess,
    state: Mutex<State>,
}

enum State {
    Waiting,
    /// The half that did not find it out has still to take its own.
    Joined(Box<(Option<Reader>, Option<Writer>)>),
    Failed(io::ErrorKind, String),
}

/// Offers the server two bells, and makes the halves that wait for its answer.
pub(super) fn join(
    socket: OwnedFd,
    server: &Peer,
) -> io::Result<(Box<dyn ReadHalf>, Box<dyn WriteHalf>)> {
    let (read_bell, write_bell, offer) = bell::make(server)?;
    let numbers: Vec<i32> = offer.iter().map(AsRawFd::as_raw_fd).collect();
    send(socket.as_fd(), &MAGIC, &numbers)?;
    // With them here nobody would learn of the server's death.
    drop(offer);
    let process = ThisProcess::current()?;
    let joining = Arc::new(Joining { socket, process, state: Mutex::new(State::Waiting) });
    let reader = RingReader {
        bell: read_bell,
        joining: Some(Arc::clone(&joining)),
        reader: None,
        _lease: None,
    };
    let writer =
        RingWriter { bell: write_bell, joining: Some(joining), writer: None, _lease: None };
    Ok((Box::new(reader), Box::new(writer)))
}

/// Sends a short message with descriptors, which always fits.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[i32]) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, flags, None)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

impl Joining {
    /// Looks whether the server has answered, and gives `take` what there is.
    fn look<T>(
        &self,
        take: impl FnOnce(&mut Option<Reader>, &mut Option<Writer>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.process.check()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Waiting = *state {
            match self.receive() {
                Ok((reader, writer)) => {
                    *state = State::Joined(Box::new((Some(reader), Some(writer))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => *state = State::Failed(error.kind(), error.to_string()),
            }
        }
        match &mut *state {
            State::Waiting => Ok(None),
            State::Joined(halves) => Ok(take(&mut halves.0, &mut halves.1)),
            State::Failed(kind, text) => Err(io::Error::new(*kind, text.clone())),
        }
    }

    fn receive(&self) -> io::Result<(Reader, Writer)> {
        let mut welcome = [0; WELCOME];
        let (count, memories) = recv_with_descriptors(self.socket.as_fd(), &mut welcome)?;
        if count == 0 {
            let text = "the server has closed the connection before it accepted it";
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, text));
        }
        let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
        let number = |at: usize| {
            let bytes = welcome[at..].first_chunk().copied().unwrap_or_default();
            usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        if count != WELCOME || welcome[..8] != MAGIC {
            return Err(wrong("it is no server of this version of shm"));
        }
        let (capacity, budget) = (number(8), number(16));
        if capacity == 0 {
            let text = format!(
                "the server has no shared memory left: all its connections may have {budget} bytes"
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let [theirs, ours] = <[OwnedFd; 2]>::try_from(memories)
            .map_err(|_| wrong("the server has not sent two memories"))?;
        let theirs = memory::map_checked(theirs, capacity, false)?;
        let ours = memory::map_checked(ours, capacity, true)?;
        let reader = Consumer::new(ours.clone(), theirs.clone(), capacity);
        let writer = Producer::new(ours, theirs, capacity);
        Ok((Reader::new(reader, self.process), Writer::new(writer, self.process)))
    }
}

/// A reading half.
pub(super) struct RingReader {
    // Before the bell, which wakes the other side when it is closed.
    reader: Option<Reader>,
    bell: bell::End,
    /// Until the rings are there.
    joining: Option<Arc<Joining>>,
    _lease: Option<Arc<dyn Send + Sync>>,
}

impl RingReader {
    /// With a ring that is there.
    pub(super) fn new(reader: Reader, bell: bell::End) -> Self {
        Self { reader: Some(reader), bell, joining: None, _lease: None }
    }

    /// The same with something to hold as long as it lives.
    pub(super) fn with_lease(self, lease: Arc<dyn Send + Sync>) -> Self {
        let mut this = self;
        this._lease = Some(lease);
        this
    }

    #[inline]
    fn joined(&mut self) -> io::Result<Option<(&mut Reader, &bell::End)>> {
        if self.joining.is_some() {
            self.look()?;
        }
        Ok(self.reader.as_mut().map(|reader| (reader, &self.bell)))
    }

    #[cold]
    fn look(&mut self) -> io::Result<()> {
        if let Some(joining) = &self.joining {
            self.reader = joining.look(|reader, _| reader.take())?;
            if self.reader.is_some() {
                self.joining = None;
            }
        }
        Ok(())
    }
}

impl ReadHalf for RingReader {
    #[inline]
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        match self.joined()? {
            Some((reader, bell)) => reader.try_read(bell, buffer, limit),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    #[inline]
    fn is_dry(&mut self) -> bool {
        self.reader.as_mut().is_some_and(Reader::is_dry)
    }

    fn arm(&mut self) -> bool {
        match self.joined() {
            Ok(Some((reader, bell))) => reader.arm(bell),
            // Rung when the server answers, and ended with it.
            Ok(None) => true,
            Err(_) => false,
        }
    }

    #[inline]
    fn arm_edge(&mut self) -> bool {
        match self.joined() {
            Ok(Some((reader, bell))) => reader.arm_edge(bell),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    // The ring is looked at each time.
    fn prefers_edges(&self) -> bool {
        self.bell.prefers_edges()
    }

    // A read takes all that is there, as far as there is room for it.
    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// A client that leaves before it has looked at the server's answer closes in order all the same.
impl Drop for RingReader {
    fn drop(&mut self) {
        // What goes wrong is of no interest to anyone any more.
        let _ = self.joined();
    }
}

/// A writing half.
pub(super) struct RingWriter {
    writer: Option<Writer>,
    bell: bell::End,
    /// Until the rings are there.
    joining: Option<Arc<Joining>>,
    _lease: Option<Arc<dyn Send + Sync>>,
}

impl RingWriter {
    /// With a ring that is there.
    pub(super) fn new(writer: Writer, bell: bell::End) -> Self {
        Self { writer: Some(writer), bell, joining: None, _lease: None }
    }

    /// The same with something to hold as long as it lives.
    pub(super) fn with_lease(self, lease: Arc<dyn Send + Sync>) -> Self {
        let mut this = self;
        this._lease = Some(lease);
        this
    }

    #[inline]
    fn joined(&mut self) -> io::Result<Option<(&mut Writer, &bell::End)>> {
        if self.joining.is_some() {
            self.look()?;
        }
        Ok(self.writer.as_mut().map(|writer| (writer, &self.bell)))
    }

    #[cold]
    fn look(&mut self) -> io::Result<()> {
        if let Some(joining) = &self.joining {
            self.writer = joining.look(|_, writer| writer.take())?;
            if self.writer.is_some() {
                self.joining = None;
            }
        }
        Ok(())
    }
}

impl WriteHalf for RingWriter {
    #[inline]
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.joined()? {
            Some((writer, bell)) => writer.try_write(bell, buffers),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn arm(&mut self) -> bool {
        match self.joined() {
            Ok(Some((writer, bell))) => writer.arm(bell),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl AsFd for RingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        let _ = self.joined();
    }
}
