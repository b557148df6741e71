//! The two halves of a connected stream socket, for every transport that is one.
//!
//! Each half has a descriptor of its own for the same socket, so that both can be registered with one
//! epoll instance. Every call says `MSG_DONTWAIT`: nothing here depends on `O_NONBLOCK`, which another
//! holder of the socket could clear.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipcall_core::transport::{ReadHalf, WriteHalf};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, send, sendmsg, shutdown};

use crate::sys;

/// Slices that one `sendmsg(2)` takes (`UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

/// What a reset by the peer means to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The peer closed without reading everything; what it wrote itself has all been read by then.
    IsTheEnd,
    /// Bytes may be lost.
    IsAnError,
}

/// Says how far the connecting of a socket is: `Ok` once connected, `WouldBlock` before, and otherwise
/// why it failed.
pub(crate) type Look = fn(BorrowedFd<'_>) -> io::Result<()>;

/// Makes the two halves of `socket`; with `connecting`, they answer `WouldBlock` until it has
/// succeeded.
///
/// # Errors
/// When no second descriptor is to be had.
pub(crate) fn halves(
    socket: OwnedFd,
    reset: Reset,
    connecting: Option<Look>,
) -> io::Result<(Box<dyn ReadHalf>, Box<dyn WriteHalf>)> {
    let second = socket.try_clone()?;
    let fate = Arc::new(Fate::new(reset));
    let reader = Reader { socket, connecting, fate: Arc::clone(&fate) };
    let writer = Writer { socket: second, connecting, fate };
    Ok((Box::new(reader), Box::new(writer)))
}

/// The half that reads from `socket`, where the other half is another file. Its close ends what the peer
/// may write.
pub(crate) fn reader(socket: OwnedFd) -> Box<dyn ReadHalf> {
    Box::new(Reader { socket, connecting: None, fate: Arc::new(Fate::new(Reset::IsTheEnd)) })
}

/// The half that writes to `socket`, likewise.
pub(crate) fn writer(socket: OwnedFd) -> Box<dyn WriteHalf> {
    Box::new(Writer { socket, connecting: None, fate: Arc::new(Fate::new(Reset::IsTheEnd)) })
}

/// How the connection failed. The kernel reports that once, to whichever half asks first; without the
/// news the other would take what comes then for an orderly end.
struct Fate {
    reset: Reset,
    failure: Mutex<Option<Failure>>,
}

#[derive(Clone)]
enum Failure {
    Os(i32),
    Other(io::ErrorKind, String),
}

impl Fate {
    fn new(reset: Reset) -> Self {
        Self { reset, failure: Mutex::new(None) }
    }

    /// Looks at a connection that is being made, and forgets that once it stands.
    fn settle(&self, connecting: &mut Option<Look>, socket: BorrowedFd<'_>) -> io::Result<()> {
        let Some(look) = *connecting else { return Ok(()) };
        let mut failure = self.failure();
        if let Some(known) = &*failure {
            return Err(known.to_error());
        }
        // Under the lock, so that the other half does not look between the error and its record.
        look(socket).inspect_err(|error| record(&mut failure, error))?;
        *connecting = None;
        Ok(())
    }

    /// Remembers a failure, if this is one.
    fn note<T>(&self, result: &io::Result<T>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::WouldBlock
        {
            record(&mut self.failure(), error);
        }
    }

    /// What the end of the input means.
    fn end(&self) -> io::Result<usize> {
        self.failure().as_ref().map_or(Ok(0), |failure| Err(failure.to_error()))
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(failure: &mut Option<Failure>, error: &io::Error) {
    // A broken pipe says that the peer has stopped reading, and nothing of what it wrote.
    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe) {
        failure.get_or_insert_with(|| Failure::of(error));
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Self::Os(code),
            None => Self::Other(error.kind(), error.to_string()),
        }
    }

    fn to_error(&self) -> io::Error {
        match self {
            Self::Os(code) => io::Error::from_raw_os_error(*code),
            Self::Other(kind, text) => io::Error::new(*kind, text.clone()),
        }
    }
}

struct Reader {
    socket: OwnedFd,
    connecting: Option<Look>,
    fate: Arc<Fate>,
}

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        self.fate.settle(&mut self.connecting, self.socket.as_fd())?;
        match sys::recv_append(self.socket.as_fd(), buffer, limit) {
            Ok(0) => self.fate.end(),
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionReset
                    && self.fate.reset == Reset::IsTheEnd =>
            {
                Ok(0)
            }
            result => result,
        }
    }

    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The writing half may live on, and with it the socket: the peer must not write into it for
        // ever. Not connected any more is all that can be wrong here, and then there is nobody to tell.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
    }
}

struct Writer {
    socket: OwnedFd,
    connecting: Option<Look>,
    fate: Arc<Fate>,
}

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.fate.settle(&mut self.connecting, self.socket.as_fd())?;
        let result = write(self.socket.as_fd(), buffers);
        if self.fate.reset == Reset::IsAnError {
            self.fate.note(&result);
        }
        result
    }
}

fn write(socket: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        let sent = match buffers {
            [] => return Ok(0),
            [buffer] => send(socket.as_raw_fd(), buffer, flags),
            // Without control messages nix allocates nothing for this.
            _ => {
                let some = &buffers[..buffers.len().min(MAX_SLICES)];
                sendmsg(socket.as_raw_fd(), some, &[], flags, None::<&()>)
            }
        };
        match sent {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // As for the reader: it fails only if there is nobody to tell.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
    }
}
