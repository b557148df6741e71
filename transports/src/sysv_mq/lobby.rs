//! Where clients come in: they say hello in the first pair of queues, are given a place in a pair that has
//! one, and answer there. Then they wait to be accepted.
//!
//! The answer is what makes a client's word for its pid worth something: it is asked for after the
//! process has been opened (`pidfd_open(2)`). Had the client died before, and its number been given to
//! another process, nobody would answer.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipcall_core::transport::{Peer, Transport};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::geteuid;

use super::frame::{
    FIRST_RETURN_ADDRESS, Header, Hello, LOBBY, Purpose, Refusal, VERSION, Welcome, number,
};
use super::link;
use super::pair::{Halves, Pair, Running};
use super::queues::{self, Keys, MAX_PAIRS, Queues};
use crate::process::Process;
use crate::sys::message_queue::{Kind, Message, Queue, Which};

/// Refusals that may be in the queue without having been read. Whoever has not read its own by the time that
/// there are more has probably died.
const REFUSALS: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Lobby {
    /// The start that clients have to mean.
    start: u64,
    /// A semaphore that counts those that wait to be accepted, so that it is readable while there are any.
    bell: EventFd,
    /// What the listener sleeps on: the bell, and the processes whose ends concern nobody else.
    watch: Epoll,
    state: Mutex<Option<Open>>,
    /// The first reply queue, once it is there, and the refusals in it.
    refused: Mutex<Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    queue: Option<Queue>,
    addresses: VecDeque<Kind>,
}

/// A lobby that is open.
struct Open {
    keys: Keys,
    /// Kept running as long as the lobby is open, which is what those that come in rely on.
    pairs: Vec<Arc<Running>>,
    waiting: VecDeque<Transport>,
    broken: bool,
}

/// The place of a connection in a pair, its id, and what the client is told.
type Place = (Arc<Pair>, Kind, Welcome);

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("pairs", &self.pairs.len()).finish_non_exhaustive()
    }
}

