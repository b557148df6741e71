//! The cut between the core and the mechanisms: a transport is a byte pipe one can sleep on.
//!
//! One end of a connection is a [`ReadHalf`] and a [`WriteHalf`]. Neither ever blocks, and each names
//! one descriptor to sleep on. Everything that waits is built once, in the module `wait`, over
//! these calls; a transport contains no waiting loop, no task and no timer.
//!
//! The contract, which every transport is tested against:
//!
//! 1. Bytes arrive in order, exactly once, or the connection ends with an error.
//! 2. Nothing blocks. A full peer is `WouldBlock`, and that is the back-pressure.
//! 3. A read or write may be abandoned between any two calls without losing or doubling a byte.
//! 4. Orderly close: what was written before arrives, then `Ok(0)`.
//! 5. Death of the peer ends the other side's connection, within 50 ms where a descriptor reports it,
//!    within 100 ms otherwise.
//! 6. Afterwards nothing is left: no name, segment, thread or descriptor.
//! 7. A name in use by a living server is an error ([`ErrorKind::AddressInUse`]), a stale one is taken
//!    over, and one that somebody else owns is refused.
//! 8. The two halves may live in different threads.
//!
//! [`ErrorKind::AddressInUse`]: crate::ErrorKind::AddressInUse

pub mod memory;

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::RpcError;
use crate::limits::Settings;

/// The reading half of one end of a connection. Its descriptor is the same for its whole life.
pub trait ReadHalf: AsFd + Send + 'static {
    /// Appends at most `limit` bytes to `buffer`, within its capacity where it has any to spare
    /// (`limit` never exceeds the spare capacity), and says how many. Never blocks.
    ///
    /// `Ok(0)` is the orderly end: the peer has closed, and all that it wrote was read.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; anything else ends the connection.
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize>;

    /// Whether nothing is there at this moment, where that is known for less than a read costs: for whoever
    /// asks again and again instead of sleeping. Now and then `false` in any case, because only a read finds
    /// out about the end.
    fn is_dry(&mut self) -> bool {
        false
    }

    /// Called just before sleeping on the descriptor: says to the peer "I am about to sleep", where it
    /// has to be told. `false` if something has come meanwhile: read again instead of sleeping.
    fn arm(&mut self) -> bool {
        true
    }

    /// Like [`arm`](Self::arm), for whoever sleeps on edges of the descriptor (`EPOLLET`, epoll(7)): it may be readable
    /// although nothing has come. What comes after `true` is a new edge, and so is a hang-up (`EPOLLHUP`), after
    /// which only `arm` is to be asked.
    fn arm_edge(&mut self) -> bool {
        self.arm()
    }

    /// Whether threads are to sleep on edges as well, because that spares them something. Then `arm_edge` finds
    /// by itself what has come: an edge is shown once, to someone who may not have read all of it.
    fn prefers_edges(&self) -> bool {
        false
    }

    /// Whether a read that gave less than `limit` means that nothing more was there at that moment, so
    /// that no second read has to ask.
    fn short_read_drains(&self) -> bool {
        false
    }
}

/// The writing half of one end of a connection. Its descriptor is the same for its whole life, and not
/// the number of the reading half's. Dropping it is the orderly close of its direction.
pub trait WriteHalf: AsFd + Send + 'static {
    /// Writes a prefix of the concatenated buffers and says how many bytes. Never blocks.
    ///
    /// # Errors
    /// `WouldBlock` when the peer is full; anything else ends the connection.
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether a write only copies, so that whoever else wants to write had better wait than leave it to the
    /// writer.
    fn is_quick(&self) -> bool {
        false
    }

    /// Like [`ReadHalf::arm`]; `false` if room has appeared meanwhile.
    fn arm(&mut self) -> bool {
        true
    }

    /// What the descriptor shows when there is room again.
    fn interest(&self) -> Interest {
        Interest::Writable
    }
}

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// `POLLIN`.
    Readable,
    /// `POLLOUT`.
    Writable,
}

/// One end of a connection, as a transport hands it over.
pub struct Transport {
    /// The reading half.
    pub reader: Box<dyn ReadHalf>,
    /// The writing half.
    pub writer: Box<dyn WriteHalf>,
    /// What is known of the other process.
    pub peer: Peer,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// What is known of the process at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its process id, as this process's pid namespace sees it.
    pub pid: Option<u32>,
    /// Its effective user id when it connected.
    pub uid: Option<u32>,
    /// Its effective group id when it connected.
    pub gid: Option<u32>,
    /// Its address, for transports that have one.
    pub address: Option<String>,
    /// How all this is known: `SO_PEERCRED`, `same process`, `address`.
    pub known_by: &'static str,
    /// The process itself, where the transport of a client knows that it is the one at the other end, whatever becomes
    /// of its number.
    pub pidfd: Option<Pidfd>,
}

/// A process, by a descriptor that stays its own (`pidfd_open(2)`). All clones are one descriptor.
#[derive(Clone, Debug)]
pub struct Pidfd(Arc<OwnedFd>);

impl From<OwnedFd> for Pidfd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PartialEq for Pidfd {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pidfd {}

/// A place where clients are accepted. Dropping it removes its name.
pub trait Listener: AsFd + Send + 'static {
    /// Takes the next client. Never blocks; the descriptor is readable when one is there.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `ConnectionAborted`, `PermissionDenied` and descriptor
    /// exhaustion concern that client only, and the listener goes on.
    fn try_accept(&mut self) -> io::Result<Transport>;

    /// Whether no further client will come, because there can be only so many: a server whose listeners
    /// are all exhausted ends with the last of the connections that it has accepted.
    fn is_exhausted(&self) -> bool {
        false
    }
}

/// A place that was bound.
pub struct Listening {
    /// What accepts.
    pub listener: Box<dyn Listener>,
    /// Where it really is: the endpoint's URI, except that a port 0 has become the port that the system
    /// chose.
    pub uri: Arc<str>,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.uri).finish()
    }
}

/// Something that a client can be connected to; an `Endpoint` is one.
pub trait Connector: Send + Sync {
    /// The endpoint's URI, for errors.
    fn uri(&self) -> &Arc<str>;

    /// What it is configured with.
    fn settings(&self) -> &Settings;

    /// Connects, or starts to: a transport whose connection is still being made answers `WouldBlock`
    /// until it is. Never blocks for longer than a local system call.
    ///
    /// # Errors
    /// [`ErrorKind::ServerAbsent`](crate::ErrorKind::ServerAbsent) when no server is there yet, which
    /// is worth another try; others are final.
    fn try_connect(&self) -> Result<Transport, RpcError>;

    /// Whether connecting starts the server: then there is none that could still come up, and no use in
    /// waiting for it.
    fn starts_server(&self) -> bool {
        false
    }
}

/// Something that a server can listen at; an `Endpoint` is one.
pub trait Binder: Send + Sync {
    /// The endpoint's URI, for errors.
    fn uri(&self) -> &Arc<str>;

    /// What it is configured with.
    fn settings(&self) -> &Settings;

    /// Takes the name and listens.
    ///
    /// # Errors
    /// [`ErrorKind::AddressInUse`](crate::ErrorKind::AddressInUse),
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused), or the operating system's.
    fn bind(&self) -> Result<Listening, RpcError>;
}
