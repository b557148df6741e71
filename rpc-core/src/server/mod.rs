//! Serving: several services at several endpoints, in tokio tasks or in plain threads.

mod admission;
mod ahead;
mod doorbell;
mod end;
mod registry;
mod session;
mod shutdown;
mod task;
mod thread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use admission::Stats;
pub use shutdown::ShutdownHandle;

use crate::error::RpcError;
use crate::limits::Settings;
use crate::protocol::hello::Hello;
use crate::server::admission::Admission;
use crate::server::doorbell::Doorbell;
use crate::server::registry::Registry;
use crate::server::shutdown::{Shutdown, StopOnDrop};
use crate::service::Service;
use crate::transport::{Binder, Listener, Peer};

/// What is told of a connection that ended otherwise than by an orderly close.
type OnDisconnect = Box<dyn Fn(&Peer, &RpcError) + Send + Sync>;

/// Offers services. Built up, then bound to endpoints, then served.
///
/// ```no_run
/// # use ipcall_core::{Server, RpcError, transport::Binder, rt::Service};
/// # async fn f(word_count: impl Service, endpoint: &dyn Binder) -> Result<(), RpcError> {
/// Server::new().add_service(word_count).drain_on_signals().serve(endpoint).await
/// # }
/// ```
#[must_use = "a server does nothing unless it serves"]
pub struct Server {
    registry: Registry,
    grace: Duration,
    signals: bool,
    busy: Option<usize>,
    on_disconnect: Option<OnDisconnect>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server without services.
    pub fn new() -> Self {
        Self {
            registry: Registry::default(),
            grace: Duration::from_secs(10),
            signals: false,
            busy: None,
            on_disconnect: None,
        }
    }

    /// Offers a service: `add_service(FooServer::new(foo))`.
    pub fn add_service(mut self, service: impl Service) -> Self {
        self.registry.add(Arc::new(service));
        self
    }

    /// How long calls that were accepted may still take when the server is told to stop. 10 s. What is left then is
    /// cancelled, and their callers are told that the server has stopped.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Stops at SIGTERM and SIGINT, as [`ShutdownHandle::shutdown`] does. Handlers that the process has
    /// installed for them go on being called.
    pub fn drain_on_signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// Serves all connections in one thread on this CPU, which does not sleep as long as there are any:
    /// calls are noticed at once, and the CPU is used up. For handlers that take little time, as one that
    /// takes long keeps all connections waiting, be it async or not; and for few connections, as each is
    /// asked in turn, over a socket by a system call. CPUs are numbered as in `sched_setaffinity(2)`.
    pub fn busy_poll(mut self, cpu: usize) -> Self {
        self.busy = Some(cpu);
        self
    }

    /// Calls this with every connection that was refused, or that ended by an error.
    pub fn on_disconnect(
        mut self,
        hook: impl Fn(&Peer, &RpcError) + Send + Sync + 'static,
    ) -> Self {
        self.on_disconnect = Some(Box::new(hook));
        self
    }

    /// Takes the endpoints' names. Clients can connect from now on; they are served when
    /// [`Bound::serve`] or [`Bound::serve_blocking`] runs.
    ///
    /// # Errors
    /// The first endpoint that cannot be had, by name; then none is.
    pub fn bind<'a, B: Binder + ?Sized + 'a>(
        self,
        endpoints: impl IntoIterator<Item = &'a B>,
    ) -> Result<Bound, RpcError> {
        self.registry.check()?;
        let mut places = Vec::new();
        for endpoint in endpoints {
            let settings = endpoint.settings();
            let hello = Hello::new(&settings.limits, None, self.registry.descriptors());
            let hello = hello.to_bytes()?;
            let bound = endpoint.bind().map_err(|error| error.at(endpoint.uri()))?;
            let at = Served { uri: bound.uri, settings: settings.clone(), hello, offer: None };
            places.push(Place { listener: bound.listener, at: Arc::new(at) });
        }
        let mut shutdown = Shutdown::new().map_err(|error| RpcError::io("a socket pair", error))?;
        if self.signals {
            let listening = shutdown.listen_to_signals();
            listening.map_err(|error| RpcError::io("handling SIGTERM and SIGINT", error))?;
        }
        let shared = Arc::new(Shared {
            registry: Arc::new(self.registry),
            grace: self.grace,
            on_disconnect: self.on_disconnect,
            admission: Arc::default(),
            stats: Arc::default(),
            draining: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            rings: AtomicU64::new(0),
        });
        Ok(Bound { shared, places, shutdown, busy: self.busy })
    }

    /// Binds one endpoint and serves it in the current tokio runtime until told to stop, like
    /// [`Bound::serve`].
    ///
    /// # Errors
    /// When the endpoint cannot be had, or no longer works.
    pub async fn serve<B: Binder + ?Sized>(self, endpoint: &B) -> Result<(), RpcError> {
        self.bind([endpoint])?.serve().await
    }

    /// Binds several endpoints and serves them all.
    ///
    /// # Errors
    /// When one of them cannot be had, or no longer works.
    pub async fn serve_all<'a, B: Binder + ?Sized + 'a>(
        self,
        endpoints: impl IntoIterator<Item = &'a B>,
    ) -> Result<(), RpcError> {
        self.bind(endpoints)?.serve().await
    }

