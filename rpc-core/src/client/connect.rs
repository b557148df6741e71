//! Connecting an asynchronous client: finding the server, and the handshake.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::client::link::Link;
use crate::client::{Client, ConnectOptions};
use crate::connection::greeting;
use crate::connection::outbox::{Message, Outbox};
use crate::connection::source::{Filled, Source, ended};
use crate::error::{ErrorKind, RpcError};
use crate::limits::Settings;
use crate::protocol::hello::Hello;
use crate::transport::{Connector, Transport};
use crate::wait::task::{TaskSource, room};

/// The pauses between two tries to find a server: the first, and the longest.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The settings of an endpoint, as the options change them.
pub(crate) fn settings<C: Connector + ?Sized>(connector: &C, options: &ConnectOptions) -> Settings {
    let mut settings = connector.settings().clone();
    settings.deadline = options.deadline.or(settings.deadline);
    settings.wait_for_server = options.wait_for_server.or(settings.wait_for_server);
    if connector.starts_server() {
        settings.wait_for_server = None;
    }
    settings
}

/// Connects, waiting for the server as long as the settings allow.
pub(crate) async fn establish<C: Connector + ?Sized>(
    connector: &C,
    options: &ConnectOptions,
) -> Result<Client, RpcError> {
    let settings = settings(connector, options);
    let patience = settings.wait_for_server.map(|patience| Instant::now() + patience);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt(connector, &settings).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match patience {
            Some(until) if may_come(&error) && Instant::now() < until => {
                tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            _ => return Err(error),
        }
    }
}

async fn attempt<C: Connector + ?Sized>(
    connector: &C,
    settings: &Settings,
) -> Result<Client, RpcError> {
    let Transport { reader, writer, mut peer } = connector.try_connect()?;
    let limits = &settings.limits;
    let source = TaskSource::new(Source::new(reader, limits), settings.spin)
        .map_err(|error| RpcError::io("registering the connection with the runtime", error))?;
    let hello = Hello::new(limits, settings.token.as_deref(), []);
    let mut opening = Opening { source, outbox: Outbox::new(writer) };
    let until = Instant::now() + limits.handshake;
    let theirs = timeout_at(until, opening.shake_hands(&hello)).await.unwrap_or_else(|_| {
        let kind = ErrorKind::PeerStalled { what: "handshake", waited: limits.handshake };
        Err(RpcError::not_executed(kind))
    })?;
    opening.outbox.set_limits(&theirs, limits);
    opening.outbox.set_doorbell(&mut peer, theirs.doorbell, settings.signals);
    let link = Link::new(connector.uri(), peer, theirs, settings.clone(), opening.outbox, ());
    Ok(Client::start(link, opening.source))
}

/// A connection before the handshake is done.
struct Opening {
    source: TaskSource,
    outbox: Outbox,
}

impl Opening {
    async fn shake_hands(&mut self, hello: &Hello) -> Result<Hello, RpcError> {
        let mut blocked = self.outbox.send(Message::Small(&hello.to_bytes()?));
        while let Some(mut waiting) = blocked {
            room(&mut waiting).await.map_err(unreachable)?;
            blocked = self.outbox.resume(waiting);
        }
        loop {
            let filled = poll_fn(|cx| self.source.poll_fill(cx)).await.map_err(unreachable)?;
            if let Some(theirs) = greeting::hello(self.source.source())? {
                return Ok(theirs);
            }
            if filled == Filled::End {
                let how = "it closed the connection in the handshake".to_owned();
                return Err(RpcError::not_executed(ErrorKind::PeerGone { how }));
            }
        }
    }
}

/// Whether another try may find a server: there is none yet, or one has just gone and closed those that
/// were coming in.
pub(crate) fn may_come(error: &RpcError) -> bool {
    match error.kind() {
        ErrorKind::ServerAbsent { .. } | ErrorKind::PeerGone { .. } => true,
        ErrorKind::Io { source, .. } => source.kind() == std::io::ErrorKind::ConnectionReset,
        _ => false,
    }
}

/// What an error in the handshake means: a connection that was still being made, and was refused, says
/// that no server is there.
pub(crate) fn unreachable(error: std::io::Error) -> RpcError {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            RpcError::not_executed(ErrorKind::ServerAbsent { detail: error.to_string() })
        }
        _ => ended(error).with_outcome(crate::Outcome::NotExecuted),
    }
}
