//! How a connection of a server ends otherwise than in order.

use std::io;

use crate::connection::greeting::Reason;
use crate::connection::source::ended;
use crate::error::{ErrorKind, Outcome, RpcError};

/// Why a connection ends, and what the peer is told.
pub(super) type End = (Reason, RpcError);

/// The end that reading has come to.
pub(super) fn lost(error: io::Error) -> End {
    let error = ended(error);
    (Reason::of(&error), error)
}

/// The end of one whose client has broken the protocol.
pub(super) fn broken(reason: String) -> End {
    let error = RpcError::new(ErrorKind::ProtocolViolation { reason }, Outcome::MaybeExecuted);
    (Reason::Violation, error)
}
