//! What a call can fail with: the method's own error, or an [`RpcError`].
//!
//! An `RpcError` names the endpoint, says what happened ([`ErrorKind`], with the limit and the actual
//! value where a limit was passed), and whether the method ran ([`Outcome`]).

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a call gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError<E = Infallible> {
    /// The method ran and returned this error.
    Method(E),
    /// The call did not get through, or its answer did not.
    Rpc(RpcError),
}

impl<E> CallError<E> {
    /// The framework's error, if it is one.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Method(_) => None,
            Self::Rpc(error) => Some(error),
        }
    }
}

impl<E> From<RpcError> for CallError<E> {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(error) => error.fmt(f),
            Self::Rpc(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Method(error) => error.source(),
            Self::Rpc(error) => error.source(),
        }
    }
}

/// Whether the method of a failed call ran: what a retry has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was never started; the call can be repeated.
    NotExecuted,
    /// It may have run, in part or in whole.
    MaybeExecuted,
    /// It ran to its end; only the answer is missing.
    Executed,
}

/// A failure of the framework, not of the method.
#[derive(Clone)]
pub struct RpcError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    endpoint: Option<Arc<str>>,
    method: Option<&'static str>,
    cause: Option<Arc<io::Error>>,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call was cancelled.
    Cancelled,
    /// The call's time ran out.
    DeadlineExceeded {
        /// The time it had.
        deadline: Duration,
    },
    /// The other process is gone, or has closed the connection.
    PeerGone {
        /// How this is known.
        how: String,
    },
    /// The other process is there but has stopped reading or writing.
    PeerStalled {
        /// What it was expected to go on with.
        what: &'static str,
        /// How long it did not.
        waited: Duration,
    },
    /// Something is larger than a limit.
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit, in bytes or in the unit that `what` names.
        limit: u64,
        /// The actual value, or the least it can be.
        actual: u64,
    },
    /// Both sides know the method, but with different signatures.
    Incompatible {
        /// `Service.method`.
        method: String,
        /// Our signature.
        ours: String,
        /// The peer's signature.
        theirs: String,
    },
    /// The server does not offer the service.
    UnknownService {
        /// The service asked for.
        service: String,
        /// The services that the peer offers.
        offered: Vec<String>,
    },
    /// The server offers the service without this method.
    UnknownMethod {
        /// `Service.method`.
        method: String,
    },
    /// The handler panicked.
    HandlerPanicked {
        /// The panic's message, as far as it is text.
        message: String,
    },
    /// A limit on how much may be going on was reached.
    Overloaded {
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A quota of the operating system is used up.
    QuotaExceeded {
        /// What there is too much of, and the quota's name.
        what: String,
        /// The quota, in the unit that `what` names.
        limit: u64,
        /// How much was needed beside what is used already.
        needed: u64,
    },
    /// The other side does not want this connection or call.
    Refused {
        /// Its reason.
        reason: String,
    },
    /// No server is there.
    ServerAbsent {
        /// What was tried and found.
        detail: String,
    },
    /// A living server already has the endpoint's name.
    AddressInUse {
        /// What was found.
        detail: String,
    },
    /// The peer broke the protocol; the connection is closed.
    ProtocolViolation {
        /// What it did.
        reason: String,
    },
    /// A value cannot be encoded, or bytes cannot be decoded.
    Codec {
        /// Which value, where and why.
        reason: String,
    },
    /// The endpoint cannot be used as it is written, or on this machine.
    InvalidEndpoint {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The operating system reported an error.
    Io {
        /// What was being done.
        doing: String,
        /// The error.
        source: Arc<io::Error>,
    },
}

impl RpcError {
    /// An error of which it is not known whether the method ran.
    pub fn new(kind: ErrorKind, outcome: Outcome) -> Self {
        Self(Box::new(Inner { kind, outcome, endpoint: None, method: None, cause: None }))
    }

    /// An error from before anything was sent.
    pub fn not_executed(kind: ErrorKind) -> Self {
        Self::new(kind, Outcome::NotExecuted)
    }

    /// An error of the operating system, met while `doing` something, before anything was sent.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::not_executed(ErrorKind::Io { doing: doing.into(), source: Arc::new(source) })
    }

    /// An endpoint that cannot be used; `reason` says what would be right.
    pub fn invalid_endpoint(reason: impl Into<String>) -> Self {
        Self::not_executed(ErrorKind::InvalidEndpoint { reason: reason.into() })
    }

    /// The same, known to have happened at `endpoint`.
    #[must_use]
    pub fn at(mut self, endpoint: &Arc<str>) -> Self {
        self.0.endpoint.get_or_insert_with(|| Arc::clone(endpoint));
        self
    }

    /// The same, known to have happened in a call of `method`.
    #[must_use]
    pub fn in_method(mut self, method: &'static str) -> Self {
        self.0.method.get_or_insert(method);
        self
    }

    /// The same, because of an error that a transport met; it is the [`source`](std::error::Error::source).
    #[must_use]
    pub(crate) fn because(mut self, cause: Arc<io::Error>) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The same, with what is known of the method's fate in this call.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the method ran.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The endpoint's URI, where it is known.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The method's name, where the error belongs to a call.
    pub fn method(&self) -> Option<&str> {
        self.0.method
    }
}

impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `main` prints of an error that it returns, and `unwrap` of one that it meets.
        write!(f, "{self} ({:?})", self.0.outcome)
    }
}

/// Two errors are equal when they say the same.
impl PartialEq for RpcError {
    fn eq(&self, other: &Self) -> bool {
        self.0.outcome == other.0.outcome && self.to_string() == other.to_string()
    }
}

impl Eq for RpcError {}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(endpoint) = &self.0.endpoint {
            write!(f, "{endpoint}: ")?;
        }
        if let Some(method) = self.0.method {
            write!(f, "{method}: ")?;
        }
        self.0.kind.fmt(f)
    }
}

impl std::error::Error for RpcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Io { source, .. } => Some(&**source),
            _ => self.0.cause.as_ref().map(|cause| &**cause as _),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => write!(f, "the call was cancelled"),
            Self::DeadlineExceeded { deadline } => {
                write!(f, "the deadline of {deadline:?} was exceeded")
            }
            Self::PeerGone { how } => write!(f, "the peer is gone: {how}"),
            Self::PeerStalled { what, waited } => {
                write!(f, "the peer has stalled: no {what} for {waited:?}")
            }
            Self::TooLarge { what, limit, actual } => {
                write!(f, "{what} is too large: {actual}, and the limit is {limit}")
            }
            Self::Incompatible { method, ours, theirs } => {
                write!(f, "{method} differs on the two sides: ours is {ours}, theirs is {theirs}")
            }
            Self::UnknownService { service, offered } if offered.is_empty() => {
                write!(f, "there is no service {service}: the peer offers none")
            }
            Self::UnknownService { service, offered } => {
                write!(f, "there is no service {service}: the peer offers {}", offered.join(", "))
            }
            Self::UnknownMethod { method } => write!(f, "the peer has no method {method}"),
            Self::HandlerPanicked { message } => write!(f, "the handler panicked: {message}"),
            Self::Overloaded { what, limit } => {
                write!(f, "overloaded: the limit of {limit} {what} is reached")
            }
            Self::QuotaExceeded { what, limit, needed } => {
                write!(f, "no quota is left of the {limit} {what}: {needed} more were needed")
            }
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::ServerAbsent { detail } => write!(f, "no server is there: {detail}"),
            Self::AddressInUse { detail } => write!(f, "in use: {detail}"),
            Self::ProtocolViolation { reason } => write!(f, "the protocol was broken: {reason}"),
            Self::Codec { reason } => f.write_str(reason),
            Self::InvalidEndpoint { reason } => f.write_str(reason),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}
