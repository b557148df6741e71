//! Serving without a runtime: one thread for each connection, which handles its calls one after the
//! other, where it stands; or one that never sleeps for all of them ([`busy`]).

mod busy;
mod common;
mod connection;
mod greet;
mod handling;
mod streaming;
mod watch;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use self::busy::Busy;
use self::common::Common;
use self::connection::Connection;
use self::greet::greet;
use self::watch::Roll;
use crate::connection::greeting::Reason;
use crate::connection::outbox::Outbox;
use crate::connection::source::Source;
use crate::error::{ErrorKind, RpcError};
use crate::server::admission::Place as Admitted;
use crate::server::doorbell::Doorbell;
use crate::server::end::End;
use crate::server::session::Session;
use crate::server::shutdown::Shutdown;
use crate::server::{
    ACCEPT_PAUSE, Bound, LINGER, Place, Served, Shared, ShutdownHandle, is_passing,
};
use crate::stream::{Streams, Windows};
use crate::transport::{Peer, Transport};
use crate::wait::thread::{ThreadSource, accept};

/// Accepts and serves until told to stop, then drains; or until nobody can come any more and all who did
/// have gone.
pub(super) fn serve(bound: Bound) -> Result<(), RpcError> {
    let mut bound = bound;
    let doorbell = bound.hang_doorbell();
    let Bound { shared, places, shutdown, busy } = bound;
    let busy = busy.map(Busy::start).transpose()?;
    let (sender, all_ended) = mpsc::channel();
    let alive = Arc::new(Alive { _sender: sender, stop: shutdown.handle() });
    let (alive, roll) = (Some(alive), Roll::default());
    let mut host = Host { shared, shutdown, doorbell, alive, busy, roll };
    // The names go with it, before the connections do, so that a successor can have them.
    let served = host.accept_all(places);
    // Until the end, a signal is no more than it was.
    let Host { shared, shutdown, alive, busy, roll, doorbell: _doorbell } = host;
    shared.draining.store(true, Ordering::Release);
    shutdown.handle().shutdown();
    drop((alive, busy));
    if all_ended.recv_timeout(shared.grace) == Err(RecvTimeoutError::Timeout) {
        // Whose handler ends by that tells its client.
        shared.closing.store(true, Ordering::Release);
        roll.close();
        let _ = all_ended.recv_timeout(LINGER);
    }
    served
}

/// What every connection has, and whoever may still bring one. When all are gone there is nothing more to
/// serve.
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

/// Whoever lets clients in.
struct Host {
    shared: Arc<Shared>,
    shutdown: Shutdown,
    doorbell: Option<Doorbell>,
    /// `None` when nobody can come any more.
    alive: Option<Arc<Alive>>,
    busy: Option<Busy>,
    roll: Roll,
}

impl Host {
    /// Accepts at all places until it is time to stop.
    fn accept_all(&mut self, mut places: Vec<Place>) -> Result<(), RpcError> {
        loop {
            places.retain(|place| !place.listener.is_exhausted());
            if places.is_empty() {
                // The last connection then says that it is time.
                self.alive = None;
            }
            let listeners = places.iter().map(|place| place.listener.as_fd());
            let listeners = listeners.chain(self.doorbell.as_ref().map(AsFd::as_fd));
            let ready = accept(listeners, self.shutdown.as_fd())
                .map_err(|error| RpcError::io("waiting for clients", error))?;
            let Some(ready) = ready else { return Ok(()) };
            for index in ready {
                match places.get_mut(index) {
                    Some(place) => self.accept(place)?,
                    None => self.answer_doorbell(),
                }
            }
        }
    }

    fn answer_doorbell(&mut self) {
        match self.doorbell.as_ref().map(Doorbell::was_rung) {
            Some(Ok(true)) => {
                self.shared.stats.rings.fetch_add(1, Ordering::Relaxed);
                watch::rung();
            }
            Some(Err(_)) => self.doorbell = None,
            _ => {}
        }
    }

