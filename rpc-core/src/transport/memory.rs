//! In-process rings: the transport `mem:`, and what the core's own tests run over.
//!
//! A direction is a bounded ring of bytes behind a mutex, and two eventfds to sleep on, one for each
//! side. A bell is rung only for a side that has said by `arm()` that it sleeps. Names live in one
//! table of the process.
//!
//! - System calls: `eventfd(2)` four times for a connection; one `write` for each bell, one `read`
//!   before each sleep. None while neither side sleeps.
//! - Limits: 256 KiB in each direction, 128 clients waiting to be accepted.
//! - Leaves behind: nothing; rings and names end with their owners.
//! - Not for: anything that has to survive a crash of the other side, which is this same process.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{getegid, geteuid};

use super::{Interest, Listener, Peer, ReadHalf, Transport, WriteHalf};
use crate::error::{ErrorKind, RpcError};

/// Bytes that one direction holds before its writer has to wait.
const CAPACITY: usize = 256 << 10;

/// Clients that may wait to be accepted.
const BACKLOG: usize = 128;

/// The listeners of this process, by name.
static NAMES: LazyLock<Mutex<HashMap<String, Arc<Backlog>>>> = LazyLock::new(Mutex::default);

/// Two connected ends.
///
/// # Panics
/// When the process has no descriptor left; [`try_pair`] says so instead.
pub fn pair() -> (Transport, Transport) {
    try_pair().expect("four descriptors are to be had")
}

/// Two connected ends.
///
/// # Errors
/// When the process has no descriptor left.
pub fn try_pair() -> io::Result<(Transport, Transport)> {
    let (forth_writer, forth_reader) = ring()?;
    let (back_writer, back_reader) = ring()?;
    let end = |reader: Reader, writer: Writer| Transport {
        reader: Box::new(reader),
        writer: Box::new(writer),
        peer: own_process(),
    };
    Ok((end(back_reader, forth_writer), end(forth_reader, back_writer)))
}

/// Connects to the listener of this process that has bound `name`.
///
/// # Errors
/// [`ErrorKind::ServerAbsent`] when there is none, or when it does not keep up with accepting.
pub fn connect(name: &str) -> Result<Transport, RpcError> {
    connect_over(name, try_pair)
}

/// The same over a pair of another kind, for transports whose mechanism has no names of its own.
///
/// # Errors
/// As for [`connect`].
pub fn connect_over(
    name: &str,
    pair: impl FnOnce() -> io::Result<(Transport, Transport)>,
) -> Result<Transport, RpcError> {
    let absent = |detail| RpcError::not_executed(ErrorKind::ServerAbsent { detail });
    let backlog = lock(&NAMES)
        .get(name)
        .map(Arc::clone)
        .ok_or_else(|| absent(format!("nothing in this process has bound the name `{name}`")))?;
    let (ours, theirs) = pair().map_err(|e| RpcError::io("making an in-process pair", e))?;
    backlog.push(theirs).map_err(absent)?;
    Ok(ours)
}

/// Accepts the clients of one name. Dropping it frees the name and ends those not yet accepted.
pub struct MemoryListener {
    name: String,
    backlog: Arc<Backlog>,
}

impl MemoryListener {
    /// Takes `name`.
    ///
    /// # Errors
    /// [`ErrorKind::AddressInUse`] while another listener has it.
    pub fn bind(name: &str) -> Result<Self, RpcError> {
        let backlog =
            Arc::new(Backlog::new().map_err(|e| RpcError::io("making an in-process name", e))?);
        match lock(&NAMES).entry(name.to_owned()) {
            Entry::Occupied(_) => Err(RpcError::not_executed(ErrorKind::AddressInUse {
                detail: format!("this process already listens as `{name}`"),
            })),
            Entry::Vacant(free) => {
                free.insert(Arc::clone(&backlog));
                Ok(Self { name: name.to_owned(), backlog })
            }
        }
    }
}

impl Listener for MemoryListener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.backlog.pop().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl AsFd for MemoryListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.backlog.bell.as_fd()
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        lock(&NAMES).remove(&self.name);
        // A client that found the name before it was removed may still be on its way in.
        self.backlog.close();
    }
}

/// The clients of a listener that it has not accepted yet; `None` once it has gone.
struct Backlog {
    waiting: Mutex<Option<VecDeque<Transport>>>,
    /// A semaphore that counts the waiting clients, so that it is readable while there are any.
    bell: EventFd,
}

impl Backlog {
    fn new() -> io::Result<Self> {
        let bell = EventFd::from_flags(bell_flags() | EfdFlags::EFD_SEMAPHORE)?;
        Ok(Self { waiting: Mutex::new(Some(VecDeque::new())), bell })
    }

