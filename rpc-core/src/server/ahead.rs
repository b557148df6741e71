//! What a server has read while it could not handle it, in order: for a thread that runs a handler, and for a task that
//! holds back. Cancellations are obeyed at once, the rest is kept for later, within bounds.

use std::collections::{BTreeMap, VecDeque};
use std::mem::size_of;

use crate::limits::Limits;
use crate::protocol::incoming::Event;
use crate::server::end::{End, broken};
use crate::server::session::{Arrival, Session};
use crate::wire::frame::{self, Header};
use crate::wire::payload::Received;

/// Bytes that small things may take: more than what a client's calls without a reply, of which it may have any number,
/// fill on their way and with its own queue, so that a cancellation behind them is reached.
const SMALL: usize = 16 << 20;

/// Bytes that one of them takes beside those of its arguments.
const EACH: usize = size_of::<Kept>() + size_of::<Received>();

/// Something that came, and is to be dealt with later.
pub(super) enum Kept {
    Call(Arrival<'static>),
    /// A call that was cancelled before it was started, and the bytes that it counts for until then.
    Withdrawn {
        id: u64,
        oneway: bool,
        bytes: usize,
    },
    /// A part of a stream whose call waits, too.
    Stream(Header, Vec<u8>),
    /// A ping, or the answer to one.
    Ping(Header),
    Goodbye,
    /// All has come that will.
    End,
    Failed(End),
}

/// What is kept of one connection.
pub(super) struct Ahead {
    kept: VecDeque<Kept>,
    /// Things that were taken out.
    taken: u64,
    /// Calls that may be cancelled, by their ids: how many things came before each.
    calls: BTreeMap<u64, u64>,
    /// Of arguments.
    bytes: usize,
    /// Things that are kept at most, unless they are small, and bytes of arguments.
    most: usize,
    most_bytes: usize,
    over: bool,
}

impl Ahead {
    /// For as much as the client may have in flight.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            kept: VecDeque::new(),
            taken: 0,
            calls: BTreeMap::new(),
            bytes: 0,
            most: limits.calls_in_flight as usize,
            most_bytes: limits.held_bytes,
            over: false,
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_full(&self) -> bool {
        let small = self.bytes + self.kept.len() * EACH < SMALL;
        self.bytes >= self.most_bytes || (self.kept.len() >= self.most && !small)
    }

    /// Deals with an event, or keeps it: what belongs to a stream of a running call is the session's. `cancel` is asked
    /// to stop a call, and says whether it is running.
    ///
    /// # Errors
    /// A violation.
    pub(super) fn keep(
        &mut self,
        event: Event<'_>,
        session: &Session,
        cancel: impl FnOnce(u64) -> bool,
    ) -> Result<(), End> {
        let kept = match event {
            Event::Call(call) => {
                let call = Arrival::kept(call).waiting();
                self.bytes += call.bytes();
                if !call.oneway {
                    self.calls.insert(call.id, self.taken + self.kept.len() as u64);
                }
                Kept::Call(call)
            }
            Event::Frame { header, body } => match header.kind {
                frame::Kind::Cancel => {
                    if !cancel(header.id) {
                        self.withdraw(header.id);
                    }
                    return Ok(());
                }
                frame::Kind::Ping => Kept::Ping(header),
                frame::Kind::Goodbye => Kept::Goodbye,
                frame::Kind::Data if self.calls.contains_key(&header.id) => {
                    self.bytes += body.len();
                    Kept::Stream(header, body.to_vec())
                }
                _ => return session.on_stream(&header, body),
            },
            Event::Withdrawn { id, oneway } => Kept::Withdrawn { id, oneway, bytes: 0 },
            Event::Reply { id, .. } => {
                return Err(broken(format!("a reply to {id}, which nobody called")));
            }
            Event::Preface => return Ok(()),
        };
        self.kept.push_back(kept);
        Ok(())
    }

    /// All has come that will, and ends so.
    pub(super) fn end(&mut self, how: Kept) {
        self.over = true;
        self.kept.push_back(how);
    }

    /// Whether it has.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// A call that waits is not to be started.
    fn withdraw(&mut self, id: u64) {
        let place = self.calls.remove(&id).map(|place| (place - self.taken) as usize);
        if let Some(kept) = place.and_then(|place| self.kept.get_mut(place))
            && let Kept::Call(call) = kept
        {
            let bytes = call.bytes();
            *kept = Kept::Withdrawn { id, oneway: false, bytes };
        }
    }

    /// What came first.
    pub(super) fn next(&mut self) -> Option<Kept> {
        let kept = self.kept.pop_front()?;
        self.taken += 1;
        self.bytes -= match &kept {
            Kept::Call(call) => {
                self.calls.remove(&call.id);
                call.bytes()
            }
            Kept::Withdrawn { bytes, .. } => *bytes,
            Kept::Stream(_, body) => body.len(),
            _ => 0,
        };
        Some(kept)
    }
}
