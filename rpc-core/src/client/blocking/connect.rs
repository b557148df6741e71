//! Connecting a blocking client: finding the server, and the handshake.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use super::{BlockingClient, Roles};
use crate::client::ConnectOptions;
use crate::client::connect::{FIRST_PAUSE, LONGEST_PAUSE, may_come, settings, unreachable};
use crate::client::link::Link;
use crate::connection::greeting;
use crate::connection::outbox::{Message, Outbox};
use crate::connection::source::{Filled, Source};
use crate::error::{ErrorKind, RpcError};
use crate::limits::Settings;
use crate::protocol::hello::Hello;
use crate::transport::{Connector, Transport};
use crate::wait::thread::{Doorbell, ThreadSource, wait};

/// Connects, waiting for the server as long as the settings allow.
pub(super) fn establish<C: Connector + ?Sized>(
    connector: &C,
    options: &ConnectOptions,
) -> Result<BlockingClient, RpcError> {
    let settings = settings(connector, options);
    let patience = settings.wait_for_server.map(|patience| Instant::now() + patience);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt(connector, &settings) {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match patience {
            Some(until) if may_come(&error) && Instant::now() < until => {
                thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            _ => return Err(error),
        }
    }
}

fn attempt<C: Connector + ?Sized>(
    connector: &C,
    settings: &Settings,
) -> Result<BlockingClient, RpcError> {
    let Transport { reader, writer, mut peer } = connector.try_connect()?;
    let limits = &settings.limits;
    let mut source = ThreadSource::new(Source::new(reader, limits), settings.spin);
    let mut outbox = Outbox::new(writer);
    let hello = Hello::new(limits, settings.token.as_deref(), []);
    let theirs = shake_hands(&mut source, &outbox, &hello, limits.handshake)?;
    outbox.set_limits(&theirs, limits);
    outbox.set_doorbell(&mut peer, theirs.doorbell, settings.signals);
    let doorbell = Doorbell::new().map_err(|error| RpcError::io("making an eventfd", error))?;
    source.keep_beside(doorbell.as_fd());
    let roles = Roles { source: Some(Box::new(source)), blocked: None, source_wanted: None };
    let link = Link::new(connector.uri(), peer, theirs, settings.clone(), outbox, roles);
    Ok(BlockingClient::start(link, doorbell))
}

fn shake_hands(
    source: &mut ThreadSource,
    outbox: &Outbox,
    hello: &Hello,
    patience: Duration,
) -> Result<Hello, RpcError> {
    let until = Instant::now() + patience;
    let mut blocked = outbox.send(Message::Small(&hello.to_bytes()?));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let kind = ErrorKind::PeerStalled { what: "handshake", waited: patience };
            return Err(RpcError::not_executed(kind));
        }
        let ready = wait(Some(source), blocked.as_mut(), None, Some(left)).map_err(unreachable)?;
        if ready.write
            && let Some(waiting) = blocked.take()
        {
            blocked = outbox.resume(waiting);
        }
        if !ready.read {
            continue;
        }
        let filled = source.fill().map_err(unreachable)?;
        if let Some(theirs) = greeting::hello(&mut source.source)? {
            return Ok(theirs);
        }
        if filled == Filled::End {
            let how = "it closed the connection in the handshake".to_owned();
            return Err(RpcError::not_executed(ErrorKind::PeerGone { how }));
        }
    }
}
