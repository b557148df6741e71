//! The caller's side of a connection: which calls are unanswered, and who waits for them.
//!
//! Sans-IO: no socket, no clock, no runtime; time is an argument. The state of a call decides what
//! happens to it:
//!
//! ```text
//! begin -> Waiting -- answer --> Answered -- poll --> free
//!             | abandon, cancel_all            (abandon frees it too)
//!             v
//!          Abandoned -- answer (dropped, counted as late) --> free
//! ```
//!
//! An abandoned call keeps its place until the server has answered, because until then its handler may
//! run: the server's count of calls in flight and ours stay the same. Ids only grow, so that one number says which
//! calls were cancelled all at once: who asks for one of them learns it, whatever has become of its place.

mod ending;

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use crate::error::{ErrorKind, Outcome, RpcError};
use crate::protocol::incoming::Payload;
use crate::wire::payload::Received;

/// A call's id on its connection: a number that only grows, and the slot that it waits in. Never used
/// twice.
const SLOT_BITS: u32 = 16;

/// The most calls that one connection can have in flight, whatever the limits say.
pub const MOST: u32 = (1 << SLOT_BITS) - 1;

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status of the reply.
    pub status: u16,
    /// Its payload.
    pub payload: Received,
}

/// How a call ended, and someone else to be woken when the table is unlocked.
pub type Taken = (Result<Answer, RpcError>, Option<Waker>);

/// What became of a reply.
#[derive(Debug)]
pub enum Answered {
    /// It is here for whoever waits for it; both are to be woken when the table is unlocked.
    Awaited {
        /// The one who waits for the answer.
        waiter: Option<Waker>,
        /// The one who waits for room.
        next: Option<Waker>,
    },
    /// Its call was given up before; whoever waits for room is to be woken.
    Late(Option<Waker>),
    /// No such call is unanswered.
    Unknown,
}

/// The table of unanswered calls.
#[derive(Debug)]
pub struct Calls {
    slots: Vec<Slot>,
    free: Vec<u16>,
    sequence: u64,
    limit: usize,
    unanswered: usize,
    /// Bytes of arguments of unanswered calls that had to be fragmented, and the most there may be.
    held: usize,
    held_limit: usize,
    /// The next deadline that someone has to watch for. May be that of a call already answered.
    earliest: Option<Instant>,
    /// Those who wait for room, the first come first: by ascending ticket.
    line: VecDeque<InLine>,
    tickets: u64,
    closed: Option<RpcError>,
    late: u64,
    /// The last of the calls that were cancelled all at once, and how often that was done.
    cancelled: u64,
    cancellations: u64,
}

/// A place in the line of those who wait for room. Whoever has one gives it back to
/// [`leave_line`](Calls::leave_line), whether its turn came or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug)]
struct InLine {
    ticket: Ticket,
    /// Of its large arguments.
    bytes: usize,
    waker: Waker,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    deadline: Option<Instant>,
    /// Of the call's arguments, as far as they count as held.
    bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Free,
    Waiting(Option<Waker>),
    Answered(Answer),
    Abandoned,
}

/// Why a call cannot begin.
#[derive(Debug)]
pub enum NotBegun {
    /// As many calls as may be are unanswered.
    Full,
    /// The connection has ended.
    Closed(RpcError),
}

