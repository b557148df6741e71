//! What a state does with what is to be sent: bytes as far as there is credit, and news.

use std::io::{self, IoSlice};

use nix::errno::Errno;

use super::super::books::{Side, lock};
use super::super::credit::{INBOX, Sizes, low};
use super::super::frame::{HEADER, HUNGRY, Header, MORE, Purpose, ROOM};
use super::super::gather::Gather;
use super::{Fate, Route, State, is_closing};

impl State {
    /// Writes for the owner; `WouldBlock` when nothing fits.
    pub(in crate::sysv_mq) fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Fate::Over(failure) = &self.fate {
            return Err(failure.to_error());
        }
        if self.theirs.reader {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.route.is_none() {
            // Not even nothing can be written before the connection stands.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut gather = Gather::new(buffers);
        let mut written = 0;
        while !gather.is_empty() && !self.crowded {
            let room = self.room(gather.left());
            if room < self.least(gather.left(), room) {
                break;
            }
            match self.write_once(&mut gather, room) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if written == 0 && !gather.is_empty() {
            self.beg();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    /// Sends one message with what there is room for.
    fn write_once(&mut self, gather: &mut Gather<'_>, room: usize) -> io::Result<usize> {
        let count = gather.left().min(room.min(self.sizes.message) - HEADER);
        let more = gather.left() > count;
        let cost = HEADER + count;
        // Early, so that the answer comes while there is still something to send.
        let hungry = more && room - cost < self.sending.in_queue() + cost;
        let mut flags = if more { MORE } else { 0 };
        if hungry {
            flags |= HUNGRY;
        }
        gather.copy_to(&mut self.message.bytes_mut()[HEADER..cost]);
        self.send(flags, count)?;
        gather.advance(count);
        self.sending.sent(cost, more, self.lapsing_to(true));
        self.hungry = hungry;
        Ok(count)
    }

    pub(in crate::sysv_mq) fn is_writable(&mut self) -> bool {
        if matches!(self.fate, Fate::Over(_)) || self.theirs.reader {
            return true;
        }
        if self.route.is_none() || self.crowded {
            return false;
        }
        let room = self.room(usize::MAX);
        room >= self.least(usize::MAX, room)
    }

    /// Bytes of messages that may be sent now, when `wanted` bytes are to be written.
    fn room(&mut self, wanted: usize) -> usize {
        let Side::Server { books, lent } = &mut self.side else {
            return self.sending.room(usize::MAX);
        };
        let cost = HEADER + wanted.min(self.sizes.message - HEADER);
        let all = (self.sending.in_queue() + cost).min(self.sizes.window);
        let outside_base = all.saturating_sub(self.sizes.base).max(lent.reply);
        lock(&books.reply).lend(&mut lent.reply, outside_base);
        self.sending.room(self.sizes.base + lent.reply)
    }

    /// The least of `room` that a message with some of `wanted` bytes is sent for: small ones would cost as
    /// much as large ones.
    fn least(&self, wanted: usize, room: usize) -> usize {
        let window = self.sending.in_queue() + room;
        let worthwhile = (window / 4).min(self.sizes.message - HEADER).max(1);
        HEADER + wanted.min(worthwhile)
    }

    /// Says, once, that there is something to send and no credit left.
    fn beg(&mut self) {
        if !self.hungry && !self.crowded && self.is_open() && self.send(MORE | HUNGRY, 0).is_ok() {
            self.hungry = true;
        }
    }

    /// Tells the peer what was read, and what else it has not been told, if it is time for that.
    pub(in crate::sysv_mq) fn tell_what_is_due(&mut self) {
        if !self.is_open() {
            return;
        }
        if self.receiving.is_hungry() {
            self.let_more_come();
        }
        // Whoever sends nothing more needs no credit, and whoever reads nothing more gives none.
        let flows = !self.theirs.writer && !self.ours.reader;
        let awaited = flows && self.receiving.is_awaited(self.sizes.base);
        let missing =
            matches!(self.side, Side::Client) && self.receiving.is_missing(self.sizes.base);
        if self.untold || awaited || missing {
            self.untold = match self.send(0, 0) {
                Ok(()) => false,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
        }
    }

    /// Sends the first `count` bytes that stand in the message behind its header, and with them all news.
    pub(super) fn send(&mut self, flags: u8, count: usize) -> io::Result<()> {
        let Some(route) = self.route else { return Err(io::ErrorKind::NotConnected.into()) };
        self.send_answer(route)?;
        self.let_more_come();
        let header = Header {
            tag: route.tag,
            purpose: Purpose::Stream,
            flags: flags | self.ours.flags() | if self.roomy { ROOM } else { 0 },
            window: self.receiving.units(),
            position: low(self.sending.total()),
            taken: low(self.receiving.total()),
        };
        self.send_message(route, header, count)?;
        self.receiving.told();
        (self.untold, self.roomy) = (false, false);
        Ok(())
    }

    pub(super) fn send_answer(&mut self, route: Route) -> io::Result<()> {
        if let Some(challenge) = self.answer {
            // What stands there is kept: it is to be sent next.
            let mut kept = [0; 8];
            let place = HEADER..HEADER + kept.len();
            kept.copy_from_slice(&self.message.bytes_mut()[place.clone()]);
            self.message.bytes_mut()[place.clone()].copy_from_slice(&challenge.to_le_bytes());
            let header = Header::bare(route.tag, Purpose::Answer);
            let sent = self.send_message(route, header, kept.len());
            self.message.bytes_mut()[place].copy_from_slice(&kept);
            sent?;
            self.answer = None;
        }
        Ok(())
    }

    pub(super) fn send_message(
        &mut self,
        route: Route,
        header: Header,
        count: usize,
    ) -> io::Result<()> {
        self.message.set_kind(route.kind);
        self.message.bytes_mut()[..HEADER].copy_from_slice(&header.to_bytes());
        let sent = route.sending.send(&self.message, HEADER + count);
        sent.map_err(|error| self.explain(&error, route))
    }

    /// Lets as much come as there is place for, in the inbox and in the queue.
    pub(super) fn let_more_come(&mut self) {
        let place = INBOX.saturating_sub(self.inbox.len());
        let Side::Server { books, lent } = &mut self.side else {
            return self.receiving.extend(place);
        };
        let Sizes { base, window, .. } = self.sizes;
        let wanted = if self.receiving.expects_more() { window } else { base }.min(place);
        let outside_base = wanted.max(self.receiving.expected()).saturating_sub(base);
        lock(&books.request).lend(&mut lent.request, outside_base);
        self.receiving.extend(wanted.min(base + lent.request));
    }

    /// What it means that a message could not be sent.
    fn explain(&mut self, error: &io::Error, route: Route) -> io::Error {
        match (&self.side, error.raw_os_error().map(Errno::from_raw)) {
            (Side::Client, Some(Errno::EAGAIN)) if is_closing(route.sending) => self.unread(),
            // Nothing of this connection is in the queue, and what it may always have does not fit in.
            (Side::Server { .. }, Some(Errno::EAGAIN)) if self.sending.in_queue() == 0 => {
                self.give_up("its reply queue is full of messages that nobody takes")
            }
            (side, Some(Errno::EAGAIN)) => {
                if let Side::Server { books, .. } = side {
                    books.note_crowded();
                }
                self.crowded = true;
                io::ErrorKind::WouldBlock.into()
            }
            // The server has ended, and its last words may still be in the other queue.
            (Side::Client, Some(Errno::EIDRM | Errno::EINVAL)) => self.unread(),
            _ => self.give_up(&format!("sending to its queue: {error}")),
        }
    }

    fn give_up(&mut self, text: &str) -> io::Error {
        self.fail(io::ErrorKind::ConnectionReset, text);
        io::Error::new(io::ErrorKind::ConnectionReset, text)
    }

    /// Nobody reads any more what this side sends.
    fn unread(&mut self) -> io::Error {
        self.theirs.reader = true;
        io::ErrorKind::BrokenPipe.into()
    }
}
