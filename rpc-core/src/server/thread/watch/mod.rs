//! Reading for connections whose threads are busy with a handler: a cancellation, the end of the client or that of the
//! call's time are told to the handler, and what else comes is kept.
//!
//! One thread does that for all connections of the process. A handler that ends soon is never looked at: at every
//! tick ([`watcher`]) the watch begins to read for those that were running at the last one already. It is there as long as there
//! are connections whose handlers last, and some time beyond.

mod watcher;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use self::watcher::Watch;
use super::connection::{End, broken, lost};
use super::streaming::Streaming;
use crate::cancel::{CancelCause, CancelToken};
use crate::connection::greeting::Reason;
use crate::connection::source::{Filled, violated};
use crate::limits::Limits;
use crate::protocol::incoming::Event;
use crate::server::session::{Arrival, Session};
use crate::wait::thread::ThreadSource;
use crate::wire::frame::{self, Header};

/// What a connection's thread lends while its handler runs.
pub(super) struct Lent {
    pub(super) source: Box<ThreadSource>,
    /// The call, if it can be cancelled.
    pub(super) id: Option<u64>,
    /// What tells its handler.
    pub(super) token: CancelToken,
    pub(super) deadline: Option<Instant>,
    /// What comes of streams is theirs.
    pub(super) session: Arc<Session>,
    pub(super) streaming: Option<Arc<Streaming>>,
}

/// Something that came while a handler was running, and is to be dealt with afterwards.
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

/// A connection, as the watch sees it.
pub(super) struct Watched {
    state: Mutex<State>,
    /// Things, and bytes of them, that are kept at most.
    most: usize,
    most_bytes: usize,
    /// Its calls with streams, since there was the first.
    streaming: OnceLock<Weak<Streaming>>,
}

struct State {
    lent: Option<Lent>,
    /// Handlers that have run.
    rounds: u64,
    /// Whether the watch knows of this connection.
    known: bool,
    /// Whether the watch sleeps until something happens with what is lent, also that it is taken back.
    settled: bool,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    over: bool,
}

impl Watched {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let state = State {
            lent: None,
            rounds: 0,
            known: false,
            settled: false,
            kept: VecDeque::new(),
            kept_bytes: 0,
            over: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            most: limits.calls_in_flight as usize,
            most_bytes: limits.held_bytes,
            streaming: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what is lent looked after.
    pub(super) fn lend(self: &Arc<Self>, lent: Lent) {
        let mut state = self.state();
        state.rounds += 1;
        state.lent = Some(lent);
        if !state.known {
            state.known = true;
            drop(state);
            Watch::add(Arc::clone(self));
        }
    }

    /// There are calls with streams, too.
    pub(super) fn know(&self, streaming: &Arc<Streaming>) {
        let _ = self.streaming.set(Arc::downgrade(streaming));
    }

    /// Tells the handler that runs, if it asks, that the server ends.
    fn close(&self) {
        if let Some(streaming) = self.streaming.get().and_then(Weak::upgrade) {
            streaming.cancel_all(CancelCause::Closing);
        }
        if let Some(lent) = &self.state().lent {
            lent.token.cancel_because(CancelCause::Closing);
        }
    }

    /// The handler has ended.
    pub(super) fn take_back(&self) -> Option<Box<ThreadSource>> {
        let (lent, settled) = {
            let mut state = self.state();
            (state.lent.take(), std::mem::take(&mut state.settled))
        };
        if settled {
            // It has a descriptor of the connection, too, which must not outlive that.
            Watch::get().ring();
        }
        lent.map(|lent| lent.source)
    }

    /// What came first of what is kept.
    pub(super) fn next_kept(&self) -> Option<Kept> {
        let mut state = self.state();
        let kept = state.kept.pop_front();
        state.kept_bytes -= match &kept {
            Some(Kept::Call(call)) => call.bytes(),
            Some(Kept::Withdrawn { bytes, .. }) => *bytes,
            Some(Kept::Stream(_, body)) => body.len(),
            _ => 0,
        };
        kept
    }
}

/// The connections of a server, for its end.
#[derive(Clone, Default)]
pub(super) struct Roll(Arc<Mutex<Vec<Weak<Watched>>>>);

impl Roll {
    pub(super) fn add(&self, watched: &Arc<Watched>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(watched));
    }

