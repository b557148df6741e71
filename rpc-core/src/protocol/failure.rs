//! Replies that carry a failure of the framework: their status codes and their payload.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, Outcome, RpcError};
use crate::wire::payload::{self, DecodeLimits};

/// Status of a reply: the method's value follows.
pub const OK: u16 = 0;
/// Status of a reply: the method's own error follows.
pub const METHOD_ERROR: u16 = 1;

/// Status of a reply that carries a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// The call was cancelled; its handler has ended, or was never started.
    Cancelled = 2,
    /// Its time ran out on the server.
    DeadlineExceeded = 3,
    /// Its arguments or its result are too large. `limit` and `actual` are bytes.
    TooLarge = 4,
    /// The server has no method of this number.
    UnknownMethod = 5,
    /// The handler panicked; `text` is the panic's message.
    Panicked = 6,
    /// `limit` calls are in flight already.
    Overloaded = 7,
    /// The server takes no further calls; `text` says why.
    Refused = 8,
    /// The arguments cannot be decoded; `text` says why.
    BadArguments = 9,
    /// The result cannot be encoded; `text` says why.
    BadResult = 10,
}

impl Status {
    /// The status with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            2 => Self::Cancelled,
            3 => Self::DeadlineExceeded,
            4 => Self::TooLarge,
            5 => Self::UnknownMethod,
            6 => Self::Panicked,
            7 => Self::Overloaded,
            8 => Self::Refused,
            9 => Self::BadArguments,
            10 => Self::BadResult,
            _ => return None,
        })
    }
}

/// The payload of a failed reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether the method ran: 0 not, 1 maybe, 2 to its end.
    pub executed: u8,
    /// The limit that was passed, or 0.
    pub limit: u64,
    /// The actual value, or 0.
    pub actual: u64,
    /// What there is to say.
    pub text: String,
}

impl Failure {
    /// A failure from before the method ran.
    pub fn not_executed(text: impl Into<String>) -> Self {
        Self { executed: 0, limit: 0, actual: 0, text: text.into() }
    }

    /// The same for a method that ran in part (1) or to its end (2).
    #[must_use]
    pub fn executed(self, executed: u8) -> Self {
        Self { executed, ..self }
    }

    /// The same with a limit and the actual value.
    #[must_use]
    pub fn with_limit(self, limit: u64, actual: u64) -> Self {
        Self { limit, actual, ..self }
    }
}

/// The error that a failed reply means to the caller of `method`.
pub fn to_error(status: u16, bytes: &[u8], method: &str, limits: &DecodeLimits) -> RpcError {
    let Some(status) = Status::from_number(status) else {
        let reason = format!("a reply with status {status}, which has no meaning");
        return RpcError::new(ErrorKind::ProtocolViolation { reason }, Outcome::MaybeExecuted);
    };
    let failure: Failure = match payload::decode(bytes, limits) {
        Ok(failure) => failure,
        Err(error) => {
            let reason = format!("a failed reply ({status:?}) that cannot be read: {error}");
            return RpcError::new(ErrorKind::ProtocolViolation { reason }, Outcome::MaybeExecuted);
        }
    };
    let outcome = match failure.executed {
        0 => Outcome::NotExecuted,
        2 => Outcome::Executed,
        _ => Outcome::MaybeExecuted,
    };
    RpcError::new(kind(status, failure, method), outcome)
}

fn kind(status: Status, failure: Failure, method: &str) -> ErrorKind {
    let Failure { limit, actual, text, .. } = failure;
    match status {
        Status::Cancelled => ErrorKind::Cancelled,
        Status::DeadlineExceeded => {
            ErrorKind::DeadlineExceeded { deadline: std::time::Duration::from_nanos(limit) }
        }
        Status::TooLarge => ErrorKind::TooLarge { what: text, limit, actual },
        Status::UnknownMethod => ErrorKind::UnknownMethod { method: method.to_owned() },
        Status::Panicked => ErrorKind::HandlerPanicked { message: text },
        Status::Overloaded => ErrorKind::Overloaded { what: text, limit },
        Status::Refused => ErrorKind::Refused { reason: text },
        Status::BadArguments | Status::BadResult => ErrorKind::Codec { reason: text },
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
