//! The receiving end of a stream: takes items out, and lets the sender go on.

use std::sync::Arc;
use std::task::Waker;

use super::Port;
use super::inflow::{Inflow, Next, Over};
use crate::connection::outbox::Message;
use crate::protocol::streams::Batch;
use crate::wire::frame::{Credit, END, Header, Kind};
use crate::wire::payload::{DecodeError, DecodeLimits};

/// How an item is read.
pub(crate) type Decode<T> = fn(&[u8], &DecodeLimits) -> Result<T, DecodeError>;

/// The receiving end of a stream of `T`.
pub(crate) struct Receiver<T> {
    port: Arc<dyn Port>,
    flow: Arc<Inflow>,
    /// Of the credit that is given.
    header: Header,
    batch: Batch,
    decode: Decode<T>,
    limits: DecodeLimits,
}

/// What there is of it.
pub(crate) enum Item<T> {
    Some(T),
    /// It cannot be read.
    Bad(DecodeError),
    /// Nothing yet; the waker that was given is woken.
    Pending,
    Over(Over),
}

impl<T> Receiver<T> {
    /// For a call; `flags` say whose id it is.
    pub(crate) fn new(
        port: Arc<dyn Port>,
        flow: Arc<Inflow>,
        (id, flags): (u64, u8),
        decode: Decode<T>,
        limits: DecodeLimits,
    ) -> Self {
        let header = Header { flags, ..Header::new(Kind::Credit, id) };
        Self { port, flow, header, batch: Batch::default(), decode, limits }
    }

    /// The next item.
    #[inline]
    pub(crate) fn next(&mut self, waker: &Waker) -> Item<T> {
        loop {
            if let Some(bytes) = self.batch.next_item() {
                return match (self.decode)(bytes, &self.limits) {
                    Ok(item) => Item::Some(item),
                    Err(error) => Item::Bad(error),
                };
            }
            let (next, credit) = self.flow.next(&mut self.batch, waker);
            if let Some(credit) = credit {
                self.port.send(Message::Urgent(&credit.to_frame(self.header)));
            }
            match next {
                Next::Batch => {}
                Next::Nothing => return Item::Pending,
                Next::Over(over) => return Item::Over(over),
            }
        }
    }

    /// Tells the sender that no more is wanted, if it may have more.
    pub(crate) fn stop(&self) {
        if self.flow.leave() {
            let header = Header { flags: self.header.flags | END, ..self.header };
            self.port.send(Message::Urgent(&Credit::default().to_frame(header)));
        }
    }
}
