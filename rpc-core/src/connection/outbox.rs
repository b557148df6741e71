//! The writing side of a connection, shared by all who send on it.
//!
//! There is no mailbox task: whoever sends writes, from its own thread or task. Whoever finds the writer
//! taken leaves its frame, and the one who has it takes that along in the next write; only where a write is quick,
//! it is done under the lock. A full peer hands
//! the writer to the sender as [`Blocked`]; it is then that one's duty to wait for room and to go on.
//! Large messages among small ones wait for the peer to read, without anybody's waiting for that: whoever
//! reads its answer to a ping goes on ([`Outbox::answered`]).

mod state;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::connection::doorbell::{Doorbell, Ringing};
use crate::limits::{Limits, Signals};
use crate::protocol::hello::{Doorbell as Offered, Hello};
use crate::protocol::outgoing::{Bulk, Outgoing};
use crate::transport::{Peer, WriteHalf};

use self::state::{Ending, State, Written};
pub(crate) use writer::Writer;

/// A frame ready to be sent.
pub(crate) enum Message<'a> {
    /// Whole small frames.
    Small(&'a [u8]),
    /// A small frame that overtakes what is queued.
    Urgent(&'a [u8]),
    /// The cancellation of a call.
    Cancel(u64),
    /// A message in fragments.
    Bulk(Bulk),
}

/// There is more to write, and it is the holder's duty: let others run, or wait for room on
/// `writer.half` if the peer is full, then call [`Outbox::resume`].
#[must_use = "nobody else will go on writing"]
pub(crate) struct Blocked {
    pub(crate) writer: Box<Writer>,
    /// Whether the peer is full.
    pub(crate) full: bool,
}

/// Bytes written at a time before others get their turn: whoever sends meanwhile goes in between, and a
/// task does not keep its thread.
const QUANTUM: usize = 64 << 10;

/// Bytes of small frames that are kept back at a time where a write only copies them: enough for a write to be
/// worth while, and few enough for the peer to have something to do meanwhile.
const CORKED: usize = 512;

pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Whether a write takes no longer than to give the writer away.
    quick: bool,
    /// Bytes of small frames, and of large messages, that wait when senders should wait.
    queued_limit: usize,
    bulk_limit: usize,
    /// Whether that many waited when last looked at; a hint that spares senders the lock.
    crowded: AtomicBool,
    /// Whether writing is over because of an error.
    failed: AtomicBool,
    /// Whether someone reads what the peer answers, so that large messages can wait for that.
    reading: AtomicBool,
    /// Whether large messages do wait for that, with nobody writing.
    waits: AtomicBool,
    /// The server's, if it wants to be rung.
    doorbell: Option<Doorbell>,
}

impl Outbox {
    pub(crate) fn new(half: Box<dyn WriteHalf>) -> Self {
        let quick = half.is_quick();
        let writer = Writer { half, outgoing: Outgoing::new(usize::MAX) };
        let state = State {
            writer: Some(Box::new(writer)),
            waiting: Outgoing::new(usize::MAX),
            sending: 0,
            answered: 0,
            corked: false,
            ringing: Ringing::default(),
            ending: Ending::Open,
            broken: None,
            room: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            quick,
            queued_limit: usize::MAX,
            bulk_limit: usize::MAX,
            crowded: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            reading: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            doorbell: None,
        }
    }

