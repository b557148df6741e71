//! A connection after the handshake: what has come is handled in order, and answered in batches.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::common::Common;
use super::greet::finish_writing;
use super::handling::handle_call;
use crate::cancel::CancelCause;
use crate::connection::greeting::{Reason, goodbye};
use crate::connection::outbox::{Blocked, Message};
use crate::connection::source::{Filled, cut_off, ended, stalled, violated};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::incoming::Event;
use crate::server::ahead::Kept;
use crate::server::end::{End, broken, lost};
use crate::server::session::{Arrival, MOVED, cancelled};
use crate::server::{BATCH, LINGER};
use crate::wait::thread::{Ready, ThreadSource, wait_beside};
use crate::wire::frame::{self, ANSWER, Header};

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was read or written, or is to be done.
    Moved,
    /// There was nothing to do.
    Idle,
    /// The connection has ended in order.
    Over,
}

pub(super) struct Connection {
    common: Common,
    /// `None` only while a handler runs.
    source: Option<Box<ThreadSource>>,
    /// Whether something may have come while a handler was running.
    behind: bool,
    /// Replies to what was read last, to go in one write.
    batch: Vec<u8>,
    blocked: Option<Blocked>,
    /// Whether something may have come that is not handled yet, behind the client's `Hello` at first.
    unhandled: bool,
    /// Whether more may be there than was read.
    unread: bool,
    /// Whether all has come that will.
    ended: bool,
    /// Whether the client has said goodbye.
    farewell: bool,
    /// Turns since the last whole one.
    dry: u32,
}

/// Turns in which nothing had come, after which the rest is looked at as well.
const DRY: u32 = 64;

impl Connection {
    /// One whose handshake is done.
    pub(super) fn new(common: Common, source: Box<ThreadSource>) -> Self {
        Self {
            common,
            source: Some(source),
            behind: false,
            batch: Vec::new(),
            blocked: None,
            unhandled: true,
            unread: false,
            ended: false,
            farewell: false,
            dry: 0,
        }
    }

    /// Serves to the end, sleeping where there is nothing to do.
    pub(super) fn run(&mut self, stop: &UnixStream) -> Result<(), End> {
        loop {
            let streaming = self.common.streaming.get().cloned();
            let runs = streaming.as_ref().is_some_and(|streaming| !streaming.is_idle());
            let goes_on = runs && self.common.shared.is_draining();
            let bell = streaming.as_ref().map(|streaming| streaming.bell());
            let sleep = |source: Option<&mut _>, blocked: Option<&mut _>, patience| {
                // What is answered is written before it is time to stop, and what has streams ends.
                let stops = blocked.is_none() && !goes_on;
                wait_beside(source, blocked, [stops.then(|| stop.as_fd()), bell], patience)
            };
            if self.turn(sleep)? == Turn::Over {
                return Ok(());
            }
        }
    }

    /// Does what there is to do without waiting for anything.
    #[inline]
    pub(super) fn poll(&mut self) -> Result<Turn, End> {
        self.dry += 1;
        let rests = !self.unhandled && !self.unread && !self.ended && self.blocked.is_none();
        if self.dry < DRY
            && rests
            && self.source.as_mut().is_some_and(|source| source.source.half.is_dry())
        {
            return Ok(Turn::Idle);
        }
        self.dry = 0;
        self.turn(|source, blocked, _| {
            Ok(Ready { read: source.is_some(), write: blocked.is_some(), other: false })
        })
    }

