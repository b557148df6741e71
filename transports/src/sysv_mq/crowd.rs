//! Noticing that a queue was full, and is not any more.

use crate::sys::message_queue::Queue;

/// Notices that the request queue was full, and is not any more. Honest clients do not fill it; but if
/// somebody does, those that found no room have to be told when there is some, and cannot say so.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// What was received since the queue was last looked at.
    bytes: usize,
    messages: u64,
    /// Whether it was rather full then.
    here: bool,
}

impl Crowd {
    /// To be asked after each message: whether there was a crowd, and is none any more.
    pub(super) fn has_dispersed(&mut self, length: usize, queue: Queue) -> bool {
        self.bytes += length;
        self.messages += 1;
        // A full queue is seen before half of it is gone: it is looked at each time that as much was
        // received as fits into an eighth of it, as the smallest that we use is.
        if !self.here && self.bytes < 1024 && self.messages < 1024 {
            return false;
        }
        (self.bytes, self.messages) = (0, 0);
        let Ok(status) = queue.status() else { return false };
        let filled = status.bytes.max(status.messages);
        let limit = if self.here { status.capacity / 4 } else { status.capacity / 2 };
        let was_here = std::mem::replace(&mut self.here, filled > limit);
        was_here && !self.here
    }
}
