//! What an outbox's lock is about: the writer while nobody has it, and what waits for it.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use super::Writer;
use crate::connection::doorbell::Ringing;
use crate::protocol::outgoing::Outgoing;

pub(super) struct State {
    /// `None` while someone writes, or when all is over.
    pub(super) writer: Option<Box<Writer>>,
    /// What was sent while the writer was taken, or while corked.
    pub(super) waiting: Outgoing,
    /// Bytes of large messages that the writer has.
    pub(super) sending: usize,
    /// The last ping that the peer has answered.
    pub(super) answered: u64,
    pub(super) corked: bool,
    /// When to ring.
    pub(super) ringing: Ringing,
    pub(super) ending: Ending,
    /// Why nothing more can be written.
    pub(super) broken: Option<Arc<io::Error>>,
    /// Senders to be woken when there is room.
    pub(super) room: Vec<Waker>,
}

#[derive(PartialEq)]
pub(super) enum Ending {
    Open,
    /// To be closed when all is written.
    Closing,
    Closed,
}

impl State {
    /// Writes small frames where nothing stands before them.
    #[inline]
    pub(super) fn write(&mut self, frames: &[u8]) -> Written {
        let open = self.broken.is_none() && self.ending == Ending::Open;
        if !open || self.corked || !self.waiting.is_empty() {
            return Written::Nothing;
        }
        let Some(mut writer) = self.writer.take() else { return Written::Nothing };
        let result = writer.write_directly(frames);
        if result.is_ok() && writer.outgoing.is_empty() {
            self.writer = Some(writer);
            return Written::All;
        }
        Written::Part(writer, result)
    }

    pub(super) fn wake_room(&mut self) {
        for waker in self.room.drain(..) {
            waker.wake();
        }
    }
}

/// How far frames have come that were written where they stood.
pub(super) enum Written {
    /// Something stands before them.
    Nothing,
    All,
    /// The rest is the holder's to write, after what has become of it so far.
    Part(Box<Writer>, io::Result<()>),
}
