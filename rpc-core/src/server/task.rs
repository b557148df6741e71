//! Serving in tokio tasks: one for each connection, and one for each handler that is not ready at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connection::greeting::{self, Reason, rejection};
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{self, Filled, Source};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::hello::Hello;
use crate::server::admission::{self, Place as Admitted};
use crate::server::doorbell::Doorbell;
use crate::server::session::Session;
use crate::server::{ACCEPT_PAUSE, Bound, LINGER, Place, Served, Shared, is_passing};
use crate::stream::{Streams, Windows};
use crate::transport::{Peer, Transport};
use crate::wait::task::{Nudge, Nudged, TaskListener, TaskSource, room};

mod connection;

/// The connections that are being served, to be nudged when the server is told to stop.
#[derive(Default)]
struct Connections(Mutex<HashMap<u64, Arc<Nudge>>>);

/// Accepts and serves until told to stop, then drains; or until nobody can come any more and all who did
/// have gone.
pub(super) async fn serve(bound: Bound) -> Result<(), RpcError> {
    let mut bound = bound;
    let doorbell = bound.hang_doorbell();
    let Bound { shared, places, shutdown, busy: _ } = bound;
    let connections = Arc::new(Connections::default());
    let mut listening = JoinSet::new();
    if let Some(doorbell) = doorbell {
        listening.spawn(listen(doorbell, Arc::clone(&shared), Arc::clone(&connections)));
    }
    let mut tasks = JoinSet::new();
    let mut accepting = JoinSet::new();
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    for place in places {
        accepting.spawn(accept(place, sender.clone()));
    }
    drop(sender);
    // What every connection and every handler has; when all are gone, so is what was accepted.
    let (alive, mut all_ended) = tokio::sync::mpsc::channel(1);
    let stop = shutdown
        .try_clone_receiver()
        .and_then(UnixStream::from_std)
        .map_err(|error| RpcError::io("watching for shutdown", error))?;
    // Whether somebody may still come: a task that accepts, or one that it has accepted.
    let mut expecting = true;
    while expecting || !accepting.is_empty() || !tasks.is_empty() {
        tokio::select! {
            biased;
            _ = stop.readable() => break,
            arrival = accepted.recv(), if expecting => match arrival {
                Some((transport, at)) => {
                    start(&shared, at, transport, &connections, &mut tasks, &alive);
                }
                None => expecting = false,
            },
            Some(ended) = accepting.join_next() => {
                if let Ok(Err(error)) = ended {
                    return Err(error);
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    drop(alive);
    if !expecting && tasks.is_empty() {
        // Calls without a reply may outlive their client, but not for ever the last one.
        tokio::select! {
            _ = stop.readable() => {}
            _ = timeout(shared.grace, all_ended.recv()) => {}
        }
    }
    // The names go first, so that a successor can have them.
    accepting.shutdown().await;
    drop(accepted);
    shared.draining.store(true, Ordering::Release);
    connections.nudge_all();
    if timeout(shared.grace, ended(&mut tasks)).await.is_err() {
        // Those who still wait are told so, as far as they listen.
        shared.closing.store(true, Ordering::Release);
        connections.nudge_all();
        let _ = timeout(2 * LINGER, ended(&mut tasks)).await;
    }
    tasks.shutdown().await;
    Ok(())
}

/// Has all connections look for cancellations whenever the doorbell is rung.
async fn listen(doorbell: Doorbell, shared: Arc<Shared>, connections: Arc<Connections>) {
    let receiver = doorbell.try_clone_receiver().and_then(UnixStream::from_std);
    let Ok(receiver) = receiver else { return };
    let mut bytes = [0; 64];
    while receiver.readable().await.is_ok() {
        let mut rung = false;
        while receiver.try_read(&mut bytes).is_ok_and(|count| count > 0) {
            rung = true;
        }
        if rung {
            shared.stats.rings.fetch_add(1, Ordering::Relaxed);
            // SYNC(rung): before the connections are nudged, and look.
            shared.rings.fetch_add(1, Ordering::Release);
            connections.nudge_all();
        }
        // So that it costs little to be rung without end.
        sleep(REST).await;
    }
}

/// Waits for the ends of all connections. Cancel safe.
async fn ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// How long the doorbell is not looked at after it was rung.
const REST: Duration = Duration::from_millis(1);

/// Nothing is sent: it is its end that tells something.
type Alive = tokio::sync::mpsc::Sender<Infallible>;

type Arrivals = tokio::sync::mpsc::UnboundedSender<(Transport, Arc<Served>)>;

/// Accepts at one endpoint, as long as clients can come.
async fn accept(place: Place, arrivals: Arrivals) -> Result<(), RpcError> {
    let Place { listener, at } = place;
    let failed = |error| RpcError::io("accepting", error).at(&at.uri);
    let mut listener = TaskListener::new(listener).map_err(failed)?;
    loop {
        match listener.accept().await {
            Ok(transport) => {
                let unwanted = arrivals.send((transport, Arc::clone(&at))).is_err();
                if unwanted || listener.is_exhausted() {
                    return Ok(());
                }
            }
            Err(error) if is_passing(&error) => sleep(ACCEPT_PAUSE).await,
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Gives a connection its task, if there is room for one.
fn start(
    shared: &Arc<Shared>,
    at: Arc<Served>,
    transport: Transport,
    connections: &Arc<Connections>,
    tasks: &mut JoinSet<()>,
    alive: &Alive,
) {
    let Some(admitted) = shared.admission.admit(&transport.peer, &at.settings) else {
        let kind = ErrorKind::Overloaded {
            what: "connections of the server".to_owned(),
            limit: at.settings.limits.connections.into(),
        };
        shared.note_end(&transport.peer, RpcError::not_executed(kind), &at);
        return;
    };
    let (shared, connections) = (Arc::clone(shared), Arc::clone(connections));
    let alive = alive.clone();
    tasks.spawn(async move {
        let peer = transport.peer.clone();
        let connected = connect(&shared, &at, transport, &connections, admitted, alive);
        if let Err(error) = connected.await {
            shared.note_end(&peer, error, &at);
        }
    });
}

/// Greets a connection and serves it to its end.
async fn connect(
    shared: &Arc<Shared>,
    at: &Arc<Served>,
    transport: Transport,
    connections: &Arc<Connections>,
    admitted: Admitted,
    alive: Alive,
) -> Result<(), RpcError> {
    let Transport { reader, writer, peer } = transport;
    let limits = &at.settings.limits;
    let mut source =
        TaskSource::new(Source::new(reader, limits), at.settings.spin).map_err(source::ended)?;
    let mut outbox = Outbox::new(writer);
    let nudge = Arc::new(Nudge::default());
    let _registered = connections.register(&nudge);
    let until = Instant::now() + limits.handshake;
    let greeted = tokio::select! {
        greeted = timeout_at(until, greet(&mut source, &outbox, at, (&admitted, &peer))) => greeted,
        () = draining(shared, &nudge) => return Ok(()),
    };
    let theirs = greeted.unwrap_or_else(|_| {
        let kind = ErrorKind::PeerStalled { what: "handshake", waited: limits.handshake };
        Err(RpcError::not_executed(kind))
    })?;
    outbox.set_limits(&theirs, limits);
    let session = Session {
        registry: Arc::clone(&shared.registry),
        peer: Arc::new(peer),
        limits: limits.clone(),
        outbox,
        message_limit: usize::try_from(theirs.message_limit).unwrap_or(usize::MAX),
        windows: Windows::new(limits.stream, &theirs),
        streams: Streams::default(),
    };
    shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
    // So that it looks whether it is time to stop.
    nudge.nudge();
    let mut connection =
        connection::Connection::new(Arc::clone(shared), session, source, nudge, alive);
    let result = poll_fn(|cx| connection.poll(cx)).await;
    if let Err((reason, error)) = &result
        && *reason != Reason::Done
    {
        connection.say_goodbye(*reason, &error.to_string()).await;
    }
    match result {
        Err((reason, error)) if reason != Reason::ShuttingDown => Err(error),
        _ => Ok(()),
    }
}

/// Waits until the server is told to stop.
async fn draining(shared: &Shared, nudge: &Nudge) {
    let mut nudged = Nudged::default();
    poll_fn(|cx| {
        // In this order: it is nudged after it was told.
        while nudge.poll_take(&mut nudged, cx) {}
        if shared.is_draining() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The server's side of the handshake: silent until the client has shown that it speaks the protocol.
async fn greet(
    source: &mut TaskSource,
    outbox: &Outbox,
    at: &Served,
    (admitted, peer): (&Admitted, &Peer),
) -> Result<Hello, RpcError> {
    loop {
        let filled = poll_fn(|cx| source.poll_fill(cx)).await.map_err(source::ended)?;
        let theirs = match greeting::hello(source.source()) {
            Ok(theirs) => theirs,
            Err(error) if matches!(error.kind(), ErrorKind::Refused { .. }) => {
                write(outbox, &rejection(Reason::Refused, &error.to_string())).await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let Some(theirs) = theirs else {
            if filled == Filled::End {
                let how = "it closed the connection in the handshake".to_owned();
                return Err(RpcError::not_executed(ErrorKind::PeerGone { how }));
            }
            continue;
        };
        let unwanted = admitted.rejected.clone().map_or_else(
            || admission::check_token(&theirs, &at.settings).map_err(|e| (Reason::Refused, e)),
            Err,
        );
        if let Err((reason, error)) = unwanted {
            write(outbox, &rejection(reason, &error.to_string())).await;
            return Err(error);
        }
        write(outbox, at.greeting(peer)).await;
        return Ok(theirs);
    }
}

/// Writes all of it, as the peer reads. What goes wrong shows at the next read.
async fn write(outbox: &Outbox, bytes: &[u8]) {
    finish_writing(outbox, outbox.send(Message::Small(bytes))).await;
}

/// Goes on with a blocked write until all is written.
async fn finish_writing(outbox: &Outbox, mut blocked: Option<Blocked>) {
    while let Some(mut waiting) = blocked {
        if room(&mut waiting).await.is_err() {
            return;
        }
        blocked = outbox.resume(waiting);
    }
}

impl Connections {
    fn register(self: &Arc<Self>, nudge: &Arc<Nudge>) -> Registered {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(nudge).addr() as u64;
        map.insert(key, Arc::clone(nudge));
        Registered { connections: Arc::clone(self), key }
    }

    fn nudge_all(&self) {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.values().for_each(|nudge| nudge.nudge());
    }
}

/// A connection's entry among [`Connections`].
struct Registered {
    connections: Arc<Connections>,
    key: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut map = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(&self.key);
    }
}