    /// Does one step. `wait` is asked when there is nothing to do but to wait for what is given it, for as
    /// long as is given.
    #[inline]
    fn turn(
        &mut self,
        wait: impl FnOnce(
            Option<&mut ThreadSource>,
            Option<&mut Blocked>,
            Option<Duration>,
        ) -> io::Result<Ready>,
    ) -> Result<Turn, End> {
        let mut expires = None;
        if let Some(streaming) = self.common.streaming.get() {
            expires = streaming.expire();
            self.blocked = self.blocked.take().or_else(|| streaming.take_blocked());
        }
        // As long as the peer leaves too many of its answers, nothing more is taken from it.
        let crowded = self.common.session.outbox.is_crowded();
        if self.unhandled && !crowded {
            self.handle()?;
            return Ok(Turn::Moved);
        }
        if self.ended && !self.unhandled {
            return self.end().map(|()| Turn::Over);
        }
        // Looked at again afterwards, so that the peer has all the time there is from then on.
        self.unhandled |= crowded;
        let ready = if self.unread && !crowded && self.blocked.is_none() {
            Ready { read: true, ..Ready::default() }
        } else {
            let progress = self.common.session.limits.progress;
            let reading = if crowded { None } else { self.source.as_deref_mut() };
            let patience = reading.as_ref().and_then(|source| source.patience(progress));
            if patience.is_some_and(|patience| patience.is_zero()) {
                return Err((Reason::Stalled, stalled(progress)));
            }
            let patience = patience.into_iter().chain(expires).min();
            wait(reading, self.blocked.as_mut(), patience).map_err(lost)?
        };
        if ready.other
            && let Some(streaming) = self.common.streaming.get()
        {
            streaming.silence();
        }
        let mut turn = Turn::Idle;
        if ready.write
            && let Some(blocked) = self.blocked.take()
        {
            self.blocked = self.common.session.outbox.resume(blocked);
            turn = if self.is_full() { turn } else { Turn::Moved };
        }
        if ready.read && self.read()? {
            turn = Turn::Moved;
        }
        if self.common.session.outbox.has_failed()
            && let Some(error) = self.common.session.outbox.broken()
        {
            return Err((Reason::Done, ended(error)));
        }
        // One that never sleeps is not told by its descriptors.
        if self.common.shared.is_draining() && self.blocked.is_none() && !self.goes_on() {
            self.stop()?;
        }
        Ok(turn)
    }

    /// Whether calls with streams have still to end before the connection may.
    fn goes_on(&self) -> bool {
        let streaming = self.common.streaming.get();
        streaming.is_some_and(|streaming| !streaming.is_idle() || streaming.has_blocked())
    }

