//! A call that is encoded and waits to be sent, and how it is.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::client::link::Link;
use crate::client::tie::Tie;
use crate::connection::outbox::{Blocked, Message};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::outgoing::Bulk;
use crate::wire::frame::{DEADLINE, FRAGMENT, HEADER, Header, Kind, ONEWAY, Prefix, WITH_METADATA};
use crate::wire::payload::{self, Arguments};
use crate::wire::scratch;

/// A call that is encoded and not yet sent.
pub(crate) struct Prepared {
    /// Room for the header, the prefix fields, the payload up to `tail`.
    buffer: Vec<u8>,
    payload_at: usize,
    /// The end of the payload: a byte string that is moved rather than copied. Empty or large.
    tail: Vec<u8>,
    method: u16,
    flags: u8,
    metadata_length: usize,
    pub(crate) deadline: Option<Instant>,
    /// The whole budget, for errors.
    pub(crate) budget: Duration,
    tie: Option<Tie>,
}

/// How long a call may take: so much from now on, not longer than until then, and until its token is cancelled.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) budget: Option<Duration>,
    pub(crate) until: Option<Instant>,
    pub(crate) token: Option<&'a CancelToken>,
}

impl Terms<'_> {
    /// What ties the call to its token, if that is not cancelled already.
    #[inline]
    fn tie(self) -> Result<Option<Tie>, RpcError> {
        let Some(token) = self.token else { return Ok(None) };
        if token.is_cancelled() {
            return Err(RpcError::not_executed(ErrorKind::Cancelled));
        }
        Ok(Some(Tie::new(token.clone())))
    }

    /// When it is over, and how long that is from now; nothing if it is not limited.
    #[inline]
    fn deadline(self) -> Result<(Option<Instant>, Duration), RpcError> {
        // A time that no clock will see is none.
        let deadline = self.budget.and_then(|budget| Instant::now().checked_add(budget));
        match self.until {
            Some(until) if deadline.is_none_or(|deadline| until < deadline) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let kind = ErrorKind::DeadlineExceeded { deadline: left };
                    return Err(RpcError::not_executed(kind));
                }
                Ok((Some(until), left))
            }
            _ => Ok((deadline, self.budget.unwrap_or_default())),
        }
    }
}

impl Prepared {
    /// Whether a token can cancel it.
    #[inline]
    pub(crate) fn has_token(&self) -> bool {
        self.tie.is_some()
    }

    /// Whether its token is cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.tie.as_ref().is_some_and(Tie::is_cancelled)
    }

    /// The same; if not, `waker` is woken when it is.
    #[inline]
    pub(crate) fn is_cancelled_or_wakes(&mut self, waker: &Waker) -> bool {
        self.tie.as_mut().is_some_and(|tie| tie.is_cancelled_or_wakes(waker))
    }

    /// Whether it is sent in fragments; `length` is that of the buffer.
    #[inline]
    fn is_bulk(&self, length: usize) -> bool {
        length - self.payload_at + self.tail.len() > FRAGMENT
    }

    /// The bytes of its arguments, if the server has to hold them while fragments come.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        let length = self.buffer.len();
        if self.is_bulk(length) { length - self.payload_at + self.tail.len() } else { 0 }
    }
}

impl<R> Link<R> {
    /// The largest argument list that both sides take, in bytes.
    fn message_limit(&self) -> usize {
        let theirs = usize::try_from(self.theirs.message_limit).unwrap_or(usize::MAX);
        theirs.min(self.settings.limits.message)
    }

    /// Encodes a call.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] or [`ErrorKind::Codec`]; [`ErrorKind::DeadlineExceeded`] or
    /// [`ErrorKind::Cancelled`] if it is too late.
    #[inline]
    pub(crate) fn prepare<A: Arguments>(
        &self,
        method: u16,
        oneway: bool,
        terms: Terms<'_>,
        metadata: &[u8],
        arguments: &mut A,
    ) -> Result<Prepared, RpcError> {
        let tie = terms.tie()?;
        let (deadline, budget) = terms.deadline()?;
        let mut buffer = scratch::take();
        buffer.extend_from_slice(&[0; HEADER]);
        // The remaining time is filled in when the call is sent. Without a reply, the time is that of
        // sending, and the handler has as much as it likes.
        let remaining = deadline.filter(|_| !oneway).map(|_| 0);
        let prefix = Prefix { total: None, remaining, metadata };
        prefix.write(&mut buffer);
        let payload_at = buffer.len();
        let tail = match arguments.encode(&mut buffer, self.message_limit()) {
            Ok(tail) => tail,
            Err(error) => {
                scratch::give(buffer);
                return Err(unencodable("the arguments", error));
            }
        };
        Ok(Prepared {
            buffer,
            payload_at,
            tail,
            method,
            flags: prefix.flags() | if oneway { ONEWAY } else { 0 },
            metadata_length: metadata.len(),
            deadline,
            budget,
            tie,
        })
    }

    /// Sends a prepared call.
    #[inline]
    pub(crate) fn send(&self, id: u64, call: &mut Prepared) -> Option<Blocked> {
        let blocked = self.write(id, call);
        if self.has_cancelled(id) {
            // That may have gone before it. A second one does no harm.
            let other = self.send_cancel(id);
            return blocked.or(other);
        }
        blocked
    }

    #[inline]
    fn write(&self, id: u64, call: &mut Prepared) -> Option<Blocked> {
        let mut buffer = std::mem::take(&mut call.buffer);
        let mut header = Header::new(Kind::Call, id);
        header.code = call.method;
        header.flags = call.flags;
        let told = call.deadline.filter(|_| call.flags & DEADLINE != 0);
        let remaining = told.map(remaining_nanos);
        if call.is_bulk(buffer.len()) {
            return self.send_bulk(header, remaining, call, buffer);
        }
        header.length = (buffer.len() - HEADER) as u32;
        buffer[..HEADER].copy_from_slice(&header.to_bytes());
        if let Some(remaining) = remaining {
            buffer[HEADER..HEADER + 8].copy_from_slice(&remaining.to_le_bytes());
        }
        let blocked = self.outbox.send(Message::Small(&buffer));
        scratch::give(buffer);
        blocked
    }

    #[cold]
    fn send_bulk(
        &self,
        mut header: Header,
        remaining: Option<u64>,
        call: &mut Prepared,
        buffer: Vec<u8>,
    ) -> Option<Blocked> {
        header.flags &= !(DEADLINE | WITH_METADATA);
        let metadata = buffer[call.payload_at - call.metadata_length..call.payload_at].to_vec();
        let bulk = if call.tail.is_empty() {
            let lead = Vec::new();
            Bulk {
                header,
                remaining,
                metadata,
                lead,
                data: buffer,
                skip: call.payload_at,
                receipt: None,
            }
        } else {
            let lead = buffer[call.payload_at..].to_vec();
            scratch::give(buffer);
            let data = std::mem::take(&mut call.tail);
            Bulk { header, remaining, metadata, lead, data, skip: 0, receipt: None }
        };
        self.outbox.send(Message::Bulk(bulk))
    }
}

fn remaining_nanos(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)
}

/// The error for a value that cannot be encoded.
fn unencodable(what: &str, error: payload::EncodeError) -> RpcError {
    RpcError::not_executed(match error {
        payload::EncodeError::TooLarge { limit, actual } => ErrorKind::TooLarge {
            what: format!("{what} (in bytes)"),
            limit: limit as u64,
            actual: actual as u64,
        },
        other => ErrorKind::Codec { reason: format!("{what} cannot be encoded: {other}") },
    })
}
