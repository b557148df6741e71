//! The server's side of the handshake.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::Seat;
use crate::connection::greeting::{self, Reason, rejection};
use crate::connection::outbox::{Blocked, Message, Outbox};
use crate::connection::source::{Filled, ended};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::hello::Hello;
use crate::server::admission;
use crate::wait::thread::{ThreadSource, wait};

/// Shakes hands: silent until the client has shown that it speaks the protocol.
/// `None` when it is time to stop.
pub(super) fn greet(
    source: &mut ThreadSource,
    outbox: &Outbox,
    seat: &Seat,
    stop: &UnixStream,
) -> Result<Option<Hello>, RpcError> {
    let Seat { peer, at, admitted, .. } = seat;
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
        write(outbox, at.greeting(peer), until);
        return Ok(Some(theirs));
    }
}

/// Writes all of it, as the peer reads. What goes wrong shows at the next read.
fn write(outbox: &Outbox, bytes: &[u8], until: Instant) {
    finish_writing(outbox, outbox.send(Message::Small(bytes)), until);
}

pub(super) fn finish_writing(outbox: &Outbox, mut blocked: Option<Blocked>, until: Instant) {
    while let Some(mut waiting) = blocked {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || wait(None, Some(&mut waiting), None, Some(left)).is_err() {
            return;
        }
        blocked = outbox.resume(waiting);
    }
}
