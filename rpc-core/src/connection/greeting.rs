//! The handshake: each side sends its preface and `Hello`, and reads the other's.
//!
//! The client speaks first; the server is silent until it has seen a valid preface. A server that does
//! not want the client answers with its preface and `Goodbye`.

use crate::connection::source::{Source, violated};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::protocol::hello::Hello;
use crate::protocol::incoming::Event;
use crate::wire::frame::{HEADER, Header, Kind, PREFACE};

/// Why a side says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Reason {
    /// It no longer needs the connection.
    Done = 0,
    /// It does not want this peer.
    Refused = 1,
    /// It has as many connections as it takes.
    Overloaded = 2,
    /// The peer broke the protocol.
    Violation = 3,
    /// It is about to stop.
    ShuttingDown = 4,
    /// The peer did not go on with what it had begun.
    Stalled = 5,
}

impl Reason {
    /// What the peer is told whose connection ends by this.
    pub(crate) fn of(error: &RpcError) -> Self {
        match error.kind() {
            ErrorKind::ProtocolViolation { .. } => Self::Violation,
            _ => Self::Done,
        }
    }
}

/// A `Goodbye` frame.
pub(crate) fn goodbye(reason: Reason, text: &str) -> Vec<u8> {
    let mut header = Header::new(Kind::Goodbye, 0);
    header.code = reason as u16;
    header.length = text.len() as u32;
    let mut frame = Vec::with_capacity(HEADER + text.len());
    frame.extend_from_slice(&header.to_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A `Goodbye` from one that has not said anything yet.
pub(crate) fn rejection(reason: Reason, text: &str) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend_from_slice(&goodbye(reason, text));
    bytes
}

/// What a `Goodbye` of the peer means to whoever waits for an answer.
pub(crate) fn farewell(header: &Header, body: &[u8]) -> RpcError {
    let text = String::from_utf8_lossy(body);
    RpcError::not_executed(match header.code {
        1 => ErrorKind::Refused { reason: text.into_owned() },
        2 => ErrorKind::Refused { reason: format!("the server is overloaded: {text}") },
        3 => ErrorKind::ProtocolViolation { reason: format!("the peer says: {text}") },
        4 => ErrorKind::PeerGone { how: format!("it is shutting down: {text}") },
        5 => ErrorKind::PeerGone { how: format!("it gave up on us: {text}") },
        _ => ErrorKind::PeerGone { how: "it closed the connection".to_owned() },
    })
}

/// Looks for the peer's `Hello` in what has come.
///
/// # Errors
/// Whatever ends the handshake.
pub(crate) fn hello(source: &mut Source) -> Result<Option<Hello>, RpcError> {
    let broken = |violation| violated(&violation).with_outcome(Outcome::NotExecuted);
    while let Some(event) = source.next_event().map_err(broken)? {
        match event {
            Event::Preface => {}
            Event::Frame { header, body } if header.kind == Kind::Hello => {
                return Hello::from_body(body).map(Some);
            }
            Event::Frame { header, body } if header.kind == Kind::Goodbye => {
                return Err(farewell(&header, body));
            }
            _ => {
                let reason = "a frame before the hello".to_owned();
                return Err(RpcError::not_executed(ErrorKind::ProtocolViolation { reason }));
            }
        }
    }
    Ok(None)
}
