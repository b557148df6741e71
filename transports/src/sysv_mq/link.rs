//! One end of a connection, shared by its two halves and by the thread that receives its messages.
//!
//! The thread hands over what has come ([`Link::receive`]), whether or not the owner reads; the halves
//! write by themselves. A bell is rung only for a half that has said that it sleeps.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipcall_core::transport::{Interest, ReadHalf, WriteHalf};

use super::books::Side;
use super::credit::Sizes;
use super::frame::{Header, Purpose};
use super::state::{Change, Route, State};
use crate::bell::Bell;
use crate::process::Process;
use crate::sys::message_queue::{Kind, Message, Queue};

/// A half that finds nothing so many times in a row asks whether the peer's process still runs. Whoever tries
/// without ever sleeping would not find out otherwise.
const TRIES: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    peer: Process,
    /// What a mark of this process holds, so that nobody else can make one.
    secret: u64,
    reader: Bell,
    writer: Bell,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: State,
    reader: Sleeper,
    writer: Sleeper,
    /// Where marks go while a client is not welcomed yet.
    waiting_at: Option<(Queue, Kind)>,
    /// Whether nothing is received any more.
    deaf: bool,
}

/// What is known of a half that may be sleeping.
#[derive(Debug, Default)]
struct Sleeper {
    armed: bool,
    rung: bool,
    tries: u32,
}

impl Link {
    /// An end that is not connected to `peer` yet. `waiting_at` is where a client waits to be welcomed.
    pub(super) fn new(
        peer: Process,
        secret: u64,
        side: Side,
        waiting_at: Option<(Queue, Kind)>,
    ) -> io::Result<Self> {
        let (reader, writer) = (Bell::new(&peer)?, Bell::new(&peer)?);
        let shared = Shared {
            state: State::new(side),
            reader: Sleeper::default(),
            writer: Sleeper::default(),
            waiting_at,
            deaf: false,
        };
        Ok(Self { peer, secret, reader, writer, shared: Mutex::new(shared) })
    }

    /// Messages go by `route` from now on. `false` if both halves were closed before.
    pub(super) fn open_unless_closed(
        &self,
        route: Route,
        sizes: Sizes,
        challenge: Option<u64>,
    ) -> bool {
        self.change_state(|state| {
            let open = !state.is_closed();
            if open {
                state.open(route, sizes, challenge);
            }
            open
        })
    }

    /// Takes in a message; says what it has changed beside.
    pub(super) fn receive(&self, header: Header, bytes: &[u8]) -> Change {
        self.change(|shared| shared.state.receive(header, bytes))
    }

    /// Whether this is the mark that was sent when the peer's process had ended: then all that it had sent has
    /// been received by now, and the connection is over.
    pub(super) fn is_mark(&self, bytes: &[u8]) -> bool {
        bytes == self.secret.to_le_bytes()
    }

    /// Ends it, with what was received still to be read.
    pub(super) fn fail(&self, kind: io::ErrorKind, text: impl Into<String>) {
        self.change(|shared| shared.state.fail(kind, text));
    }

    /// The peer's process has ended, and nothing more of it will come.
    pub(super) fn bury(&self) {
        self.change(|shared| shared.state.bury(gone(&self.peer)));
    }

    /// Nothing is received for it any more, because nothing can come, or because of `why`.
    pub(super) fn deafen(&self, why: Option<&str>) {
        self.change(|shared| {
            shared.deaf = true;
            if let Some(why) = why {
                shared.state.fail(io::ErrorKind::ConnectionReset, why);
            }
        });
    }

