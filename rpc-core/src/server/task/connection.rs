//! One connection of a tokio server: reads what has come, starts the calls, answers them in one write.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

mod inner;
mod running;

use self::inner::Inner;
use super::{Alive, finish_writing};
use crate::cancel::CancelCause;
use crate::connection::greeting::{Reason, goodbye};
use crate::connection::outbox::Message;
use crate::connection::source::{Filled, cut_off, ended, stalled, violated};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::incoming::Event;
use crate::protocol::requests::Requests;
use crate::server::ahead::{Ahead, Kept};
use crate::server::end::{End, broken, lost};
use crate::server::session::{Arrival, Session, cancelled};
use crate::server::{LINGER, Shared};
use crate::wait::task::{Nudge, Nudged, TaskSource};
use crate::wire::frame;

/// Handlers that become tasks before other connections have their turn, and the tasks.
const STARTED: u32 = 8;

pub(super) struct Connection {
    inner: Arc<Inner>,
    source: TaskSource,
    /// Replies to what was read last, to go in one write.
    batch: Vec<u8>,
    /// Whether something may have come that is not handled yet, behind the client's `Hello` at first.
    unhandled: bool,
    /// What was read while it held back, and comes before what was not.
    ahead: Ahead,
    /// Whether there may be some of that.
    behind: bool,
    /// How often the doorbell had been rung when all that had come was read last.
    rings: u64,
    /// Handlers that have become tasks in this turn.
    started: u32,
    /// Whether all has come that will.
    ended: bool,
    /// Whether the client has said goodbye.
    farewell: bool,
    timer: Option<Pin<Box<Sleep>>>,
    stalled_at: Option<Instant>,
    nudged: Nudged,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        session: Session,
        source: TaskSource,
        nudge: Arc<Nudge>,
        alive: Alive,
    ) -> Self {
        let limits = &session.limits;
        let requests = Mutex::new(Requests::new(limits.calls_in_flight, limits.held_bytes));
        let (runtime, ahead) = (Handle::current(), Ahead::new(limits));
        let inner = Inner { shared, session, requests, nudge, runtime, _alive: alive };
        Self {
            inner: Arc::new(inner),
            source,
            batch: Vec::new(),
            unhandled: true,
            ahead,
            behind: false,
            rings: 0,
            started: 0,
            ended: false,
            farewell: false,
            timer: None,
            stalled_at: None,
            nudged: Nudged::default(),
        }
    }

    /// Serves. Ready when the connection has ended, `Ok` if in order.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.started = 0;
        loop {
            let read = self.poll_read(cx);
            self.flush();
            if let Poll::Ready(end) = read {
                return Poll::Ready(end);
            }
            if self.poll_stalled(cx).is_ready() {
                let progress = self.inner.session.limits.progress;
                return Poll::Ready(Err((Reason::Stalled, stalled(progress))));
            }
            if !self.inner.nudge.poll_take(&mut self.nudged, cx) {
                return Poll::Pending;
            }
            if let Some(error) = self.inner.session.outbox.broken() {
                return Poll::Ready(Err((Reason::Done, ended(error))));
            }
            if self.inner.shared.is_draining() {
                let mut requests = self.inner.requests();
                requests.drain();
                // What was answered has to be written, too; whoever writes nudges when it is.
                let is_done = requests.in_flight() == 0 && self.inner.session.outbox.is_idle();
                if is_done || self.inner.shared.is_closing() {
                    let kind = ErrorKind::Refused { reason: "the server has stopped".to_owned() };
                    let error = RpcError::not_executed(kind);
                    return Poll::Ready(Err((Reason::ShuttingDown, error)));
                }
            }
        }
    }

    /// Reads and handles all there is.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        // SYNC(rung)
        let rings = self.inner.shared.rings.load(Ordering::Acquire);
        loop {
            if self.inner.holds_back(cx.waker()) {
                // It is not the peer that does not go on.
                self.stalled_at = None;
                self.unhandled = true;
                self.inner.go_on(self.inner.session.outbox.stop_reading());
                if rings != self.rings {
                    self.read_ahead(cx);
                }
                return Poll::Pending;
            }
            self.inner.session.outbox.start_reading();
            if self.unhandled {
                self.unhandled = !self.handle_all()?;
                self.flush();
                if self.started >= STARTED {
                    self.unhandled = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if self.unhandled {
                    continue;
                }
                let midway = self.source.source().incoming.is_midway();
                if self.ended {
                    let session = &self.inner.session;
                    let how = if midway {
                        Err(cut_off())
                    } else {
                        session.closed_by_client(self.farewell)
                    };
                    return Poll::Ready(how.map_err(|error| (Reason::Done, error)));
                }
                let progress = self.inner.session.limits.progress;
                self.stalled_at = midway.then(|| Instant::now() + progress);
            }
            let Poll::Ready(filled) = self.source.poll_fill(cx) else {
                if self.source.is_armed() {
                    self.rings = rings;
                }
                return Poll::Pending;
            };
            let filled = filled.map_err(lost)?;
            self.unhandled = true;
            self.ended = filled == Filled::End;
        }
    }

    /// Reads what comes while this holds back, for the cancellations among it. Once rung, until it does not hold back any
    /// more: a cancellation that did not fit follows when there is room.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        self.behind = true;
        while !self.ahead.is_full() && !self.ahead.is_over() {
            let inner = &self.inner;
            match self.source.source().next_event() {
                Ok(Some(event)) => {
                    if let Err(end) = self.ahead.keep(event, &inner.session, |id| inner.cancel(id))
                    {
                        self.ahead.end(Kept::Failed(end));
                    }
                }
                Ok(None) => match self.source.poll_fill(cx) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(Filled::End)) => self.ahead.end(Kept::End),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => self.ahead.end(Kept::Failed(lost(error))),
                },
                Err(violation) => {
                    let end = (Reason::Violation, violated(&violation));
                    self.ahead.end(Kept::Failed(end));
                }
            }
        }
    }

    /// Handles what has come; `false` if that was stopped, because too much waits to be written or runs.
    fn handle_all(&mut self) -> Result<bool, End> {
        while self.behind {
            match self.ahead.next() {
                Some(kept) => {
                    if !self.handle_kept(kept)? {
                        return Ok(false);
                    }
                }
                None => self.behind = false,
            }
        }
        let (source, inner) = (self.source.source(), &self.inner);
        loop {
            let event = match source.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(true),
                Err(violation) => return Err((Reason::Violation, violated(&violation))),
            };
            match event {
                Event::Call(call) => {
                    let call = Arrival::borrowed(call);
                    if !inner.handle_call(call, &mut self.batch, &mut self.started)? {
                        return Ok(false);
                    }
                }
                Event::Frame { header, body } => match header.kind {
                    frame::Kind::Cancel => drop(inner.cancel(header.id)),
                    frame::Kind::Ping => {
                        if !inner.handle_ping(header) {
                            return Ok(false);
                        }
                    }
                    frame::Kind::Goodbye => self.farewell = true,
                    _ => inner.session.on_stream(&header, body)?,
                },
                Event::Withdrawn { oneway: true, .. } => {}
                Event::Withdrawn { id, .. } => {
                    inner.session.batch(id, cancelled(0), &mut self.batch);
                }
                Event::Reply { id, .. } => {
                    return Err(broken(format!("a reply to {id}, which nobody called")));
                }
                Event::Preface => {}
            }
        }
    }

    /// Deals with what came while this held back; `false` if that is to be all for now.
    #[cold]
    fn handle_kept(&mut self, kept: Kept) -> Result<bool, End> {
        let inner = &self.inner;
        match kept {
            Kept::Call(call) => return inner.handle_call(call, &mut self.batch, &mut self.started),
            Kept::Ping(header) => return Ok(inner.handle_ping(header)),
            Kept::Withdrawn { oneway: true, .. } => {}
            Kept::Withdrawn { id, .. } => inner.session.batch(id, cancelled(0), &mut self.batch),
            Kept::Stream(header, body) => inner.session.on_stream(&header, &body)?,
            Kept::Goodbye => self.farewell = true,
            Kept::End => self.ended = true,
            Kept::Failed(end) => return Err(end),
        }
        Ok(true)
    }

    /// Answers what was read, in one write.
    fn flush(&mut self) {
        let outbox = &self.inner.session.outbox;
        let blocked = if self.batch.is_empty() {
            outbox.flush()
        } else {
            let blocked = outbox.send(Message::Small(&self.batch));
            self.batch.clear();
            blocked
        };
        self.inner.go_on(blocked);
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.stalled_at else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    /// Tells the peer why, and gives it a moment to read that: closing with its bytes unread would take
    /// the message away again.
    pub(super) async fn say_goodbye(&mut self, reason: Reason, text: &str) {
        let outbox = &self.inner.session.outbox;
        let blocked = outbox.close(&goodbye(reason, text));
        let source = &mut self.source;
        let _ = timeout(LINGER, async {
            finish_writing(outbox, blocked).await;
            let mut discarded = Vec::with_capacity(4 << 10);
            std::future::poll_fn(|cx| source.poll_discard(cx, &mut discarded)).await;
        })
        .await;
    }
}

/// The calls of a client that is gone are cancelled.
impl Drop for Connection {
    fn drop(&mut self) {
        let closing = self.inner.shared.is_draining();
        let cause = if closing { CancelCause::Closing } else { CancelCause::PeerGone };
        self.inner.requests().handles().for_each(|handler| handler.stop(cause));
    }
}