    /// Binds one endpoint and serves it without a runtime, with a thread for each connection, until
    /// told to stop. The calls of one connection are handled one after the other.
    ///
    /// # Errors
    /// When the endpoint cannot be had, or no longer works.
    pub fn serve_blocking<B: Binder + ?Sized>(self, endpoint: &B) -> Result<(), RpcError> {
        self.bind([endpoint])?.serve_blocking()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("services", &self.registry).finish_non_exhaustive()
    }
}

/// A server that has its endpoints. Dropping it frees their names.
#[must_use = "clients wait until it serves"]
pub struct Bound {
    shared: Arc<Shared>,
    places: Vec<Place>,
    shutdown: Shutdown,
    /// The CPU of the thread that never sleeps.
    busy: Option<usize>,
}

impl Bound {
    /// Stops it, from anywhere.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.shutdown.handle()
    }

    /// Where it listens: the endpoints' URIs, except that a port 0 has become the port that the system
    /// chose.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| &*place.at.uri)
    }

    /// Counts of what happens; they go on counting while it serves.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// Serves in the current tokio runtime until told to stop; then answers the calls that were
    /// accepted, for as long as the grace time lasts. Dropping the future stops at once.
    ///
    /// Where no further client can come, as when the one that started this process as its server has
    /// connected, it ends by itself when those that came have gone. Calls without a reply that they have
    /// left behind then have the grace time, too.
    ///
    /// With [`Server::busy_poll`], dropping the future tells that thread to stop, which it does as if it
    /// were told by [`ShutdownHandle::shutdown`].
    ///
    /// # Errors
    /// When an endpoint no longer works, or there is no such CPU as is wanted.
    pub async fn serve(self) -> Result<(), RpcError> {
        if self.busy.is_none() {
            return task::serve(self).await;
        }
        let _stop = StopOnDrop(self.shutdown.handle());
        let served = tokio::task::spawn_blocking(|| thread::serve(self)).await;
        served.unwrap_or_else(|lost| Err(RpcError::io("serving", std::io::Error::other(lost))))
    }

    /// Serves without a runtime, with a thread for each connection, until told to stop or, like
    /// [`serve`](Self::serve), until no further client can come.
    ///
    /// # Errors
    /// When an endpoint no longer works, or there is no such CPU as is wanted.
    pub fn serve_blocking(self) -> Result<(), RpcError> {
        thread::serve(self)
    }
}

impl Bound {
    /// Handles the signals by which clients may ring, and has clients offered that from now on. `None`, and nothing is
    /// offered, where no endpoint wants that, or it cannot be had.
    fn hang_doorbell(&mut self) -> Option<Doorbell> {
        let signals = self.places.iter().filter_map(|place| place.at.settings.signals.number());
        let doorbell = Doorbell::hang(&signals.collect()).ok()?;
        for place in &mut self.places {
            let Served { uri, settings, hello, .. } = &*place.at;
            let Some(signal) = settings.signals.number() else { continue };
            let services = self.shared.registry.descriptors();
            let offer = Hello::new(&settings.limits, None, services);
            let offer = Hello { doorbell: Doorbell::offer(signal), ..offer };
            let (uri, settings, hello) = (Arc::clone(uri), settings.clone(), hello.clone());
            // Services that leave no room for it are announced without.
            place.at = Arc::new(Served { uri, settings, hello, offer: offer.to_bytes().ok() });
        }
        Some(doorbell)
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uris = self.places.iter().map(|place| &place.at.uri);
        f.debug_list().entries(uris).finish()
    }
}

/// An endpoint that is listened at.
struct Place {
    listener: Box<dyn Listener>,
    at: Arc<Served>,
}

/// What the connections of one endpoint have in common.
struct Served {
    uri: Arc<str>,
    settings: Settings,
    /// Preface and `Hello`.
    hello: Vec<u8>,
    /// The same with the offer to be rung.
    offer: Option<Vec<u8>>,
}

impl Served {
    /// What this client is greeted with. One that has an address may be on another machine, where neither signals reach
    /// nor process ids are anybody's business.
    fn greeting(&self, client: &Peer) -> &[u8] {
        self.offer.as_ref().filter(|_| client.address.is_none()).unwrap_or(&self.hello)
    }
}

/// What all connections have in common.
struct Shared {
    registry: Arc<Registry>,
    grace: Duration,
    on_disconnect: Option<OnDisconnect>,
    admission: Arc<Admission>,
    stats: Arc<Stats>,
    draining: AtomicBool,
    /// Whether the grace time is over, too.
    closing: AtomicBool,
    /// Times that the doorbell was rung, for connections that hold back.
    rings: AtomicU64,
}

impl Shared {
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A connection has ended by an error.
    fn note_end(&self, peer: &Peer, error: RpcError, at: &Served) {
        self.stats.note_end(&error);
        if let Some(hook) = &self.on_disconnect {
            hook(peer, &error.at(&at.uri));
        }
    }
}

/// Whether an error of `accept` concerns one client only, or passes.
fn is_passing(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    let passing = [
        Errno::ECONNABORTED,
        Errno::EPERM,
        Errno::EACCES,
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EINTR,
        Errno::EPROTO,
    ];
    error.raw_os_error().is_none_or(|code| passing.contains(&Errno::from_raw(code)))
}

/// How long to wait before the next `accept` when descriptors or memory ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Replies of together more bytes than this are written before further calls are handled.
const BATCH: usize = 64 << 10;

/// How long a peer that broke the protocol may take to read why.
const LINGER: Duration = Duration::from_millis(200);