impl Calls {
    /// A table for at most `limit` calls in flight, with large arguments of together at most
    /// `held_limit` bytes, or one larger than that alone.
    pub fn new(limit: u32, held_limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            limit: limit.min(MOST) as usize,
            unanswered: 0,
            held: 0,
            held_limit,
            earliest: None,
            line: VecDeque::new(),
            tickets: 0,
            closed: None,
            late: 0,
            cancelled: 0,
            cancellations: 0,
        }
    }

    /// Begins a call with large arguments of `bytes` (0 for small ones) and gives its id. Every id that
    /// is given must come to [`poll`](Self::poll) giving an answer, to [`abandon`](Self::abandon), or to
    /// [`forget`](Self::forget).
    ///
    /// # Errors
    /// [`NotBegun`].
    #[inline]
    pub fn begin(&mut self, deadline: Option<Instant>, bytes: usize) -> Result<u64, NotBegun> {
        if let Some(error) = &self.closed {
            return Err(NotBegun::Closed(error.clone()));
        }
        if !self.has_room(bytes) {
            return Err(NotBegun::Full);
        }
        self.unanswered += 1;
        self.held += bytes;
        self.sequence += 1;
        let place = self.free.pop().unwrap_or(self.slots.len() as u16);
        let id = self.sequence << SLOT_BITS | u64::from(place);
        let slot = Slot { id, deadline, bytes, state: State::Waiting(None) };
        match self.slots.get_mut(usize::from(place)) {
            Some(old) => *old = slot,
            None => self.slots.push(slot),
        }
        Ok(id)
    }

    /// Gets in line, or stays there, to be woken when there may be room for `bytes`. A place in line is
    /// kept until it is left, so that whoever finds the room taken again goes before those behind. Gives
    /// one for whom there is room nevertheless: to be woken, as the turn was not taken.
    #[must_use = "nobody else will wake the next"]
    pub fn wait_in_line(
        &mut self,
        place: &mut Option<Ticket>,
        waker: &Waker,
        bytes: usize,
    ) -> Option<Waker> {
        let ticket = *place.get_or_insert_with(|| {
            self.tickets += 1;
            Ticket(self.tickets)
        });
        match self.line.binary_search_by_key(&ticket, |other| other.ticket) {
            Ok(index) => self.line[index].waker.clone_from(waker),
            Err(index) => {
                self.line.insert(index, InLine { ticket, bytes, waker: waker.clone() });
            }
        }
        self.next_in_line()
    }

    /// Leaves the line, because its call has begun or because it has gone: whoever is next gets its
    /// turn.
    pub fn leave_line(&mut self, ticket: Ticket) -> Option<Waker> {
        if let Ok(index) = self.line.binary_search_by_key(&ticket, |other| other.ticket) {
            self.line.remove(index);
        }
        self.next_in_line()
    }

    /// Takes in a reply.
    #[inline]
    pub fn answer(&mut self, id: u64, status: u16, payload: Payload<'_>) -> Answered {
        let Some(slot) = self.slot(id) else { return Answered::Unknown };
        match &mut slot.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                slot.state = State::Answered(Answer { status, payload: owned(payload) });
                self.held -= std::mem::take(&mut slot.bytes);
                self.unanswered -= 1;
                Answered::Awaited { waiter: waker, next: self.next_in_line() }
            }
            State::Abandoned => {
                self.held -= std::mem::take(&mut slot.bytes);
                self.late += 1;
                self.unanswered -= 1;
                self.release(id);
                Answered::Late(self.next_in_line())
            }
            State::Free | State::Answered(_) => Answered::Unknown,
        }
    }

    /// Takes in the reply that whoever reads waits for, which gets it at once; or its error, if meanwhile all calls
    /// were cancelled. `None` if it is not waited for.
    #[inline]
    pub fn finish(&mut self, id: u64, status: u16, payload: Payload<'_>) -> Option<Taken> {
        let slot = self.slot(id)?;
        let is_wanted = match slot.state {
            State::Waiting(_) => true,
            State::Abandoned => false,
            State::Free | State::Answered(_) => return None,
        };
        let bytes = std::mem::take(&mut slot.bytes);
        self.held -= bytes;
        self.unanswered -= 1;
        self.release(id);
        let result = if is_wanted {
            Ok(Answer { status, payload: owned(payload) })
        } else {
            self.late += 1;
            Err(cancelled())
        };
        Some((result, self.next_in_line()))
    }

    /// The answer, if it is here, and someone else to be woken; else `waker` is remembered. An answer
    /// that came before the connection ended, or before all calls were cancelled, is still given out.
    #[inline]
    pub fn poll(&mut self, id: u64, waker: &Waker) -> Option<Taken> {
        let taken = self.look(id);
        if taken.is_none()
            && let Some(Slot { state: State::Waiting(remembered), .. }) = self.slot(id)
            && !remembered.as_ref().is_some_and(|old| old.will_wake(waker))
        {
            *remembered = Some(waker.clone());
        }
        taken
    }

    /// Remembers who is to be woken by the answer to a call that has just begun.
    #[inline]
    pub fn remember(&mut self, id: u64, waker: &Waker) {
        if let Some(Slot { state: State::Waiting(remembered), .. }) = self.slot(id) {
            *remembered = Some(waker.clone());
        }
    }

    /// The same as [`poll`](Self::poll) for whoever need not be woken.
    #[inline]
    pub fn take(&mut self, id: u64) -> Option<Taken> {
        let taken = self.look(id);
        if taken.is_none()
            && let Some(Slot { state: State::Waiting(remembered), .. }) = self.slot(id)
        {
            // It may have had to be before, and would be asked in vain.
            *remembered = None;
        }
        taken
    }

    #[inline]
    fn look(&mut self, id: u64) -> Option<Taken> {
        let closed = self.closed.is_some();
        let Some(slot) = self.slot(id) else { return self.look_cancelled(id) };
        match slot.state {
            State::Answered(_) => {
                let state = std::mem::replace(&mut slot.state, State::Free);
                let next = self.release_answered(id);
                if let State::Answered(answer) = state { Some((Ok(answer), next)) } else { None }
            }
            State::Waiting(_) if closed => {
                self.release(id);
                let error = self.closed.clone()?;
                Some((Err(error.with_outcome(Outcome::MaybeExecuted)), None))
            }
            State::Waiting(_) => None,
            State::Free | State::Abandoned => self.look_cancelled(id),
        }
    }

    /// There is no answer, and there will be none.
    #[cold]
    fn look_cancelled(&self, id: u64) -> Option<Taken> {
        (id <= self.cancelled).then(|| (Err(cancelled()), None))
    }

    /// Watches for this deadline; `true` if no earlier one was watched for, so that a timer has to be
    /// set anew.
    #[inline]
    pub fn watch(&mut self, deadline: Instant) -> bool {
        let earlier = self.earliest.is_none_or(|earliest| deadline < earliest);
        if earlier {
            self.earliest = Some(deadline);
        }
        earlier
    }

    /// The next deadline to watch for.
    pub fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// Collects those whose deadline has come, and says when the next one does.
    pub fn expired(&mut self, now: Instant, wakers: &mut Vec<Waker>) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for slot in &mut self.slots {
            let (Some(deadline), State::Waiting(waker)) = (slot.deadline, &mut slot.state) else {
                continue;
            };
            if deadline <= now {
                wakers.extend(waker.take());
            } else {
                next = Some(next.map_or(deadline, |other| other.min(deadline)));
            }
        }
        self.earliest = next;
        next
    }

    /// Calls that the server has not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Answers that came after their call was given up.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Someone who waits, to be asked to read in place of whoever did: for an answer, or else for room,
    /// which only an answer makes.
    pub fn any_waiting(&mut self) -> Option<Waker> {
        let waiting = self.slots.iter().find_map(|slot| match &slot.state {
            State::Waiting(Some(waker)) => Some(waker),
            _ => None,
        });
        waiting.or_else(|| self.line.front().map(|waiting| &waiting.waker)).cloned()
    }

    #[inline]
    fn has_room(&self, bytes: usize) -> bool {
        self.unanswered < self.limit
            && (bytes == 0 || self.held == 0 || self.held + bytes <= self.held_limit)
            && !self.is_out_of_slots()
    }

    /// Whether so many answers wait to be looked at that no further call can be told from them.
    #[inline]
    fn is_out_of_slots(&self) -> bool {
        self.free.is_empty() && self.slots.len() > usize::from(u16::MAX)
    }

    /// Takes the first for whom there is room out of the line.
    #[inline]
    fn next_in_line(&mut self) -> Option<Waker> {
        if self.line.is_empty() || !self.has_room(0) {
            return None;
        }
        let index = self.line.iter().position(|waiting| self.has_room(waiting.bytes))?;
        self.line.remove(index).map(|waiting| waiting.waker)
    }

    #[inline]
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let place = (id & ((1 << SLOT_BITS) - 1)) as usize;
        self.slots.get_mut(place).filter(|slot| slot.id == id)
    }

    #[inline]
    fn release(&mut self, id: u64) {
        let place = (id & ((1 << SLOT_BITS) - 1)) as u16;
        self.slots[usize::from(place)].state = State::Free;
        self.free.push(place);
    }

    /// Frees a slot that no longer counted against the limit, and gives who waited for just that.
    #[inline]
    fn release_answered(&mut self, id: u64) -> Option<Waker> {
        let was_out_of_slots = self.is_out_of_slots();
        self.release(id);
        if was_out_of_slots { self.next_in_line() } else { None }
    }
}

/// The error of a call that was sent and then cancelled.
#[cold]
fn cancelled() -> RpcError {
    RpcError::new(ErrorKind::Cancelled, Outcome::MaybeExecuted)
}

#[inline]
fn owned(payload: Payload<'_>) -> Received {
    match payload {
        Payload::Owned(received) => *received,
        Payload::Borrowed(bytes) => Received::copy_of(bytes),
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "calls_cancel_tests.rs"]
mod cancel_tests;

#[cfg(test)]
#[path = "calls_model_tests.rs"]
mod model_tests;

#[cfg(test)]
#[path = "calls_line_tests.rs"]
mod line_tests;
