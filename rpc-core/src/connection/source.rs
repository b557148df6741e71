//! The reading side of a connection: received bytes, and what is made of them.

use std::io;
use std::sync::Arc;

use crate::error::{ErrorKind, Outcome, RpcError};
use crate::limits::Limits;
use crate::protocol::incoming::{Event, Incoming, Violation};
use crate::transport::ReadHalf;
use crate::wire::scratch::Lease;

/// The reading half with its receive buffer.
pub(crate) struct Source {
    pub(crate) half: Box<dyn ReadHalf>,
    pub(crate) incoming: Incoming,
    /// Bytes, in all.
    pub(crate) received: u64,
    _buffers: Lease,
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Bytes, and there may be more.
    More,
    /// Bytes, and nothing more was there at that moment.
    Drained,
    /// Nothing is there.
    Nothing,
    /// The orderly end.
    End,
}

impl Source {
    pub(crate) fn new(half: Box<dyn ReadHalf>, limits: &Limits) -> Self {
        let incoming = Incoming::new(limits.message, limits.held_bytes);
        Self { half, incoming, received: 0, _buffers: Lease::new() }
    }

    /// Reads once. To be called when there is no further event.
    ///
    /// # Errors
    /// Whatever ends the connection.
    #[inline]
    pub(crate) fn fill(&mut self) -> io::Result<Filled> {
        let (buffer, limit) = self.incoming.want();
        match self.half.try_read(buffer, limit) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.incoming.received(count);
                self.received += count as u64;
                let drained = count < limit && self.half.short_read_drains();
                Ok(if drained { Filled::Drained } else { Filled::More })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    /// A violation.
    #[inline]
    pub(crate) fn next_event(&mut self) -> Result<Option<Event<'_>>, Violation> {
        self.incoming.next_event()
    }
}

/// The error of a connection that ended by itself: the peer is gone, or has broken the transport's protocol.
pub(crate) fn ended(how: impl Into<Arc<io::Error>>) -> RpcError {
    let cause = how.into();
    let kind = match cause.kind() {
        io::ErrorKind::InvalidData => ErrorKind::ProtocolViolation { reason: cause.to_string() },
        _ => ErrorKind::PeerGone { how: cause.to_string() },
    };
    RpcError::new(kind, Outcome::MaybeExecuted).because(cause)
}

/// The error of a connection that the peer closed.
pub(crate) fn closed() -> RpcError {
    let how = "it closed the connection".to_owned();
    RpcError::new(ErrorKind::PeerGone { how }, Outcome::MaybeExecuted)
}

/// The error of a connection that the peer closed while it was being answered, without a goodbye.
pub(crate) fn unheard() -> RpcError {
    let how = "it closed the connection without reading all answers".to_owned();
    RpcError::new(ErrorKind::PeerGone { how }, Outcome::MaybeExecuted)
}

/// The error of a connection that the peer closed in the middle of something.
pub(crate) fn cut_off() -> RpcError {
    let how = "it closed the connection in the middle of a message".to_owned();
    RpcError::new(ErrorKind::PeerGone { how }, Outcome::MaybeExecuted)
}

/// The error of a connection that a violation ended.
pub(crate) fn violated(violation: &Violation) -> RpcError {
    let kind = ErrorKind::ProtocolViolation { reason: violation.to_string() };
    RpcError::new(kind, Outcome::MaybeExecuted)
}

/// The error of a connection whose peer stopped in the middle of something.
pub(crate) fn stalled(waited: std::time::Duration) -> RpcError {
    let kind = ErrorKind::PeerStalled { what: "further byte of a message", waited };
    RpcError::new(kind, Outcome::MaybeExecuted)
}