    /// Does something to the state, and wakes the halves that wait for what came of it.
    pub(super) fn change_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.change(|shared| change(&mut shared.state))
    }

    /// Whether nothing more will come of the peer, nor be received by it.
    pub(super) fn is_peer_gone(&self) -> bool {
        self.lock().state.is_peer_gone()
    }

    /// The same as a half does before it sleeps, where there is none: looks whether the peer's process has ended.
    pub(super) fn look_for_end(&self) {
        self.change(|shared| self.look_at_peer(shared));
    }

    /// The process at the other end.
    pub(super) fn peer(&self) -> &Process {
        &self.peer
    }

    /// Sends a mark to whoever receives for this end, unless nobody does any more. `false` if there is no
    /// room for it.
    pub(super) fn mark(&self) -> bool {
        let shared = self.lock();
        shared.deaf || self.send_mark(&shared)
    }

    /// The lock is held, so that a mark goes where it is looked for.
    fn send_mark(&self, shared: &Shared) -> bool {
        let (queue, kind) = match (shared.state.route(), shared.waiting_at) {
            (Some(route), _) => (route.receiving, route.kind),
            (None, Some(place)) => place,
            (None, None) => return false,
        };
        match send(queue, kind, Header::bare(0, Purpose::Mark), &self.secret.to_le_bytes()) {
            Ok(()) => true,
            // If the queue is gone, its receiver finds out by itself.
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Looks whether the peer's process has ended. Its last messages may still be on their way: the end
    /// is known once a mark behind them has been received.
    fn look_at_peer(&self, shared: &mut Shared) {
        if !shared.state.may_die() || !self.peer.has_ended() {
            return;
        }
        shared.state.begin_to_die();
        self.reader.forget(&self.peer);
        self.writer.forget(&self.peer);
        if shared.deaf || !self.send_mark(shared) {
            shared.state.bury(gone(&self.peer));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        let mut shared = self.lock();
        let result = change(&mut shared);
        self.wake(&mut shared);
        result
    }

    fn wake(&self, shared: &mut Shared) {
        if shared.reader.armed && shared.state.is_readable() {
            shared.reader.wake(&self.reader);
        }
        if shared.writer.armed && shared.state.is_writable() {
            shared.writer.wake(&self.writer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Whoever panicked with the lock did so before or after a step of the state, not within one.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sleeper {
    fn wake(&mut self, bell: &Bell) {
        self.armed = false;
        self.rung = true;
        bell.ring();
    }

    fn silence(&mut self, bell: &Bell) {
        if std::mem::take(&mut self.rung) {
            bell.silence();
        }
    }

    /// Whether it is time to look at the peer although nobody sleeps.
    fn is_impatient(&mut self) -> bool {
        self.tries = (self.tries + 1) % TRIES;
        self.tries == 0
    }
}

fn gone(peer: &Process) -> String {
    format!("process {} at the other end has ended without closing the connection", peer.id())
}

/// Sends a message that is not of the stream.
pub(super) fn send(queue: Queue, kind: Kind, header: Header, bytes: &[u8]) -> io::Result<()> {
    let mut message = Message::new();
    message.set_kind(kind);
    let whole = [&header.to_bytes()[..], bytes].concat();
    message.bytes_mut()[..whole.len()].copy_from_slice(&whole);
    queue.send(&message, whole.len())
}

/// What closes an end once both halves have gone; the client's and the server's are different.
pub(super) trait Owner: Send + Sync + 'static {
    /// The end.
    fn link(&self) -> &Link;
}

/// The two halves of the end that `owner` has.
pub(super) fn halves<O: Owner>(owner: O) -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>) {
    let owner = Arc::new(owner);
    (Box::new(Reader(Arc::clone(&owner))), Box::new(Writer(owner)))
}

struct Reader<O: Owner>(Arc<O>);

impl<O: Owner> ReadHalf for Reader<O> {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let link = self.0.link();
        let mut shared = link.lock();
        let result = shared.state.read(buffer, limit);
        if result.is_err() && shared.reader.is_impatient() {
            link.look_at_peer(&mut shared);
        }
        link.wake(&mut shared);
        result
    }

    fn arm(&mut self) -> bool {
        let link = self.0.link();
        let mut shared = link.lock();
        shared.reader.silence(&link.reader);
        link.look_at_peer(&mut shared);
        link.wake(&mut shared);
        shared.reader.armed = !shared.state.is_readable();
        shared.reader.armed
    }

    fn short_read_drains(&self) -> bool {
        true
    }
}

impl<O: Owner> AsFd for Reader<O> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.link().reader.as_fd()
    }
}

impl<O: Owner> Drop for Reader<O> {
    fn drop(&mut self) {
        self.0.link().change(|shared| {
            shared.reader.armed = false;
            shared.state.close_reader();
        });
    }
}

struct Writer<O: Owner>(Arc<O>);

impl<O: Owner> WriteHalf for Writer<O> {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let link = self.0.link();
        let mut shared = link.lock();
        let result = shared.state.write(buffers);
        if result.is_err() && shared.writer.is_impatient() {
            link.look_at_peer(&mut shared);
        }
        link.wake(&mut shared);
        result
    }

    fn arm(&mut self) -> bool {
        let link = self.0.link();
        let mut shared = link.lock();
        shared.writer.silence(&link.writer);
        link.look_at_peer(&mut shared);
        link.wake(&mut shared);
        shared.writer.armed = !shared.state.is_writable();
        shared.writer.armed
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

impl<O: Owner> AsFd for Writer<O> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.link().writer.as_fd()
    }
}

impl<O: Owner> Drop for Writer<O> {
    fn drop(&mut self) {
        self.0.link().change(|shared| {
            shared.writer.armed = false;
            shared.state.close_writer();
        });
    }
}
