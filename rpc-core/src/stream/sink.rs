//! The sending end of a stream: gathers items, and sends them as far as they may go.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::Port;
use super::outflow::Outflow;
use crate::connection::outbox::Message;
use crate::protocol::outgoing::{Bulk, Receipt};
use crate::protocol::streams::LENGTH;
use crate::wire::frame::{Credit, END, Header, ITEM, Kind};
use crate::wire::payload::EncodeError;
use crate::wire::scratch;

/// Bytes that are gathered before they are sent, while there are further items: few enough to stay in a CPU's cache.
const BATCH: usize = 16 << 10;

/// The sending end of a stream. Dropping it sends nothing more, not even an end.
pub(crate) struct Sink {
    port: Arc<dyn Port>,
    flow: Arc<Outflow>,
    header: Header,
    /// Items that are not sent yet, the first perhaps without its beginning.
    gathered: Vec<u8>,
    /// What may be sent, as far as this end knows.
    credit: Credit,
    /// Whether its end was sent.
    ended: bool,
}

/// What has become of what was gathered.
enum Step {
    /// A part of it, or all, is on its way.
    Moved,
    /// There is nothing to send.
    Empty,
    /// It waits, for room or for what went before.
    Waits,
    /// Nobody wants it.
    Stopped,
}

/// The receiver wants no more.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Sink {
    /// For a call; `flags` say whose id it is.
    pub(crate) fn new(port: Arc<dyn Port>, flow: Arc<Outflow>, id: u64, flags: u8) -> Self {
        let header = Header { flags: flags | ITEM, ..Header::new(Kind::Data, id) };
        let (gathered, credit) = (scratch::take(), Credit::default());
        Self { port, flow, header, gathered, credit, ended: false }
    }

    /// Ready when there is room for a further item.
    ///
    /// # Errors
    /// When none is wanted.
    #[inline]
    pub(crate) fn poll_ready(&mut self, waker: &Waker) -> Poll<Result<(), Stopped>> {
        while !self.may_gather() {
            match self.step(false, waker) {
                Step::Moved => {}
                Step::Stopped => return Poll::Ready(Err(Stopped)),
                // It may have been told of room.
                Step::Empty | Step::Waits if self.may_gather() => {}
                Step::Empty | Step::Waits => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn may_gather(&self) -> bool {
        let gathered = self.gathered.len();
        gathered < BATCH && self.credit.items > 0 && gathered < self.credit.bytes as usize
    }

    /// Adds an item. To be called when there is [room](Self::poll_ready).
    ///
    /// # Errors
    /// When it cannot be encoded, or is larger than any may be.
    #[inline]
    pub(crate) fn push(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, usize) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = self.gathered.len();
        self.gathered.extend_from_slice(&[0; LENGTH]);
        if let Err(error) = encode(&mut self.gathered, self.flow.largest_item()) {
            self.gathered.truncate(start);
            return Err(error);
        }
        let length = (self.gathered.len() - start - LENGTH) as u32;
        self.gathered[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
        self.credit.items -= 1;
        Ok(())
    }

    /// Sends what was gathered, as far as it may go now.
    pub(crate) fn flush(&mut self, waker: &Waker) {
        while let Step::Moved = self.step(false, waker) {}
    }

    /// Ready when all was sent; with its end if that is to be told.
    pub(crate) fn poll_finish(&mut self, end: bool, waker: &Waker) -> Poll<()> {
        loop {
            match self.step(end, waker) {
                Step::Moved if self.ended => return Poll::Ready(()),
                Step::Moved => {}
                Step::Empty | Step::Stopped => return Poll::Ready(()),
                Step::Waits => return Poll::Pending,
            }
        }
    }

    fn step(&mut self, end: bool, waker: &Waker) -> Step {
        let room = self.flow.look(waker);
        self.credit = self.credit.plus(room.credit);
        if room.stopped {
            self.gathered.clear();
            return Step::Stopped;
        }
        if room.sending {
            return Step::Waits;
        }
        let count = self.gathered.len().min(self.credit.bytes as usize);
        if self.gathered.is_empty() && (!end || self.ended) {
            return Step::Empty;
        }
        if count == 0 && !self.gathered.is_empty() {
            return Step::Waits;
        }
        let mut part = std::mem::replace(&mut self.gathered, scratch::take());
        self.gathered.extend_from_slice(&part[count..]);
        part.truncate(count);
        self.credit.bytes -= count as u32;
        self.ended = end && self.gathered.is_empty();
        let flags = self.header.flags | if self.ended { END } else { 0 };
        let header = Header { flags, ..self.header };
        self.flow.begin();
        let receipt = Receipt(Arc::clone(&self.flow) as _);
        self.port.send(Message::Bulk(Bulk::part_of_stream(header, part, receipt)));
        Step::Moved
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        scratch::give(std::mem::take(&mut self.gathered));
    }
}