    fn is_full(&self) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.full)
    }

    /// How it ends when all has come that will.
    fn end(&self) -> Result<(), End> {
        let midway = self.source.as_ref().is_some_and(|source| source.source.incoming.is_midway());
        let how = if midway {
            Err(cut_off())
        } else {
            self.common.session.closed_by_client(self.farewell)
        };
        how.map_err(|error| (Reason::Done, error))
    }

    /// Ends because the server does, if nothing waits for the client to read.
    fn stop(&mut self) -> Result<(), End> {
        if self.common.session.outbox.waits() {
            self.blocked = self.common.session.outbox.stop_reading();
            return Ok(());
        }
        let kind = ErrorKind::Refused { reason: "the server has stopped".to_owned() };
        Err((Reason::ShuttingDown, RpcError::not_executed(kind)))
    }

    /// Reads once what has come, and answers it. `false` if nothing has.
    #[inline]
    fn read(&mut self) -> Result<bool, End> {
        let filled = self.source()?.fill().map_err(lost)?;
        self.unread = filled == Filled::More;
        if filled == Filled::Nothing {
            return Ok(false);
        }
        self.ended = filled == Filled::End;
        self.handle()?;
        Ok(true)
    }

    /// Handles what was read, and answers it in one write.
    fn handle(&mut self) -> Result<(), End> {
        let handled = self.handle_all();
        let blocked = if self.batch.is_empty() {
            self.common.session.outbox.flush()
        } else {
            let blocked = match Arc::get_mut(&mut self.common.session) {
                Some(session) => session.outbox.send_alone(&self.batch),
                None => self.common.session.outbox.send(Message::Small(&self.batch)),
            };
            self.batch.clear();
            blocked
        };
        self.unhandled = !handled?;
        self.source()?.note_progress();
        if blocked.is_some() {
            self.blocked = blocked;
        }
        Ok(())
    }

    /// Handles what has come; `false` if that was stopped because too much waits to be written.
    fn handle_all(&mut self) -> Result<bool, End> {
        loop {
            if self.batch.len() > BATCH || self.common.session.outbox.is_crowded() {
                return Ok(false);
            }
            if self.behind {
                match self.common.watched.next_kept() {
                    Some(kept) => self.handle_kept(kept)?,
                    None => self.behind = false,
                }
                continue;
            }
            let Some(source) = &mut self.source else { return Err(missing()) };
            let event = match source.source.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(true),
                Err(violation) => return Err((Reason::Violation, violated(&violation))),
            };
            match event {
                Event::Call(call) if self.common.session.is_inline(call.method) => {
                    self.common.check_id(call.id, call.oneway)?;
                    let call = Arrival::borrowed(call);
                    handle_call(&self.common, &mut None, call, &mut self.batch);
                }
                Event::Call(call) => {
                    // The reading side may be lent while it is handled.
                    let mut place = [0; MOVED];
                    let call = Arrival::moved(call, &mut place);
                    self.handle_call(call)?;
                }
                Event::Frame { header, body } => match header.kind {
                    frame::Kind::Ping => self.handle_ping(header),
                    frame::Kind::Cancel => self.common.cancel(header.id),
                    frame::Kind::Goodbye => self.farewell = true,
                    _ => self.common.session.on_stream(&header, body)?,
                },
                Event::Withdrawn { oneway: true, .. } => {}
                Event::Withdrawn { id, .. } => {
                    self.common.session.batch(id, cancelled(0), &mut self.batch);
                }
                Event::Reply { id, .. } => {
                    return Err(broken(format!("a reply to {id}, which nobody called")));
                }
                Event::Preface => {}
            }
        }
    }

    #[inline(always)]
    fn handle_call(&mut self, call: Arrival<'_>) -> Result<(), End> {
        self.common.check_id(call.id, call.oneway)?;
        let (source, batch) = (&mut self.source, &mut self.batch);
        self.behind |= handle_call(&self.common, source, call, batch);
        Ok(())
    }

    #[cold]
    fn handle_late_call(&mut self, call: Arrival<'_>) -> Result<(), End> {
        self.handle_call(call)
    }

    fn handle_ping(&mut self, header: Header) {
        if header.flags & ANSWER == 0 {
            let answer = Header { flags: ANSWER, length: 0, ..header };
            self.common.session.outbox.queue(Message::Urgent(&answer.to_bytes()));
        } else {
            let blocked = self.common.session.outbox.answered(header.id);
            self.blocked = blocked.or_else(|| self.blocked.take());
        }
    }

    /// Deals with what came while a handler was running.
    fn handle_kept(&mut self, kept: Kept) -> Result<(), End> {
        match kept {
            Kept::Call(call) => self.handle_late_call(call)?,
            Kept::Withdrawn { oneway: true, .. } => {}
            Kept::Withdrawn { id, .. } => {
                self.common.session.batch(id, cancelled(0), &mut self.batch)
            }
            Kept::Stream(header, body) => self.common.session.on_stream(&header, &body)?,
            Kept::Ping(header) => self.handle_ping(header),
            Kept::Goodbye => self.farewell = true,
            Kept::End => self.ended = true,
            Kept::Failed(end) => return Err(end),
        }
        Ok(())
    }

    #[inline]
    fn source(&mut self) -> Result<&mut ThreadSource, End> {
        self.source.as_deref_mut().ok_or_else(missing)
    }

    /// Tells the client why, as far as it listens.
    pub(super) fn say_goodbye(&mut self, reason: Reason, text: &str) {
        let outbox = &self.common.session.outbox;
        let until = Instant::now() + LINGER;
        let blocked = self.blocked.take().or_else(|| outbox.close(&goodbye(reason, text)));
        finish_writing(outbox, blocked, until);
        if let Some(source) = &mut self.source {
            source.discard(until);
        }
    }
}

/// The calls of a client that is gone are cancelled.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(streaming) = self.common.streaming.get() {
            let closing = self.common.shared.is_draining();
            let cause = if closing { CancelCause::Closing } else { CancelCause::PeerGone };
            streaming.cancel_all(cause);
        }
    }
}

/// What was lent to a handler has not come back, which [`handle_call`] rules out.
#[cold]
fn missing() -> End {
    lost(io::Error::other("the reading side is lost"))
}
