//! A pair of queues as the server has it: the connections that share it, and the thread that receives the
//! requests of all of them.
//!
//! The thread only ever hands over: to a connection's inbox, which its credit bounds, or to the lobby. It
//! waits for nobody, so no client can keep the others waiting. It sleeps in `msgrcv(2)`, and ends when the
//! request queue is removed, which the last user of the pair does.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use ipcall_core::transport::{ReadHalf, WriteHalf};
use nix::sys::signal::SigSet;

use super::books::{Books, Lent, Side};
use super::credit::{SLOTS, Sizes};
use super::crowd::Crowd;
use super::frame::{FIRST_RETURN_ADDRESS, Header, LOBBY, Purpose, Welcome, number};
use super::link::{Link, Owner, halves};
use super::lobby::Lobby;
use super::queues::{self, Keys, Queues};
use super::random;
use super::state::{Change, Route};
use crate::process::Process;
use crate::sys::message_queue::{Kind, Message, Which};

/// The stack of the thread: it calls nothing deep.
const STACK: usize = 256 << 10;

/// The ids of connections, for the whole process: never given out again. [`LOBBY`] is none.
static NEXT_ID: AtomicI64 = AtomicI64::new(2);

/// A pair that is received from. Dropping it ends that, and removes the queues.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pair: Arc<Pair>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) number: u8,
    pub(super) queues: Queues,
    sizes: Sizes,
    books: Arc<Books>,
    slots: Mutex<HashMap<Kind, Slot>>,
    lobby: Arc<Lobby>,
    /// What the marks of this process hold.
    secret: u64,
    ending: AtomicBool,
    /// Messages that were nobody's.
    strays: AtomicU64,
}

/// A connection's place.
#[derive(Debug)]
struct Slot {
    link: Arc<Link>,
    return_address: Kind,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client was told that it may come in, and what to answer.
    Invited(u64),
    /// It belongs to the listener, or to whoever has accepted it.
    Owned,
    /// Nobody has it any more on this side.
    Disowned,
}

impl Running {
    /// Makes the queues of pair `number`. Nothing is received from them yet.
    ///
    /// # Errors
    /// Those of [`Queues::create`].
    pub(super) fn create(keys: Keys, number: u8, lobby: &Arc<Lobby>) -> io::Result<Self> {
        let (queues, sizes) = Queues::create(keys, number)?;
        let pair = Arc::new(Pair {
            number,
            queues,
            sizes,
            books: Arc::new(Books::new(sizes)),
            slots: Mutex::default(),
            lobby: Arc::clone(lobby),
            secret: random(),
            ending: AtomicBool::new(false),
            strays: AtomicU64::new(0),
        });
        Ok(Self { pair, thread: Mutex::new(None) })
    }

    /// Receives from now on.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub(super) fn begin(&self) -> io::Result<()> {
        let pair = Arc::clone(&self.pair);
        let builder = thread::Builder::new().name("ipcall-sysv-mq".to_owned()).stack_size(STACK);
        *self.thread() = Some(builder.spawn(move || pair.receive())?);
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pair.end();
        let thread = self.thread().take();
        if let Some(thread) = thread {
            // It does not panic; if it did, it is not there any more, which is all that is wanted.
            let _ = thread.join();
        }
    }
}

