//! What received bytes amount to: events, or a violation.

use crate::wire::frame::{BadFrame, Header, Kind};
use crate::wire::payload::Received;

/// What has come.
#[derive(Debug)]
pub enum Event<'a> {
    /// The peer's preface.
    Preface,
    /// A whole call.
    Call(IncomingCall<'a>),
    /// A whole reply.
    Reply {
        /// The call that it answers.
        id: u64,
        /// The status.
        status: u16,
        /// The result, or the error.
        payload: Payload<'a>,
    },
    /// A call that was cancelled before all of it had come.
    Withdrawn {
        /// The call.
        id: u64,
        /// Whether no reply is wanted.
        oneway: bool,
    },
    /// Any other frame.
    Frame {
        /// Its header.
        header: Header,
        /// Its body.
        body: &'a [u8],
    },
}

/// A whole call, as it came.
#[derive(Debug)]
pub struct IncomingCall<'a> {
    /// Its id, chosen by the caller.
    pub id: u64,
    /// The method's number.
    pub method: u16,
    /// Whether no reply is wanted.
    pub oneway: bool,
    /// The time it had left when it was sent, in ns.
    pub remaining: Option<u64>,
    /// Its metadata, encoded.
    pub metadata: std::borrow::Cow<'a, [u8]>,
    /// Its arguments, encoded.
    pub payload: Payload<'a>,
}

/// The payload of a message.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Still in the receive buffer.
    Borrowed(&'a [u8]),
    /// Put together from fragments; rare, and so not to take room in what is common.
    Owned(Box<Received>),
}

impl Payload<'_> {
    /// The bytes as they were sent.
    pub fn to_payload(&self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(received) => received.to_payload(),
        }
    }

    /// Bytes of memory that it takes.
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Owned(received) => received.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why the peer's bytes cannot be accepted; the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It does not start as this protocol does.
    #[error("the first bytes are {0:02x?}, which is not the preface of ipcall")]
    Preface([u8; 8]),
    /// Something is not a frame.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// Something comes before the `Hello`.
    #[error("a {kind:?} frame before the hello")]
    Early {
        /// What comes.
        kind: Kind,
    },
    /// A message is sent or announced that is larger than allowed.
    #[error("a message of {total} bytes, and the limit is {limit}")]
    Message {
        /// Its length, in bytes.
        total: u64,
        /// The most it may be.
        limit: usize,
    },
    /// More is begun than may be held.
    #[error("large messages of {held} bytes are under way at once, and the limit is {limit}")]
    Held {
        /// The total of the messages begun, in bytes.
        held: u64,
        /// The most it may be.
        limit: usize,
    },
    /// A part of a stream that its receiver has not made room for.
    #[error("{what} of the stream of call {id}")]
    Stream {
        /// What is wrong.
        what: &'static str,
        /// The call.
        id: u64,
    },
    /// A fragment does not continue anything, or goes past the end, or begins what has begun.
    #[error("{what} of message {id}")]
    Fragment {
        /// What is wrong.
        what: &'static str,
        /// The call.
        id: u64,
    },
}
