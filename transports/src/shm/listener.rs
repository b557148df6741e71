//! The server's side: clients that have connected, and those that have offered their bells as well.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipcall_core::transport::{Listener as Accept, Peer, Transport};
use ipcall_core::{RpcError, Settings};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::bell::{self, check_proc};
use super::joining::{MAGIC, RingReader, RingWriter, WELCOME, send};
use super::{Address, memory};
use crate::ring::{Consumer, Producer};
use crate::ring_halves::{Bell, Reader, Writer};
use crate::sys::{Region, ThisProcess, recv_with_descriptors};
use crate::unix;

/// Clients that have connected and not yet offered their bells, which they do at once. One more pushes the
/// oldest out.
const SILENT: usize = 128;

/// Accepts the clients of one socket. Dropping it removes the socket's file, if it is still ours.
pub(crate) struct Listener {
    socket: unix::Listener,
    /// Holds the socket and the silent clients.
    epoll: Epoll,
    silent: VecDeque<(OwnedFd, Peer)>,
    /// Bytes of a ring.
    ring: usize,
    /// Bytes that the connections may have together, and that they have.
    budget: usize,
    used: Arc<AtomicUsize>,
}

/// What a client has said.
enum Offer {
    Bells(bell::Offer),
    Silence,
    /// Whoever has gone again is not worth a word.
    Gone,
    Nonsense,
}

/// A connection's share of the budget.
struct Share {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Listener {
    /// Takes the path and listens at it.
    pub(crate) fn bind(address: &Address, settings: &Settings) -> Result<Self, RpcError> {
        let doing = "opening a pipe anew by /proc/self/fd, which shm: has to have";
        check_proc().map_err(|error| RpcError::io(doing, error))?;
        let socket = unix::Listener::bind(&address.socket, settings)?;
        let failed = |error: nix::Error| RpcError::io("watching for clients", error.into());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed)?;
        Ok(Self {
            socket,
            epoll,
            silent: VecDeque::new(),
            ring: address.ring,
            budget: address.budget,
            used: Arc::new(AtomicUsize::new(0)),
        })
    }

    /// The next client that has offered its bells, with them: of those that have just connected, as most
    /// have by then, or of the silent ones. Not more are taken in than are needed, so that descriptors that
    /// run out are not those of clients that nobody serves.
    fn next(&mut self) -> io::Result<(OwnedFd, Peer, bell::Offer)> {
        loop {
            let (socket, peer) = match self.socket.accept_socket() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                accepted => accepted?,
            };
            match offer(&socket) {
                Offer::Bells(bells) => return Ok((socket, peer, bells)),
                Offer::Silence => self.wait_for(socket, peer)?,
                Offer::Gone => {}
                Offer::Nonsense => return Err(nonsense()),
            }
        }
        let mut index = 0;
        while let Some((socket, _)) = self.silent.get(index) {
            let offer = offer(socket);
            if matches!(offer, Offer::Silence) {
                index += 1;
                continue;
            }
            let Some((socket, peer)) = self.silent.remove(index) else { break };
            match offer {
                Offer::Bells(bells) => return Ok((socket, peer, bells)),
                Offer::Nonsense => return Err(nonsense()),
                Offer::Silence | Offer::Gone => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Remembers a client that has said nothing yet.
    fn wait_for(&mut self, socket: OwnedFd, peer: Peer) -> io::Result<()> {
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        if self.silent.len() == SILENT {
            self.silent.pop_front();
        }
        self.silent.push_back((socket, peer));
        Ok(())
    }

    /// Makes the memory of a connection, and tells the client.
    fn welcome(
        &self,
        socket: &OwnedFd,
        (read_bell, write_bell): (bell::End, bell::End),
    ) -> io::Result<(RingReader, RingWriter)> {
        let process = ThisProcess::current()?;
        let Some(share) = Share::take(&self.used, memory::cost(self.ring), self.budget) else {
            self.say(socket, 0, &[])?;
            read_bell.ring()?;
            write_bell.ring()?;
            let text = format!(
                "no shared memory left for a client: all connections together may have {} bytes \
                 (memory= in the endpoint)",
                self.budget
            );
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
        };
        let share = Arc::new(share);
        let (ours, theirs) = (memory::make(self.ring)?, memory::make(self.ring)?);
        let own = Region::map(&ours, self.ring, true)?;
        let peer = Region::map(&theirs, self.ring, false)?;
        memory::seal(&ours, true)?;
        memory::seal(&theirs, false)?;
        self.say(socket, self.ring, &[ours.as_raw_fd(), theirs.as_raw_fd()])?;
        // It may be asleep already, on either.
        read_bell.ring()?;
        write_bell.ring()?;
        let reader = Reader::new(Consumer::new(own.clone(), peer.clone(), self.ring), process);
        let writer = Writer::new(Producer::new(own, peer, self.ring), process);
        let reader = RingReader::new(reader, read_bell).with_lease(Arc::clone(&share) as _);
        let writer = RingWriter::new(writer, write_bell).with_lease(share);
        Ok((reader, writer))
    }

    /// Answers a client.
    fn say(&self, socket: &OwnedFd, capacity: usize, descriptors: &[i32]) -> io::Result<()> {
        let mut bytes = [0; WELCOME];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&(capacity as u64).to_le_bytes());
        bytes[16..].copy_from_slice(&(self.budget as u64).to_le_bytes());
        send(socket.as_fd(), &bytes, descriptors)
    }
}

fn offer(socket: &OwnedFd) -> Offer {
    let mut hello = [0; MAGIC.len()];
    match recv_with_descriptors(socket.as_fd(), &mut hello) {
        Ok((0, _)) => Offer::Gone,
        Ok((_, bells)) if hello == MAGIC => Offer::Bells(bells),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Offer::Silence,
        Ok(_) | Err(_) => Offer::Nonsense,
    }
}

fn nonsense() -> io::Error {
    let text = "a client that does not speak this version of shm, or no descriptors left for it";
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
}

/// What goes wrong with one client, which may have gone again, is nothing to the others.
fn of_this_client(error: io::Error) -> io::Error {
    let errno = error.raw_os_error().map(Errno::from_raw);
    if matches!(errno, Some(Errno::EMFILE | Errno::ENFILE)) {
        return error;
    }
    // No memory, a bell that is none, nobody there any more.
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        let (socket, peer, bells) = self.next()?;
        let bells = bell::accept(bells, &peer).map_err(of_this_client)?;
        let (reader, writer) = self.welcome(&socket, bells).map_err(of_this_client)?;
        Ok(Transport { reader: Box::new(reader), writer: Box::new(writer), peer })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Share {
    fn take(used: &Arc<AtomicUsize>, bytes: usize, budget: usize) -> Option<Self> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= budget);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self { used: Arc::clone(used), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