    /// Has the server rung for cancellations, if it has offered that.
    pub(crate) fn set_doorbell(&mut self, peer: &mut Peer, offered: Offered, signals: Signals) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let half = state.writer.as_deref().map(|writer| &*writer.half);
        self.doorbell = half.and_then(|half| Doorbell::of(half, peer, offered, signals));
    }

    /// Sets the limits when the peer's are known. To be called before anything large is sent.
    pub(crate) fn set_limits(&mut self, theirs: &Hello, ours: &Limits) {
        self.queued_limit = ours.queued_bytes;
        self.bulk_limit = ours.held_bytes;
        let open_limit = usize::try_from(theirs.held_limit).unwrap_or(usize::MAX);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        *self.reading.get_mut() = true;
        if let Some(writer) = &mut state.writer {
            writer.outgoing.set_open_limit(open_limit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends now if nobody is sending, else leaves the message for whoever is.
    #[inline]
    pub(crate) fn send(&self, message: Message<'_>) -> Option<Blocked> {
        let mut state = self.lock();
        if self.quick
            && let Message::Small(frames) = message
        {
            match state.write(frames) {
                Written::All => return None,
                Written::Part(writer, result) => {
                    drop(state);
                    return self.write_on(writer, result);
                }
                Written::Nothing => {}
            }
        }
        if state.broken.is_some() || state.ending != Ending::Open {
            return None;
        }
        let corked = state.corked && !(self.quick && state.waiting.queued() >= CORKED);
        if corked || state.writer.is_none() {
            self.leave(&mut state, message);
            return None;
        }
        let mut writer = state.writer.take()?;
        if !state.waiting.is_empty() {
            // In one write with it.
            state.waiting.accept(message);
            // Also while corked: it is enough of it.
            writer.take_over(&mut state.waiting);
            drop(state);
            return self.write_on(writer, Ok(()));
        }
        drop(state);
        match message {
            Message::Small(frame) => {
                let written = writer.write_directly(frame);
                self.end_write(writer, written)
            }
            other => {
                writer.outgoing.accept(other);
                self.write_on(writer, Ok(()))
            }
        }
    }

    /// Sends small frames; for who has the outbox alone, which spares the locks.
    #[inline]
    pub(crate) fn send_alone(&mut self, frames: &[u8]) -> Option<Blocked> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        match state.write(frames) {
            Written::All => None,
            Written::Part(writer, result) => self.write_on(writer, result),
            Written::Nothing => self.send(Message::Small(frames)),
        }
    }

    /// Leaves the message for the next [`flush`](Self::flush).
    pub(crate) fn queue(&self, message: Message<'_>) {
        let mut state = self.lock();
        if state.broken.is_none() && state.ending == Ending::Open {
            self.leave(&mut state, message);
        }
    }

    /// Leaves a message for whoever writes next.
    fn leave(&self, state: &mut State, message: Message<'_>) {
        let is_cancel = matches!(message, Message::Cancel(_));
        state.waiting.accept(message);
        self.note_crowd(state);
        if is_cancel && let Some(doorbell) = &self.doorbell {
            state.ringing.note_cancel(doorbell);
        }
    }

    /// Keeps what is sent back until [`flush`](Self::flush), so that it goes in one write.
    pub(crate) fn cork(&self) {
        self.lock().corked = true;
    }

    /// Uncorks, and writes what waits.
    pub(crate) fn flush(&self) -> Option<Blocked> {
        let mut state = self.lock();
        state.corked = false;
        if state.waiting.is_empty() {
            return None;
        }
        let writer = state.writer.take()?;
        drop(state);
        self.write_on(writer, Ok(()))
    }

    /// Goes on after [`Blocked`], when there may be room.
    pub(crate) fn resume(&self, blocked: Blocked) -> Option<Blocked> {
        self.write_on(blocked.writer, Ok(()))
    }

    /// The peer has answered this ping: what waited for that goes on.
    pub(crate) fn answered(&self, ping: u64) -> Option<Blocked> {
        let mut state = self.lock();
        state.answered = ping;
        self.go_on(state)
    }

    /// Answers to pings will be read from now on. Not to be called before the handshake is done.
    #[inline]
    pub(crate) fn start_reading(&self) {
        self.reading.store(true, Ordering::Relaxed);
    }

    /// Answers to pings will not be read for a while: nothing waits for them.
    pub(crate) fn stop_reading(&self) -> Option<Blocked> {
        self.reading.store(false, Ordering::Relaxed);
        self.go_on(self.lock())
    }

    /// Whether large messages wait for the answer to a ping, with nobody writing.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Goes on with large messages that may no longer have to wait.
    fn go_on(&self, mut state: MutexGuard<'_, State>) -> Option<Blocked> {
        // Whoever has the writer looks again by itself.
        let writer = state.writer.take_if(|writer| !writer.outgoing.is_empty())?;
        drop(state);
        self.write_on(writer, Ok(()))
    }

    /// Puts the writer back after a write that was all there was, as most are; else goes on.
    #[inline]
    fn end_write(&self, writer: Box<Writer>, written: io::Result<()>) -> Option<Blocked> {
        if written.is_ok() && writer.outgoing.is_empty() {
            let mut state = self.lock();
            let settled = state.waiting.is_empty() && state.ending == Ending::Open;
            if settled && !self.crowded.load(Ordering::Relaxed) {
                state.writer = Some(writer);
                return None;
            }
        }
        self.write_on(writer, written)
    }

    /// Writes what there is, at most a [`QUANTUM`] of it, and puts the writer back if that was all that
    /// can go now.
    fn write_on(&self, mut writer: Box<Writer>, mut result: io::Result<()>) -> Option<Blocked> {
        let mut quantum = QUANTUM;
        loop {
            let full = match result {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                Err(error) => {
                    self.fail(error);
                    return None;
                }
            };
            let mut state = self.lock();
            if !state.corked {
                writer.take_over(&mut state.waiting);
            }
            if let Some(doorbell) = &self.doorbell {
                let cancelling = writer.outgoing.is_cancelling() || state.waiting.is_cancelling();
                state.ringing.note_write(doorbell, full, cancelling);
            }
            state.sending = writer.outgoing.bulk_bytes();
            if self.crowded.load(Ordering::Relaxed) && !self.note_crowd(&state) {
                state.wake_room();
            }
            // Where senders hold back, this side may not read either.
            let crowded = self.crowded.load(Ordering::Relaxed);
            let paced =
                self.reading.load(Ordering::Relaxed) && state.ending == Ending::Open && !crowded;
            writer.outgoing.set_pace(paced, state.answered);
            if writer.outgoing.is_at_rest() {
                if state.ending == Ending::Open {
                    self.waits.store(!writer.outgoing.is_empty(), Ordering::Relaxed);
                    state.writer = Some(writer);
                } else {
                    state.ending = Ending::Closed;
                }
                return None;
            }
            drop(state);
            if full || quantum == 0 {
                return Some(Blocked { writer, full });
            }
            result = writer.write_once().map(|count| quantum = quantum.saturating_sub(count));
        }
    }

    /// Whether the server is rung for a cancellation that is not written yet.
    pub(crate) fn rings(&self) -> bool {
        self.lock().ringing.is_under_way()
    }

    #[cold]
    fn fail(&self, error: io::Error) {
        let mut state = self.lock();
        state.broken = Some(Arc::new(error));
        self.failed.store(true, Ordering::Relaxed);
        state.waiting = Outgoing::new(usize::MAX);
        state.wake_room();
    }

    /// Whether senders should hold back; if so, `waker` is woken when they need no longer.
    pub(crate) fn is_full(&self, waker: &Waker) -> bool {
        if !self.crowded.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.lock();
        if !self.note_crowd(&state) || state.broken.is_some() {
            return false;
        }
        if !state.room.iter().any(|other| other.will_wake(waker)) {
            state.room.push(waker.clone());
        }
        true
    }

    /// Wakes those that hold back, whether or not they still have to.
    pub(crate) fn wake_senders(&self) {
        self.lock().wake_room();
    }

    /// The same for whoever looks again by itself.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    fn note_crowd(&self, state: &State) -> bool {
        let crowded = state.waiting.queued() >= self.queued_limit
            || state.waiting.bulk_bytes() + state.sending >= self.bulk_limit;
        self.crowded.store(crowded, Ordering::Relaxed);
        crowded
    }

    /// Whether all that was sent is written, as far as it can be.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        let has_written = |writer: &Writer| writer.outgoing.is_empty() && state.waiting.is_empty();
        state.broken.is_some() || state.writer.as_deref().is_some_and(has_written)
    }

    /// Whether writing has failed: a cheap question for senders, who then see to it that someone looks
    /// at [`broken`](Self::broken).
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why nothing more can be written, if so.
    pub(crate) fn broken(&self) -> Option<Arc<io::Error>> {
        self.lock().broken.clone()
    }

    /// Sends a last frame and closes the direction, now or as soon as what waits is written.
    pub(crate) fn close(&self, last: &[u8]) -> Option<Blocked> {
        let mut state = self.lock();
        if state.broken.is_some() || state.ending != Ending::Open {
            return None;
        }
        state.corked = false;
        state.waiting.accept(Message::Urgent(last));
        state.ending = Ending::Closing;
        let writer = state.writer.take()?;
        drop(state);
        self.write_on(writer, Ok(()))
    }
}
