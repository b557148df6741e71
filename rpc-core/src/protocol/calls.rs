//! The caller's side of a connection: which calls are unanswered, and who waits for them.
//!
//! Sans-IO: no socket, no clock, no runtime; time is an argument. The state of a call decides what
//! happens to it:
//!
//! ```text
//! begin -> Waiting -- answer --> Answered -- poll --> free
//!             | abandon                        (abandon frees it too)
//!             v
//!          Abandoned -- answer (dropped, counted as late) --> free
//! ```
//!
//! An abandoned call keeps its place until the server has answered, because until then its handler may
//! run: the server's count of calls in flight and ours stay the same.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use crate::error::{Outcome, RpcError};
use crate::protocol::incoming::Payload;
use crate::wire::scratch;

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
    pub payload: Vec<u8>,
}

/// What became of a reply.
#[derive(Debug)]
pub enum Answered {
    /// Someone waits for it; to be woken when the table is unlocked.
    Awaited(Option<Waker>),
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
    /// Those who wait for a slot, the first come first.
    room: VecDeque<Waker>,
    closed: Option<RpcError>,
    late: u64,
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
            room: VecDeque::new(),
            closed: None,
            late: 0,
        }
    }

    /// Begins a call with large arguments of `bytes` (0 for small ones) and gives its id. Every id that is given must come to [`poll`](Self::poll) giving
    /// an answer, or to [`abandon`](Self::abandon).
    ///
    /// # Errors
    /// [`NotBegun`].
    #[inline]
    pub fn begin(&mut self, deadline: Option<Instant>, bytes: usize) -> Result<u64, NotBegun> {
        if let Some(error) = &self.closed {
            return Err(NotBegun::Closed(error.clone()));
        }
        let too_much = bytes > 0 && self.held > 0 && self.held + bytes > self.held_limit;
        if self.unanswered >= self.limit || too_much {
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

    /// Remembers someone to be woken when a slot is free.
    pub fn wait_for_room(&mut self, waker: &Waker) {
        if !self.room.iter().any(|other| other.will_wake(waker)) {
            self.room.push_back(waker.clone());
        }
    }

    /// Says that someone who was in line for room has gone: whoever is next gets its turn.
    pub fn leave_room(&mut self, waker: &Waker) -> Option<Waker> {
        self.room.retain(|other| !other.will_wake(waker));
        if self.unanswered < self.limit { self.room.pop_front() } else { None }
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
                Answered::Awaited(waker)
            }
            State::Abandoned => {
                self.held -= std::mem::take(&mut slot.bytes);
                self.late += 1;
                self.unanswered -= 1;
                Answered::Late(self.release(id))
            }
            State::Free | State::Answered(_) => Answered::Unknown,
        }
    }

    /// The answer, if it is here, and someone else to be woken; else `waker` is remembered. An answer
    /// that came before the connection ended is still given out.
    #[inline]
    pub fn poll(
        &mut self,
        id: u64,
        waker: &Waker,
    ) -> Option<(Result<Answer, RpcError>, Option<Waker>)> {
        let closed = self.closed.is_some();
        let slot = self.slot(id)?;
        match &mut slot.state {
            State::Waiting(_) if closed => {
                let next = self.release(id);
                let error = self.closed.clone()?;
                Some((Err(error.with_outcome(Outcome::MaybeExecuted)), next))
            }
            State::Waiting(remembered) => {
                match remembered {
                    Some(old) if old.will_wake(waker) => {}
                    _ => *remembered = Some(waker.clone()),
                }
                None
            }
            _ => {
                let State::Answered(answer) = std::mem::replace(&mut slot.state, State::Free)
                else {
                    return None;
                };
                Some((Ok(answer), self.release(id)))
            }
        }
    }

    /// Gives up a call. `true` if the server is to be told; then its slot stays taken until the server
    /// answers.
    pub fn abandon(&mut self, id: u64) -> (bool, Option<Waker>) {
        let open = self.closed.is_none();
        let Some(slot) = self.slot(id) else { return (false, None) };
        if open && matches!(slot.state, State::Waiting(_)) {
            slot.state = State::Abandoned;
            return (true, None);
        }
        if matches!(slot.state, State::Answered(_)) {
            // Its answer came after all; nobody will look at it.
            self.late += 1;
        }
        (false, self.release(id))
    }

    /// Ends a call that needs no answer, or that was never sent.
    pub fn forget(&mut self, id: u64) -> Option<Waker> {
        let slot = self.slot(id).filter(|slot| matches!(slot.state, State::Waiting(_)))?;
        let bytes = std::mem::take(&mut slot.bytes);
        self.held -= bytes;
        self.unanswered -= 1;
        self.release(id)
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

    /// Ends all calls with this cause, and every later one. The first cause stays.
    pub fn close(&mut self, error: RpcError, wakers: &mut Vec<Waker>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(error);
        wakers.extend(self.room.drain(..));
        for slot in &mut self.slots {
            if let State::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
            }
        }
    }

    /// Why the connection ended, if it has.
    pub fn closed(&self) -> Option<&RpcError> {
        self.closed.as_ref()
    }

    /// Calls that the server has not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Answers that came after their call was given up.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Someone who waits for an answer, to be asked to read in place of whoever did.
    pub fn any_waiting(&mut self) -> Option<Waker> {
        self.slots.iter().find_map(|slot| match &slot.state {
            State::Waiting(Some(waker)) => Some(waker.clone()),
            _ => None,
        })
    }

    #[inline]
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let place = (id & ((1 << SLOT_BITS) - 1)) as usize;
        self.slots.get_mut(place).filter(|slot| slot.id == id)
    }

    /// Frees the slot of `id`, and gives who waits for one.
    #[inline]
    fn release(&mut self, id: u64) -> Option<Waker> {
        let place = (id & ((1 << SLOT_BITS) - 1)) as u16;
        self.slots[usize::from(place)].state = State::Free;
        self.free.push(place);
        self.room.pop_front()
    }
}

#[inline]
fn owned(payload: Payload<'_>) -> Vec<u8> {
    match payload {
        Payload::Owned(bytes) => bytes,
        Payload::Borrowed(bytes) => {
            let mut copy = scratch::take();
            copy.extend_from_slice(bytes);
            copy
        }
    }
}
