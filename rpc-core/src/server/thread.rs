//! Serving without a runtime: one thread for each connection, which handles its calls one after the
//! other, where it stands.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::connection::greeting::{self, Reason, goodbye, rejection};
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{Filled, Source, cut_off, ended, stalled, violated};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::protocol::failure::Status;
use crate::protocol::hello::Hello;
use crate::protocol::incoming::{Event, IncomingCall};
use crate::protocol::requests::Rejection;
use crate::server::admission::{self, Place as Admitted};
use crate::server::session::{Session, Started, cancelled, expired, guarded, rejected};
use crate::server::{
    ACCEPT_PAUSE, BATCH, Bound, LINGER, Place, Served, Shared, ShutdownHandle, is_passing,
};
use crate::service::{HandlerFuture, Kind, Reply};
use crate::transport::Transport;
use crate::wait::thread::{ThreadSource, accept, wait};
use crate::wire::frame::{self, ANSWER, Header};

/// Accepts and serves until told to stop, then drains; or until nobody can come any more and all who did
/// have gone.
pub(super) fn serve(bound: Bound) -> Result<(), RpcError> {
    let Bound { shared, places, shutdown } = bound;
    let (sender, all_ended) = mpsc::channel();
    let alive = Arc::new(Alive { _sender: sender, stop: shutdown.handle() });
    // The names go with it, before the connections do, so that a successor can have them.
    let served = accept_all(&shared, places, &shutdown, alive);
    shared.draining.store(true, Ordering::Release);
    shutdown.handle().shutdown();
    let _ = all_ended.recv_timeout(shared.grace);
    served
}

/// What every connection's thread has, and whoever may still start one. When all are gone there is nothing
/// more to serve.
struct Alive {
    /// Its receiver learns of the end.
    _sender: mpsc::Sender<()>,
    stop: ShutdownHandle,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.stop.shutdown();
    }
}

/// Accepts at all places until it is time to stop.
fn accept_all(
    shared: &Arc<Shared>,
    mut places: Vec<Place>,
    shutdown: &impl AsFd,
    alive: Arc<Alive>,
) -> Result<(), RpcError> {
    let mut alive = Some(alive);
    loop {
        places.retain(|place| !place.listener.is_exhausted());
        if places.is_empty() {
            // The last connection then says that it is time.
            alive = None;
        }
        let listeners = places.iter().map(|place| place.listener.as_fd());
        let ready = accept(listeners, shutdown.as_fd())
            .map_err(|error| RpcError::io("waiting for clients", error))?;
        let Some(ready) = ready else { return Ok(()) };
        for index in ready {
            let place = &mut places[index];
            match place.listener.try_accept() {
                Ok(transport) => start(shared, &place.at, transport, shutdown, alive.as_ref()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_passing(&error) => thread::sleep(ACCEPT_PAUSE),
                Err(error) => return Err(RpcError::io("accepting", error).at(&place.at.uri)),
            }
        }
    }
}

/// Gives a connection its thread, if there is room for one.
fn start(
    shared: &Arc<Shared>,
    at: &Arc<Served>,
    transport: Transport,
    shutdown: &impl AsFd,
    alive: Option<&Arc<Alive>>,
) {
    let peer = transport.peer.clone();
    let overloaded = || {
        RpcError::not_executed(ErrorKind::Overloaded {
            what: "connections of the server".to_owned(),
            limit: at.settings.limits.connections.into(),
        })
    };
    let Some(admitted) = shared.admission.admit(&peer, &at.settings) else {
        return shared.note_end(&peer, overloaded(), at);
    };
    let stop = match shutdown.as_fd().try_clone_to_owned() {
        Ok(stop) => UnixStream::from(stop),
        Err(error) => return shared.note_end(&peer, RpcError::io("a descriptor", error), at),
    };
    let (alive, here) = (alive.cloned(), (Arc::clone(shared), Arc::clone(at)));
    let spawned = thread::Builder::new().name("ipcall-connection".to_owned()).spawn(move || {
        let (shared, at) = here;
        let peer = transport.peer.clone();
        if let Err(error) = connect(&shared, &at, transport, &stop, admitted) {
            shared.note_end(&peer, error, &at);
        }
        // The last thing that a connection has.
        drop((stop, shared, at));
        drop(alive);
    });
    if let Err(error) = spawned {
        shared.note_end(&peer, RpcError::io("starting a thread", error), at);
    }
}

/// Greets a connection and serves it to its end.
fn connect(
    shared: &Arc<Shared>,
    at: &Served,
    transport: Transport,
    stop: &UnixStream,
    admitted: Admitted,
) -> Result<(), RpcError> {
    let Transport { reader, writer, peer } = transport;
    let limits = &at.settings.limits;
    let mut source = ThreadSource::new(Source::new(reader, limits), at.settings.spin);
    let mut outbox = Outbox::new(writer);
    let Some(theirs) = greet(&mut source, &outbox, at, &admitted, stop)? else { return Ok(()) };
    outbox.set_limits(&theirs, limits);
    let session = Session {
        registry: Arc::clone(&shared.registry),
        peer: Arc::new(peer),
        limits: limits.clone(),
        outbox,
        message_limit: usize::try_from(theirs.message_limit).unwrap_or(usize::MAX),
    };
    shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
    let mut connection = Connection {
        shared,
        session: &session,
        source,
        batch: Vec::new(),
        blocked: None,
        unhandled: true,
        ended: false,
        farewell: false,
    };
    let result = connection.run(stop);
    if let Err((reason, error)) = &result
        && *reason != Reason::Done
    {
        connection.say_goodbye(*reason, &error.to_string());
    }
    match result {
        Err((reason, error)) if reason != Reason::ShuttingDown => Err(error),
        _ => Ok(()),
    }
}

/// The server's side of the handshake: silent until the client has shown that it speaks the protocol.
/// `None` when it is time to stop.
fn greet(
    source: &mut ThreadSource,
    outbox: &Outbox,
    at: &Served,
    admitted: &Admitted,
    stop: &UnixStream,
) -> Result<Option<Hello>, RpcError> {
    let limits = &at.settings.limits;
    let until = Instant::now() + limits.handshake;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let kind = ErrorKind::PeerStalled { what: "handshake", waited: limits.handshake };
            return Err(RpcError::not_executed(kind));
        }
        let ready = wait(Some(source), None, Some(stop.as_fd()), Some(left));
        let ready = ready.map_err(ended)?;
        if ready.other {
            return Ok(None);
        }
        if !ready.read {
            continue;
        }
        let filled = source.fill().map_err(ended)?;
        let refuse = |reason, error: RpcError| {
            write(outbox, &rejection(reason, &error.to_string()), until);
            Err(error)
        };
        let theirs = match greeting::hello(&mut source.source) {
            Ok(Some(theirs)) => theirs,
            Ok(None) if filled == Filled::End => {
                let how = "it closed the connection in the handshake".to_owned();
                return Err(RpcError::not_executed(ErrorKind::PeerGone { how }));
            }
            Ok(None) => continue,
            Err(error) if matches!(error.kind(), ErrorKind::Refused { .. }) => {
                return refuse(Reason::Refused, error);
            }
            Err(error) => return Err(error),
        };
        if let Some((reason, error)) = admitted.rejected.clone() {
            return refuse(reason, error);
        }
        if let Err(error) = admission::check_token(&theirs, &at.settings) {
            return refuse(Reason::Refused, error);
        }
        write(outbox, &at.hello, until);
        return Ok(Some(theirs));
    }
}

