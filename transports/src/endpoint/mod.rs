//! `Endpoint`: where a service is, written `scheme:where?key=value&...`, and with what settings.
//!
//! The scheme picks the transport; [`schemes`] is the one table of them. Besides the schemes' own modules,
//! nothing else knows which transports there are. An endpoint connects and binds through the core's
//! [`Connector`] and [`Binder`].

pub(crate) mod parts;
pub(crate) mod percent;
mod place;
mod scheme;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipcall_core::transport::memory::{self, MemoryListener};
use ipcall_core::transport::{Binder, Connector, Listener, Listening, Transport};
use ipcall_core::{RpcError, Settings};

pub(crate) use parts::Parts;
pub(crate) use place::Place;
pub use scheme::{Scheme, schemes};

use crate::launch::Launch;
use crate::{fifo, file, key_file, pipe, posix_mq, shm, sysv_mq, sysv_shm, tcp, unix};

/// Where a service is, and with what settings it is talked to.
///
/// ```
/// use ipcall_transports::Endpoint;
///
/// let endpoint: Endpoint = "unix:/run/user/1000/wordcount/socket".parse()?;
/// assert_eq!(endpoint.scheme().name, "unix");
///
/// let error = Endpoint::parse("unix:wordcount.sock").unwrap_err();
/// assert!(error.to_string().contains("absolute path"), "{error}");
/// # Ok::<(), ipcall_core::RpcError>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    uri: Arc<str>,
    scheme: &'static Scheme,
    kind: Kind,
    settings: Settings,
}

/// What is left of the URI once its scheme has understood it.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Mem(String),
    Pipe(pipe::Address),
    Fifo(fifo::Address),
    PosixMq(Place),
    SysvMq(key_file::Address),
    SysvShm(sysv_shm::Address),
    Shm(shm::Address),
    File(file::Address),
    Unix(unix::Address),
    Tcp(tcp::Address),
}

impl Endpoint {
    /// Reads a URI. Bytes of a path that mean something else here (`?`, `%`, and those that cannot be
    /// written) are percent-encoded.
    ///
    /// # Errors
    /// [`InvalidEndpoint`](ipcall_core::ErrorKind::InvalidEndpoint), saying what would be right.
    pub fn parse(uri: &str) -> Result<Self, RpcError> {
        let shared: Arc<str> = uri.into();
        Self::understand(&shared).map_err(|error| error.at(&shared))
    }

    /// The endpoint of a client that starts its server by connecting to it: `pipe:`.
    ///
    /// ```
    /// use ipcall_transports::{Endpoint, Launch};
    ///
    /// let endpoint = Endpoint::launching(&Launch::new("/usr/lib/wordcount/server").arg("--quiet"))?;
    /// assert_eq!(endpoint.uri(), "pipe:/usr/lib/wordcount/server?arg=--quiet");
    /// # Ok::<(), ipcall_core::RpcError>(())
    /// ```
    ///
    /// # Errors
    /// When the program is neither an absolute path nor a bare name, or when something contains a NUL.
    pub fn launching(launch: &Launch) -> Result<Self, RpcError> {
        let endpoint = Self::parse(&pipe::write(launch))?;
        if !endpoint.starts_server() {
            return Err(RpcError::invalid_endpoint(format!(
                "{} has a meaning of its own in an endpoint: give the program's absolute path",
                launch.shown()
            )));
        }
        Ok(endpoint)
    }

    /// The endpoint of a server that its client has started: `pipe:inherited`. It can be bound once, and
    /// has that one client. Binding it takes over the descriptors 3 and 4, which the program may not use for
    /// anything else.
    ///
    /// A server can as well bind the endpoint that its client connects to, from a configuration that both
    /// read.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail")]
    pub fn inherited() -> Self {
        Self::parse(pipe::INHERITED).expect("it is written as it should be")
    }