impl Lobby {
    pub(super) fn new(start: u64) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_SEMAPHORE;
        let bell = EventFd::from_flags(flags)?;
        let watch = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        watch.add(&bell, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { start, bell, watch, state: Mutex::new(None), refused: Mutex::default() })
    }

    /// Lets clients in, with `first` as the pair in which they say hello.
    ///
    /// # Errors
    /// When no thread is to be had; then it is to be closed again.
    pub(super) fn open(&self, keys: Keys, first: Running) -> io::Result<()> {
        let first = Arc::new(first);
        self.refused().queue = Some(first.pair.queues.reply);
        let pairs = vec![Arc::clone(&first)];
        *self.state() = Some(Open { keys, pairs, waiting: VecDeque::new(), broken: false });
        // Now, so that the first that comes finds it open.
        first.begin()
    }

    /// Lets nobody in any more, and ends those that wait to be accepted.
    pub(super) fn close(&self) {
        let Some(open) = self.state().take() else { return };
        open.pairs.iter().for_each(|running| running.pair.dismiss());
        // Those that were not accepted first, while their pairs still run.
        drop(open.waiting);
    }

    /// The next one that waits to be accepted.
    pub(super) fn accept(&self) -> io::Result<Transport> {
        let mut state = self.state();
        let open = state.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if let Some(client) = open.waiting.pop_front() {
            // It was counted when it came, so this takes one from the count.
            let _ = self.bell.read();
            return Ok(client);
        }
        if open.broken {
            return Err(Errno::EIDRM.into());
        }
        // It may have been the end of one of these that was waited for.
        open.pairs.iter().for_each(|running| running.pair.reap());
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Has the listener wake when `client` ends, which nobody else would notice.
    pub(super) fn watch(&self, client: &Process) -> io::Result<()> {
        Ok(self.watch.add(client, EpollEvent::new(EpollFlags::EPOLLIN, 0))?)
    }

    /// Takes that back, if need be.
    pub(super) fn look_away(&self, client: &Process) {
        // It may not have been watched.
        let _ = self.watch.delete(client);
    }

    /// Takes a message for the lobby, which came through `door`.
    pub(super) fn take(self: &Arc<Self>, door: &Pair, header: Header, bytes: &[u8]) {
        let taken = match header.purpose {
            // In this pair only: the others are started, and may be ended, with the lobby's lock held.
            _ if door.number != 0 => None,
            Purpose::Hello => Hello::from_bytes(bytes).and_then(|hello| self.hear(door, &hello)),
            Purpose::Leave => {
                number(bytes).and_then(as_return_address).and_then(|address| self.see_off(address))
            }
            _ => None,
        };
        if taken.is_none() {
            door.note_stray();
        }
    }

    /// Somebody says hello. `None` if that is not meant for us.
    fn hear(self: &Arc<Self>, door: &Pair, hello: &Hello) -> Option<()> {
        let address = as_return_address(hello.return_address)?;
        if hello.start != self.start {
            return None;
        }
        let answered = match self.place(hello, address) {
            Ok(None) => return None,
            Ok(Some((pair, id, welcome))) => {
                let bytes = welcome.to_bytes();
                send(door.queues, address, Purpose::Welcome, &bytes)
                    .inspect_err(|_| pair.uninvite(id))
            }
            Err(refusal) => self.refuse(door.queues, address, refusal),
        };
        // Who cannot be told waits, and gives up: the queue is full of somebody else's messages.
        answered.ok()
    }

    /// Gives a client a place. `None` if it is not there any more.
    fn place(self: &Arc<Self>, hello: &Hello, address: Kind) -> Result<Option<Place>, Refusal> {
        if hello.version != VERSION {
            return Err(Refusal::Version);
        }
        let client = Process::open(hello.pid).map_err(|_| Refusal::NoDescriptor)?;
        let Some(client) = client.filter(|client| !client.has_ended()) else { return Ok(None) };
        let mut state = self.state();
        let open = state.as_mut().ok_or(Refusal::Gone)?;
        let spare = open.spare_pairs();
        let invited = open.invite(self, client, address);
        drop(state);
        // Outside the lock, because their threads may be waiting for it.
        drop(spare);
        invited.map(Some)
    }

    fn refuse(&self, queues: Queues, address: Kind, refusal: Refusal) -> io::Result<()> {
        let mut refused = self.refused();
        if refused.addresses.len() >= REFUSALS
            && let Some(oldest) = refused.addresses.pop_front()
        {
            take_back(queues.reply, oldest);
        }
        refused.addresses.push_back(address);
        send(queues, address, Purpose::Refusal, &[refusal as u8])
    }

    /// The client that waits at `address` does not want in any more. `None` if nobody waits there.
    fn see_off(&self, address: Kind) -> Option<()> {
        let pairs = self.pairs();
        self.forget(address);
        pairs.iter().any(|pair| pair.come_and_go(address)).then_some(())
    }

    /// Takes back what was sent to `address` and not read.
    pub(super) fn forget(&self, address: Kind) {
        let queue = self.refused().queue;
        if let Some(queue) = queue {
            queues::drain(queue, address);
        }
    }

    /// A client of pair `number` has answered: `make` makes its connection, if it still can, before anybody can
    /// have that. `false` if the lobby is closed.
    pub(super) fn let_in(
        &self,
        number: u8,
        pid: u32,
        make: impl FnOnce(Arc<Running>) -> Option<Halves>,
    ) -> bool {
        let mut state = self.state();
        let Some(open) = state.as_mut() else { return false };
        let Some(running) = open.pairs.iter().find(|running| running.pair.number == number) else {
            return false;
        };
        let Some((reader, writer)) = make(Arc::clone(running)) else { return true };
        let mut peer = Peer::default();
        peer.pid = Some(pid);
        // The queues let in nobody else, except those who may do everything.
        peer.uid = Some(geteuid().as_raw());
        peer.known_by = "mode 0600 of the queues";
        open.waiting.push_back(Transport { reader, writer, peer });
        // The count is far from its maximum.
        let _ = self.bell.write(1);
        true
    }

    /// Somebody has removed the queues of pair `number`.
    pub(super) fn break_down(&self, number: u8) {
        if let Some(open) = self.state().as_mut()
            && number == 0
        {
            open.broken = true;
            let _ = self.bell.write(1);
        }
    }

    /// The pairs themselves, and not what keeps them running: that could turn out to be this thread's to end.
    pub(super) fn pairs(&self) -> Vec<Arc<Pair>> {
        let state = self.state();
        state.iter().flat_map(|open| &open.pairs).map(|running| Arc::clone(&running.pair)).collect()
    }

    fn state(&self) -> MutexGuard<'_, Option<Open>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Lobby {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.0.as_fd()
    }
}