/// Writes all of it, as the peer reads. What goes wrong shows at the next read.
fn write(outbox: &Outbox, bytes: &[u8], until: Instant) {
    finish_writing(outbox, outbox.send(Message::Small(bytes)), until);
}

fn finish_writing(outbox: &Outbox, mut blocked: Option<Blocked>, until: Instant) {
    while let Some(mut waiting) = blocked {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || wait(None, Some(&mut waiting), None, Some(left)).is_err() {
            return;
        }
        blocked = outbox.resume(waiting);
    }
}

/// Why a connection ends, and what the peer is told.
type End = (Reason, RpcError);

struct Connection<'a> {
    shared: &'a Shared,
    session: &'a Session,
    source: ThreadSource,
    /// Replies to what was read last, to go in one write.
    batch: Vec<u8>,
    blocked: Option<Blocked>,
    /// Whether something may have come that is not handled yet, behind the client's `Hello` at first.
    unhandled: bool,
    /// Whether all has come that will.
    ended: bool,
    /// Whether the client has said goodbye.
    farewell: bool,
}

impl Connection<'_> {
    fn run(&mut self, stop: &UnixStream) -> Result<(), End> {
        let progress = self.session.limits.progress;
        let lost = |error: io::Error| (Reason::Done, ended(error));
        loop {
            // As long as the peer leaves too many of its answers, nothing more is taken from it.
            let crowded = self.session.outbox.is_crowded();
            if self.unhandled && !crowded {
                self.handle()?;
                continue;
            }
            if self.ended && !self.unhandled {
                let midway = self.source.source.incoming.is_midway();
                let how = if midway {
                    Err(cut_off())
                } else {
                    self.session.closed_by_client(self.farewell)
                };
                return how.map_err(|error| (Reason::Done, error));
            }
            // Looked at again afterwards, so that the peer has all the time there is from then on.
            self.unhandled |= crowded;
            let reading = if crowded { None } else { Some(&mut self.source) };
            let patience = reading.as_ref().and_then(|source| source.patience(progress));
            if patience.is_some_and(|patience| patience.is_zero()) {
                return Err((Reason::Stalled, stalled(progress)));
            }
            // What is answered is written before it is time to stop.
            let stop = self.blocked.is_none().then(|| stop.as_fd());
            let ready = wait(reading, self.blocked.as_mut(), stop, patience).map_err(lost)?;
            if let Some(blocked) = self.blocked.take() {
                self.blocked =
                    if ready.write { self.session.outbox.resume(blocked) } else { Some(blocked) };
            }
            if ready.read {
                self.read()?;
            }
            if self.session.outbox.has_failed()
                && let Some(error) = self.session.outbox.broken()
            {
                return Err((Reason::Done, ended(error)));
            }
            // One that never sleeps is not told by its descriptors.
            if self.shared.is_draining() && self.blocked.is_none() {
                if self.session.outbox.waits() {
                    self.blocked = self.session.outbox.stop_reading();
                    continue;
                }
                let kind = ErrorKind::Refused { reason: "the server has stopped".to_owned() };
                return Err((Reason::ShuttingDown, RpcError::not_executed(kind)));
            }
        }
    }

    /// Reads what has come and answers it.
    fn read(&mut self) -> Result<(), End> {
        loop {
            let filled = self.source.fill().map_err(|error| (Reason::Done, ended(error)))?;
            if filled == Filled::Nothing {
                return Ok(());
            }
            self.ended = filled == Filled::End;
            self.handle()?;
            if filled != Filled::More || self.unhandled || self.blocked.is_some() {
                return Ok(());
            }
        }
    }

    /// Handles what was read, and answers it in one write.
    fn handle(&mut self) -> Result<(), End> {
        let handled = self.handle_all();
        let blocked = if self.batch.is_empty() {
            self.session.outbox.flush()
        } else {
            let blocked = self.session.outbox.send(Message::Small(&self.batch));
            self.batch.clear();
            blocked
        };
        self.unhandled = !handled?;
        self.source.note_progress();
        if blocked.is_some() {
            self.blocked = blocked;
        }
        Ok(())
    }

    /// Handles what has come; `false` if that was stopped because too much waits to be written.
    fn handle_all(&mut self) -> Result<bool, End> {
        loop {
            let event = match self.source.source.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(true),
                Err(violation) => return Err((Reason::Violation, violated(&violation))),
            };
            match event {
                Event::Call(call) => {
                    handle_call(self.shared, self.session, call, &mut self.batch);
                    if self.batch.len() > BATCH || self.session.outbox.is_crowded() {
                        return Ok(false);
                    }
                }
                Event::Frame { header, .. } => match header.kind {
                    frame::Kind::Ping if header.flags & ANSWER == 0 => {
                        let answer = Header { flags: ANSWER, length: 0, ..header };
                        self.session.outbox.queue(Message::Urgent(&answer.to_bytes()));
                        if self.session.outbox.is_crowded() {
                            return Ok(false);
                        }
                    }
                    frame::Kind::Ping => {
                        let blocked = self.session.outbox.answered(header.id);
                        self.blocked = blocked.or_else(|| self.blocked.take());
                    }
                    // What could be cancelled has ended by the time that this is read.
                    frame::Kind::Cancel => {}
                    frame::Kind::Goodbye => self.farewell = true,
                    kind => return Err(broken(format!("a {kind:?} frame to a server"))),
                },
                Event::Withdrawn { oneway: true, .. } => {}
                Event::Withdrawn { id, .. } => {
                    self.session.batch(id, cancelled(0), &mut self.batch);
                }
                Event::Reply { id, .. } => {
                    return Err(broken(format!("a reply to {id}, which nobody called")));
                }
                Event::Preface => {}
            }
        }
    }

    fn say_goodbye(&mut self, reason: Reason, text: &str) {
        let outbox = &self.session.outbox;
        let until = Instant::now() + LINGER;
        let blocked = self.blocked.take().or_else(|| outbox.close(&goodbye(reason, text)));
        finish_writing(outbox, blocked, until);
        self.source.discard(until);
    }
}