    fn push(&self, client: Transport) -> Result<(), String> {
        let mut waiting = lock(&self.waiting);
        let Some(queue) = waiting.as_mut() else {
            return Err("its listener has just gone".to_owned());
        };
        if queue.len() >= BACKLOG {
            return Err(format!("its backlog of {BACKLOG} clients is full"));
        }
        queue.push_back(client);
        ring_bell(&self.bell);
        Ok(())
    }

    fn pop(&self) -> Option<Transport> {
        let mut waiting = lock(&self.waiting);
        let client = waiting.as_mut()?.pop_front()?;
        drain_bell(&self.bell);
        Some(client)
    }

    fn close(&self) {
        let abandoned = lock(&self.waiting).take();
        drop(abandoned);
    }
}

/// One direction, shared by its two sides.
struct Ring {
    state: Mutex<State>,
    reader_bell: EventFd,
    writer_bell: EventFd,
}

#[derive(Default)]
struct State {
    /// Never more than [`CAPACITY`].
    bytes: VecDeque<u8>,
    reader_sleeps: bool,
    writer_sleeps: bool,
    reader_gone: bool,
    writer_gone: bool,
}

impl State {
    fn readable(&self) -> bool {
        !self.bytes.is_empty() || self.writer_gone
    }

    fn writable(&self) -> bool {
        self.bytes.len() < CAPACITY || self.reader_gone
    }
}

fn ring() -> io::Result<(Writer, Reader)> {
    let ring = Arc::new(Ring {
        state: Mutex::default(),
        reader_bell: EventFd::from_flags(bell_flags())?,
        writer_bell: EventFd::from_flags(bell_flags())?,
    });
    Ok((Writer(Arc::clone(&ring)), Reader(ring)))
}

struct Reader(Arc<Ring>);

impl ReadHalf for Reader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let mut state = lock(&self.0.state);
        let count = limit.min(state.bytes.len());
        if count == 0 {
            return if state.writer_gone { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let (front, back) = state.bytes.as_slices();
        let from_front = count.min(front.len());
        buffer.extend_from_slice(&front[..from_front]);
        buffer.extend_from_slice(&back[..count - from_front]);
        state.bytes.drain(..count);
        if std::mem::take(&mut state.writer_sleeps) {
            ring_bell(&self.0.writer_bell);
        }
        Ok(count)
    }

    fn arm(&mut self) -> bool {
        // Emptied before the flag goes up: a bell that is rung for the flag stays in.
        drain_bell(&self.0.reader_bell);
        let mut state = lock(&self.0.state);
        state.reader_sleeps = !state.readable();
        state.reader_sleeps
    }

    fn short_read_drains(&self) -> bool {
        true
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader_bell.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.reader_gone = true;
        state.bytes = VecDeque::new();
        if std::mem::take(&mut state.writer_sleeps) {
            ring_bell(&self.0.writer_bell);
        }
    }
}

struct Writer(Arc<Ring>);

impl WriteHalf for Writer {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.0.state);
        if state.reader_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = CAPACITY - state.bytes.len();
        let mut written = 0;
        for buffer in buffers {
            let part = &buffer[..buffer.len().min(room)];
            state.bytes.extend(part);
            room -= part.len();
            written += part.len();
        }
        if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if written > 0 && std::mem::take(&mut state.reader_sleeps) {
            ring_bell(&self.0.reader_bell);
        }
        Ok(written)
    }

    fn arm(&mut self) -> bool {
        // As for the reader.
        drain_bell(&self.0.writer_bell);
        let mut state = lock(&self.0.state);
        state.writer_sleeps = !state.writable();
        state.writer_sleeps
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.writer_bell.as_fd()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.writer_gone = true;
        if std::mem::take(&mut state.reader_sleeps) {
            ring_bell(&self.0.reader_bell);
        }
    }
}

fn own_process() -> Peer {
    Peer {
        pid: Some(std::process::id()),
        uid: Some(geteuid().as_raw()),
        gid: Some(getegid().as_raw()),
        address: None,
        known_by: "same process",
        pidfd: None,
    }
}

fn bell_flags() -> EfdFlags {
    EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK
}

fn ring_bell(bell: &EventFd) {
    let rung = bell.write(1);
    // EAGAIN: the count has reached its maximum, and the bell is ringing anyway.
    debug_assert!(matches!(rung, Ok(_) | Err(Errno::EAGAIN)), "{rung:?}");
}

fn drain_bell(bell: &EventFd) {
    let drained = bell.read();
    // EAGAIN: it was not ringing.
    debug_assert!(matches!(drained, Ok(_) | Err(Errno::EAGAIN)), "{drained:?}");
}

/// Whoever panicked with the lock left whole bytes behind, never half a step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