impl Pair {
    /// Gives a place to a client, and what to tell it. Gives `client` back if there is none.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(super) fn invite(
        &self,
        client: Process,
        return_address: Kind,
    ) -> io::Result<Result<(Kind, Welcome), Process>> {
        let mut slots = self.slots();
        if slots.len() >= SLOTS {
            return Ok(Err(client));
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        // On 32-bit machines there are only a thousand million.
        let Some(id) = Kind::try_from(id).ok().filter(|id| *id < FIRST_RETURN_ADDRESS) else {
            return Err(io::Error::other("all ids of connections have been used"));
        };
        let (tag, challenge) = ((random() >> 32) as u32, random());
        let side = Side::Server { books: Arc::clone(&self.books), lent: Lent::default() };
        let link = Link::new(client, self.secret, side, None)?;
        let Queues { request, reply } = self.queues;
        let route = Route { sending: reply, receiving: request, kind: id, tag };
        link.open_unless_closed(route, self.sizes, None);
        self.lobby.watch(link.peer())?;
        let stage = Stage::Invited(challenge);
        slots.insert(id, Slot { link: Arc::new(link), return_address, stage });
        // All of them fit: see `Sizes`.
        let small = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX);
        let welcome = Welcome {
            id: id as u64,
            challenge,
            tag,
            base: small(self.sizes.base),
            message: small(self.sizes.message),
            pair: self.number,
        };
        Ok(Ok((id, welcome)))
    }

    /// Takes the place of connection `id` back, whose client could not be told of it.
    pub(super) fn uninvite(&self, id: Kind) {
        let slot = self.slots().remove(&id);
        self.forget(id, slot);
    }

    /// The client that waits at `return_address` has gone without an answer. It counts as one that came, and
    /// has closed: `false` if there is none here.
    pub(super) fn come_and_go(&self, return_address: Kind) -> bool {
        let waits = |slot: &&Slot| {
            slot.return_address == return_address && matches!(slot.stage, Stage::Invited(_))
        };
        let found = self
            .slots()
            .iter()
            .find_map(|(id, slot)| waits(&slot).then(|| (*id, Arc::clone(&slot.link))));
        let Some((id, link)) = found else { return false };
        // In this order: one that has gone without having come would be forgotten.
        self.arrive(id, &link);
        link.change_state(|state| state.note_gone());
        self.settle(id);
        true
    }

    /// Lets the clients go that were invited and have not answered yet: nobody will have them.
    pub(super) fn dismiss(&self) {
        for slot in self.slots().values_mut() {
            if matches!(slot.stage, Stage::Invited(_)) {
                slot.stage = Stage::Disowned;
                slot.link.change_state(|state| state.close_both());
            }
        }
    }

    /// Gives up the places of clients that have died, where nobody else notices. The lobby watches for that.
    pub(super) fn reap(&self) {
        let slots = self.slots();
        let is_dead = |slot: &Slot| match slot.stage {
            Stage::Owned => false,
            Stage::Disowned => slot.link.is_peer_gone() || slot.link.peer().has_ended(),
            Stage::Invited(_) => {
                // Its answer, and all that it has written, may still be in the queue.
                if slot.link.peer().has_ended() {
                    self.lobby.look_away(slot.link.peer());
                    slot.link.look_for_end();
                }
                slot.link.is_peer_gone()
            }
        };
        let dead: Vec<Kind> =
            slots.iter().filter_map(|(id, slot)| is_dead(slot).then_some(*id)).collect();
        drop(slots);
        for id in dead {
            let slot = self.slots().remove(&id);
            self.forget(id, slot);
        }
    }

    /// Whether it has no connection, nor anybody who comes in.
    pub(super) fn is_empty(&self) -> bool {
        self.slots().is_empty()
    }

    /// Counts a message that is nobody's.
    pub(super) fn note_stray(&self) {
        self.strays.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were nobody's.
    #[cfg(test)]
    pub(super) fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }

    /// The routes of the connections that it has.
    #[cfg(test)]
    pub(super) fn routes(&self) -> Vec<Route> {
        self.links().iter().filter_map(|link| link.change_state(|state| state.route())).collect()
    }

    /// What is not lent of the two queues.
    #[cfg(test)]
    pub(super) fn free(&self) -> (usize, usize) {
        self.books.free()
    }

    /// Keeps the thread from going on, as if the process had been stopped.
    #[cfg(test)]
    pub(super) fn stop(&self) -> impl Drop {
        self.slots()
    }

    /// The thread's work.
    fn receive(&self) {
        // Signals are for threads that the program knows of.
        let _ = SigSet::all().thread_block();
        let mut message = Message::new();
        let mut crowd = Crowd::default();
        loop {
            match self.queues.request.receive(&mut message, Which::Any, true) {
                Ok(length) => {
                    self.take(&message, length);
                    if crowd.has_dispersed(length, self.queues.request) {
                        self.tell_of_room();
                    }
                }
                Err(error) => return self.break_down(&error),
            }
        }
    }

    fn take(&self, message: &Message, length: usize) {
        let kind = message.kind();
        match message.received(length).and_then(Header::split) {
            Some((header, bytes)) if kind == LOBBY => self.lobby.take(self, header, bytes),
            Some((header, bytes)) => self.take_for(kind, header, bytes),
            None => self.note_stray(),
        }
        if self.books.take_crowded() {
            // What has just been received may have made room in the other queue.
            self.links().iter().for_each(|link| link.change_state(|state| state.try_again()));
        }
    }

    /// Takes a message of connection `id`.
    fn take_for(&self, id: Kind, header: Header, bytes: &[u8]) {
        let slot = self.slots().get(&id).map(|slot| (Arc::clone(&slot.link), slot.stage));
        let gone = match (slot, header.purpose) {
            (Some((link, Stage::Owned | Stage::Disowned)), Purpose::Stream) => {
                match link.receive(header, bytes) {
                    Change::None | Change::Left => false,
                    Change::Stray => return self.note_stray(),
                }
            }
            (Some((link, Stage::Owned | Stage::Disowned)), Purpose::Leave) => {
                match link.change_state(|state| state.receive_leave(header)) {
                    Change::Left => true,
                    Change::None | Change::Stray => return self.note_stray(),
                }
            }
            (Some((link, _)), Purpose::Mark) if link.is_mark(bytes) => {
                link.bury();
                true
            }
            (Some((link, Stage::Invited(challenge))), Purpose::Answer)
                if number(bytes) == Some(challenge) =>
            {
                return self.arrive(id, &link);
            }
            _ => return self.note_stray(),
        };
        if gone {
            // It receives nothing more of what was sent to it, and nothing more will be sent.
            queues::drain(self.queues.reply, id);
            self.settle(id);
        }
    }

    /// The client has answered: so its process is the one that was opened.
    fn arrive(&self, id: Kind, link: &Arc<Link>) {
        let taken = self.lobby.let_in(self.number, link.peer().id(), |running| {
            // The place of a client that has died since may have been given up.
            self.slots().get_mut(&id)?.stage = Stage::Owned;
            self.lobby.look_away(link.peer());
            Some(halves(End { running, link: Arc::clone(link), id }))
        });
        if !taken {
            self.dismiss();
        }
    }

    fn tell_of_room(&self) {
        self.links().iter().for_each(|link| link.change_state(|state| state.tell_of_room()));
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.slots().values().map(|slot| Arc::clone(&slot.link)).collect()
    }

    /// Nobody has connection `id` any more on this side.
    fn disown(&self, id: Kind) {
        if let Some(slot) = self.slots().get_mut(&id) {
            slot.stage = Stage::Disowned;
            if slot.link.peer().has_ended() {
                // Nobody reads what may still come.
                slot.link.bury();
            }
            // If it cannot be watched, the next one that says hello has the dead looked for.
            let _ = self.lobby.watch(slot.link.peer());
        }
        self.settle(id);
    }

    /// Gives up the place of connection `id` if both sides are done with it.
    fn settle(&self, id: Kind) {
        let mut slots = self.slots();
        let is_over = |slot: &Slot| slot.stage != Stage::Owned && slot.link.is_peer_gone();
        if slots.get(&id).is_some_and(is_over) {
            let slot = slots.remove(&id);
            drop(slots);
            self.forget(id, slot);
        }
    }

    /// Cleans up after a connection that has lost its place.
    fn forget(&self, id: Kind, slot: Option<Slot>) {
        let Some(slot) = slot else { return };
        self.lobby.look_away(slot.link.peer());
        queues::drain(self.queues.reply, id);
        self.lobby.forget(slot.return_address);
        slot.link.change_state(|state| state.give_back());
    }

    /// The request queue has been removed: at the end, or by somebody else.
    fn break_down(&self, error: &io::Error) {
        if self.ending.load(Ordering::Acquire) {
            return;
        }
        let why = format!("receiving from its queue: {error}");
        self.links().iter().for_each(|link| link.deafen(Some(&why)));
        self.lobby.break_down(self.number);
    }

    /// Removes the queues. Replies that clients have not read yet stay, and are removed by the clients.
    fn end(&self) {
        self.ending.store(true, Ordering::Release);
        let Queues { request, reply } = self.queues;
        // From now on nothing more can be sent, and whoever finds that out cleans up by itself; what was
        // sent before is taken into account here. Otherwise two could each leave it to the other.
        let _ = request.set_capacity(0);
        let mut message = Message::new();
        while let Ok(length) = request.receive(&mut message, Which::Any, false) {
            self.take(&message, length);
        }
        self.reap();
        let all_told =
            self.links().iter().all(|link| !link.change_state(|state| state.has_untold_news()));
        let _ = request.remove();
        // Who could not be told that this is the end learns it from the queue.
        if !all_told || reply.status().is_ok_and(|status| status.messages == 0) {
            let _ = reply.remove();
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Kind, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server's end of a connection.
struct End {
    running: Arc<Running>,
    link: Arc<Link>,
    id: Kind,
}

impl Owner for End {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.running.pair.disown(self.id);
    }
}

/// The two halves that a connection is handed over as.
pub(super) type Halves = (Box<dyn ReadHalf>, Box<dyn WriteHalf>);