    /// Cancels what still runs.
    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|watched| watched.close());
    }
}

impl State {
    fn is_full(&self, watched: &Watched) -> bool {
        self.kept.len() >= watched.most || self.kept_bytes >= watched.most_bytes
    }

    /// Reads what there is for one whose handler runs. Whether there may be more to come, for which to sleep.
    fn read(&mut self, watched: &Watched) -> bool {
        loop {
            if self.over || self.is_full(watched) {
                return false;
            }
            let Some(Lent { source, id, token, session, streaming, .. }) = &mut self.lent else {
                return false;
            };
            let source = &mut source.source;
            let running = Running { id: *id, token, session, streaming: streaming.as_deref() };
            match source.next_event() {
                Ok(Some(event)) => match keep(event, &running, &mut self.kept) {
                    Ok(bytes) => self.kept_bytes += bytes,
                    Err(end) => self.fail(end),
                },
                Ok(None) => match source.fill() {
                    Ok(Filled::Nothing) if source.half.arm() => return true,
                    Ok(Filled::End) => {
                        self.kept.push_back(Kept::End);
                        self.end();
                    }
                    Ok(_) => {}
                    Err(error) => self.fail(lost(error)),
                },
                Err(violation) => self.fail((Reason::Violation, violated(&violation))),
            }
        }
    }

    fn fail(&mut self, end: End) {
        self.kept.push_back(Kept::Failed(end));
        self.end();
    }

    /// Nobody waits for the answer any more.
    fn end(&mut self) {
        self.over = true;
        if let Some(Lent { id: Some(_), token, .. }) = &self.lent {
            token.cancel_because(CancelCause::PeerGone);
        }
    }
}

/// What runs while the watch reads.
struct Running<'a> {
    /// The call for which its connection's thread is busy.
    id: Option<u64>,
    token: &'a CancelToken,
    session: &'a Session,
    streaming: Option<&'a Streaming>,
}

/// Deals with an event for what runs, or keeps it; gives the bytes of what is kept.
fn keep(event: Event<'_>, running: &Running<'_>, kept: &mut VecDeque<Kept>) -> Result<usize, End> {
    let mut bytes = 0;
    kept.push_back(match event {
        Event::Call(call) => {
            let call = Arrival::kept(call).waiting();
            bytes = call.bytes();
            Kept::Call(call)
        }
        Event::Frame { header, body } => match header.kind {
            frame::Kind::Cancel => {
                if running.id == Some(header.id) {
                    running.token.cancel_because(CancelCause::Caller);
                } else {
                    withdraw(header.id, kept);
                    if let Some(streaming) = running.streaming {
                        streaming.cancel(header.id, CancelCause::Caller);
                    }
                }
                return Ok(0);
            }
            frame::Kind::Ping => Kept::Ping(header),
            frame::Kind::Goodbye => Kept::Goodbye,
            frame::Kind::Data if waits(header.id, kept) => {
                bytes = body.len();
                Kept::Stream(header, body.to_vec())
            }
            _ => {
                let heard = running.session.on_stream(&header, body);
                return heard.map(|()| 0).map_err(|error| (Reason::Violation, error));
            }
        },
        Event::Withdrawn { id, oneway } => Kept::Withdrawn { id, oneway, bytes: 0 },
        Event::Reply { id, .. } => {
            return Err(broken(format!("a reply to {id}, which nobody called")));
        }
        Event::Preface => return Ok(0),
    });
    Ok(bytes)
}

/// Whether a call with this id waits to be started.
fn waits(id: u64, kept: &VecDeque<Kept>) -> bool {
    kept.iter().any(|other| matches!(other, Kept::Call(call) if call.id == id && !call.oneway))
}

/// A call that waits is not to be started.
fn withdraw(id: u64, kept: &mut VecDeque<Kept>) {
    let is_it =
        |other: &&mut Kept| matches!(other, Kept::Call(call) if call.id == id && !call.oneway);
    if let Some(place) = kept.iter_mut().find(is_it)
        && let Kept::Call(call) = place
    {
        let bytes = call.bytes();
        *place = Kept::Withdrawn { id, oneway: false, bytes };
    }
}