    fn accept(&self, place: &mut Place) -> Result<(), RpcError> {
        match place.listener.try_accept() {
            Ok(transport) => self.start(&place.at, transport),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_passing(&error) => thread::sleep(ACCEPT_PAUSE),
            Err(error) => return Err(RpcError::io("accepting", error).at(&place.at.uri)),
        }
        Ok(())
    }

    /// Gives a connection its thread, if there is room for one.
    fn start(&self, at: &Arc<Served>, transport: Transport) {
        let shared = &self.shared;
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
        let stop = match self.shutdown.as_fd().try_clone_to_owned() {
            Ok(stop) => UnixStream::from(stop),
            Err(error) => return shared.note_end(&peer, RpcError::io("a descriptor", error), at),
        };
        let seat = Seat {
            peer: Arc::new(peer.clone()),
            shared: Arc::clone(shared),
            at: Arc::clone(at),
            admitted,
            roll: self.roll.clone(),
            alive: self.alive.clone(),
        };
        let busy = self.busy.clone();
        let run = move || seat.host(transport, stop, busy);
        let spawned = thread::Builder::new().name("ipcall-connection".to_owned()).spawn(run);
        if let Err(error) = spawned {
            shared.note_end(&peer, RpcError::io("starting a thread", error), at);
        }
    }
}

/// What a client has of the server, from when it is let in until it is gone.
struct Seat {
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    at: Arc<Served>,
    admitted: Admitted,
    roll: Roll,
    /// The last thing that a connection has.
    alive: Option<Arc<Alive>>,
}

impl Seat {
    /// Greets a client and serves it to its end, or hands it to the thread that never sleeps.
    fn host(self, transport: Transport, stop: UnixStream, busy: Option<Busy>) {
        match self.greet(transport, &stop, busy.is_none()) {
            Ok(None) => {}
            Ok(Some(mut connection)) => match busy {
                None => {
                    let how = connection.run(&stop);
                    self.end(connection, how);
                }
                Some(busy) => busy.take_over(connection, self),
            },
            Err(error) => self.shared.note_end(&self.peer, error, &self.at),
        }
    }

    /// One that `sleeps` does so beside `stop`. `None` when it is time to stop.
    fn greet(
        &self,
        transport: Transport,
        stop: &UnixStream,
        sleeps: bool,
    ) -> Result<Option<Connection>, RpcError> {
        let Transport { reader, writer, .. } = transport;
        let settings = &self.at.settings;
        let limits = &settings.limits;
        let mut source = Box::new(ThreadSource::new(Source::new(reader, limits), settings.spin));
        if sleeps {
            source.keep_beside(stop.as_fd());
        }
        let mut outbox = Outbox::new(writer);
        let theirs = greet(&mut source, &outbox, self, stop)?;
        let Some(theirs) = theirs else { return Ok(None) };
        outbox.set_limits(&theirs, limits);
        let session = Session {
            registry: Arc::clone(&self.shared.registry),
            peer: Arc::clone(&self.peer),
            limits: limits.clone(),
            outbox,
            message_limit: usize::try_from(theirs.message_limit).unwrap_or(usize::MAX),
            windows: Windows::new(limits.stream, &theirs),
            streams: Streams::default(),
        };
        self.shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
        let common = Common::new(&self.shared, session, self.alive.clone());
        self.roll.add(&common.watched);
        Ok(Some(Connection::new(common, source)))
    }

    /// Says goodbye where the client does not know, and lets it go.
    fn end(self, mut connection: Connection, how: Result<(), End>) {
        let Err((reason, error)) = how else { return };
        if reason != Reason::Done {
            connection.say_goodbye(reason, &error.to_string());
        }
        drop(connection);
        if reason != Reason::ShuttingDown {
            self.shared.note_end(&self.peer, error, &self.at);
        }
    }
}