    /// What it is configured with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it is configured with, to be changed.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The same place with other settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its transport.
    pub fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// Takes the name and listens, like [`Binder::bind`], and says where: the same endpoint, except
    /// that a port 0 has become the port that the system chose.
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub fn bind_resolved(&self) -> Result<(Box<dyn Listener>, Self), RpcError> {
        self.bind_kind().map_err(|error| error.at(&self.uri))
    }

    fn understand(uri: &Arc<str>) -> Result<Self, RpcError> {
        let parts = Parts::split(uri).map_err(RpcError::invalid_endpoint)?;
        let scheme = scheme::find(parts.scheme).map_err(RpcError::invalid_endpoint)?;
        parts.allow_keys(scheme.keys, scheme.repeatable).map_err(RpcError::invalid_endpoint)?;
        let mut settings = Settings::default();
        let kind = (scheme.parse)(&parts, &mut settings)?;
        Ok(Self { uri: Arc::clone(uri), scheme, kind, settings })
    }

    fn bind_kind(&self) -> Result<(Box<dyn Listener>, Self), RpcError> {
        let mut resolved = self.clone();
        let listener: Box<dyn Listener> = match &self.kind {
            Kind::Mem(name) => Box::new(MemoryListener::bind(name)?),
            Kind::Pipe(address) => pipe::bind(address)?,
            Kind::Fifo(address) => Box::new(fifo::Listener::bind(address, &self.settings)?),
            Kind::PosixMq(place) => Box::new(posix_mq::Listener::bind(place, &self.settings)?),
            Kind::SysvMq(address) => Box::new(sysv_mq::Listener::bind(address, &self.settings)?),
            Kind::SysvShm(address) => Box::new(sysv_shm::Listener::bind(address, &self.settings)?),
            Kind::Shm(address) => Box::new(shm::Listener::bind(address, &self.settings)?),
            Kind::File(address) => Box::new(file::Listener::bind(address, &self.settings)?),
            Kind::Unix(address) => Box::new(unix::Listener::bind(address, &self.settings)?),
            Kind::Tcp(address) => {
                let (listener, actual) = tcp::Listener::bind(address, &self.settings)?;
                if actual != *address {
                    resolved.uri = actual.replace_in(&self.uri).into();
                    resolved.kind = Kind::Tcp(actual);
                }
                Box::new(listener)
            }
        };
        Ok((listener, resolved))
    }
}

impl Connector for Endpoint {
    fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn try_connect(&self) -> Result<Transport, RpcError> {
        let connected = match &self.kind {
            Kind::Mem(name) => memory::connect(name),
            Kind::Pipe(address) => pipe::connect(address),
            Kind::Fifo(address) => fifo::connect(address),
            Kind::PosixMq(place) => posix_mq::connect(place),
            Kind::SysvMq(address) => sysv_mq::connect(address),
            Kind::SysvShm(address) => sysv_shm::connect(address),
            Kind::Shm(address) => shm::connect(address, &self.settings),
            Kind::File(address) => file::connect(address),
            Kind::Unix(address) => unix::connect(address, &self.settings),
            Kind::Tcp(address) => tcp::connect(address),
        };
        connected.map_err(|error| error.at(&self.uri))
    }

    fn starts_server(&self) -> bool {
        matches!(&self.kind, Kind::Pipe(address) if address.starts_server())
    }
}

impl Binder for Endpoint {
    fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn bind(&self) -> Result<Listening, RpcError> {
        let (listener, resolved) = self.bind_resolved()?;
        Ok(Listening { listener, uri: resolved.uri })
    }
}

impl FromStr for Endpoint {
    type Err = RpcError;

    fn from_str(uri: &str) -> Result<Self, RpcError> {
        Self::parse(uri)
    }
}

/// Two endpoints are equal when they are written alike and have the same settings.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri && self.settings == other.settings
    }
}

impl Eq for Endpoint {}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they may hold a secret.
        f.debug_tuple("Endpoint").field(&self.uri).finish()
    }
}