impl Open {
    /// Takes out the pairs that are not used, except one, so that the thread and the queues of a pair are
    /// not made and removed each time that the seventeenth comes and goes.
    fn spare_pairs(&mut self) -> Vec<Arc<Running>> {
        self.pairs.iter().for_each(|running| running.pair.reap());
        let mut spared = false;
        let is_spare = |running: &mut Arc<Running>| {
            let unused = Arc::strong_count(running) == 1 && running.pair.is_empty();
            running.pair.number > 0 && unused && std::mem::replace(&mut spared, true)
        };
        self.pairs.extract_if(.., is_spare).collect()
    }

    /// Gives `client` a place in the first pair that has one, if need be in a new one.
    fn invite(
        &mut self,
        lobby: &Arc<Lobby>,
        mut client: Process,
        address: Kind,
    ) -> Result<Place, Refusal> {
        for running in &self.pairs {
            match running.pair.invite(client, address).map_err(|_| Refusal::NoDescriptor)? {
                Ok((id, welcome)) => return Ok((Arc::clone(&running.pair), id, welcome)),
                Err(unplaced) => client = unplaced,
            }
        }
        let pair = self.start_another(lobby)?;
        match pair.invite(client, address).map_err(|_| Refusal::NoDescriptor)? {
            Ok((id, welcome)) => Ok((pair, id, welcome)),
            Err(_) => Err(Refusal::Full),
        }
    }

    fn start_another(&mut self, lobby: &Arc<Lobby>) -> Result<Arc<Pair>, Refusal> {
        for number in 1..MAX_PAIRS {
            if self.pairs.iter().any(|running| running.pair.number == number) {
                continue;
            }
            match Running::create(self.keys, number, lobby) {
                Ok(running) => {
                    running.begin().map_err(|_| Refusal::NoQueue)?;
                    let pair = Arc::clone(&running.pair);
                    self.pairs.push(Arc::new(running));
                    return Ok(pair);
                }
                // Somebody else has queues with these keys.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => return Err(Refusal::NoQueue),
            }
        }
        Err(Refusal::Full)
    }
}

/// Takes back the refusal that was sent to `address`, if it was not read.
fn take_back(queue: Queue, address: Kind) {
    let mut message = Message::new();
    if let Ok(length) = queue.receive(&mut message, Which::Kind(address), false)
        && let Some((header, _)) = message.received(length).and_then(Header::split)
        && header.purpose == Purpose::Mark
    {
        // It was read, and this is how the client wakes its own thread. There was room for it just now.
        let _ = queue.send(&message, length);
    }
}

fn as_return_address(number: u64) -> Option<Kind> {
    Kind::try_from(number).ok().filter(|address| *address >= FIRST_RETURN_ADDRESS)
}

fn send(queues: Queues, address: Kind, purpose: Purpose, bytes: &[u8]) -> io::Result<()> {
    debug_assert!(address > LOBBY);
    link::send(queues.reply, address, Header::bare(0, purpose), bytes)
}