fn broken(reason: String) -> End {
    let error = RpcError::new(ErrorKind::ProtocolViolation { reason }, Outcome::MaybeExecuted);
    (Reason::Violation, error)
}

#[inline]
fn handle_call(shared: &Shared, session: &Session, call: IncomingCall<'_>, batch: &mut Vec<u8>) {
    let (id, oneway) = (call.id, call.oneway);
    let reply = if shared.is_draining() {
        rejected(Rejection::Draining)
    } else {
        shared.stats.calls.fetch_add(1, Ordering::Relaxed);
        let Started { kind, deadline, budget } = session.start(call);
        match kind {
            Kind::Done(reply) => reply,
            Kind::Blocking(handler) => guarded(handler).unwrap_or_else(|reply| reply),
            Kind::Future(future) => {
                block_on(future, deadline).unwrap_or_else(|| expired(budget, 1))
            }
        }
    };
    if reply.status == Status::Panicked as u16 {
        shared.stats.panics.fetch_add(1, Ordering::Relaxed);
    }
    if !oneway {
        session.batch(id, reply, batch);
    }
}

/// Runs a handler to its end in this thread. `None` if its time runs out before.
fn block_on(future: HandlerFuture, deadline: Option<Instant>) -> Option<Reply> {
    let mut future = pin!(future);
    let mut poll = |waker: &Waker| {
        let mut cx = Context::from_waker(waker);
        guarded(|| future.as_mut().poll(&mut cx)).unwrap_or_else(Poll::Ready)
    };
    // Most are ready at once, and nobody has to be able to wake this thread.
    if let Poll::Ready(reply) = poll(Waker::noop()) {
        return Some(reply);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(reply) = poll(&waker) {
            return Some(reply);
        }
        match deadline {
            None => thread::park(),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
