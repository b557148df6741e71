//! The writing half with what it is in the middle of.

use std::io::{self, IoSlice};

use super::Message;
use crate::protocol::outgoing::Outgoing;
use crate::transport::WriteHalf;

/// The writing half and what it is in the middle of. Only one thread or task has it at a time.
pub(crate) struct Writer {
    pub(crate) half: Box<dyn WriteHalf>,
    pub(super) outgoing: Outgoing,
}

impl Writer {
    /// Takes over what waits, but only when the small frames before are out: so what waits shows how far behind
    /// the peer is, and yet goes ahead of what is left of large messages.
    #[inline]
    pub(super) fn take_over(&mut self, waiting: &mut Outgoing) {
        if self.outgoing.queued() == 0 {
            self.outgoing.append(waiting);
        }
    }

    /// Writes a frame from where it is; what does not go is queued.
    #[inline]
    pub(super) fn write_directly(&mut self, frame: &[u8]) -> io::Result<()> {
        if !self.outgoing.is_at_rest() {
            self.outgoing.push(frame);
            return Ok(());
        }
        match self.half.try_write(&[IoSlice::new(frame)]) {
            Ok(count) => {
                self.outgoing.note_written(frame, count);
                Ok(())
            }
            Err(error) => {
                self.outgoing.push(frame);
                Err(error)
            }
        }
    }

    /// Writes once; gives how many bytes.
    pub(super) fn write_once(&mut self) -> io::Result<usize> {
        let half = &mut self.half;
        let Some(written) = self.outgoing.slices(|slices| half.try_write(slices)) else {
            return Ok(0);
        };
        let count = written?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.outgoing.advance(count);
        Ok(count)
    }
}

impl Outgoing {
    pub(super) fn accept(&mut self, message: Message<'_>) {
        match message {
            Message::Small(frames) => self.push(frames),
            Message::Urgent(frame) => self.push_urgent(frame),
            Message::Cancel(id) => self.push_cancel(id),
            Message::Bulk(bulk) => self.push_bulk(bulk),
        }
    }
}
