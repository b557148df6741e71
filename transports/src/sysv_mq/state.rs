//! One end of a connection as far as it is told by messages: what was sent and received, who has closed
//! what, and how it ended. Nothing here waits or wakes; that is [`Link`](super::link::Link)'s.

mod outgoing;

use std::collections::VecDeque;
use std::io;

use super::books::{Side, lock};
use super::credit::{INBOX, Impossible, Receiving, Sending, Sizes, low};
use super::frame::{END, HEADER, HUNGRY, Header, MORE, Purpose, ROOM, STOP};
use crate::sys::message_queue::{Kind, Message, Queue};

/// An empty inbox keeps its memory up to so many bytes.
const KEPT: usize = 32 << 10;

/// Where the messages of a connection go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) sending: Queue,
    pub(super) receiving: Queue,
    pub(super) kind: Kind,
    pub(super) tag: u32,
}

/// Which halves of a side are closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) writer: bool,
    pub(super) reader: bool,
}

/// Whether it goes on.
#[derive(Debug)]
enum Fate {
    Open,
    /// The peer's process has ended; what it sent before is still being received.
    Dying,
    Over(Failure),
}

/// Why a connection ended without having been closed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: io::ErrorKind,
    text: String,
}

/// What a message has changed, as far as it concerns more than the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It was no message of this connection.
    Stray,
    /// The peer will send nothing more, and read nothing more.
    Left,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    side: Side,
    /// `None` while a client is not welcomed yet.
    route: Option<Route>,
    sizes: Sizes,
    sending: Sending,
    receiving: Receiving,
    /// What a client has to answer before anything else.
    answer: Option<u64>,
    /// Received, and not read by the owner yet; never more than a window.
    inbox: VecDeque<u8>,
    ours: Closed,
    theirs: Closed,
    fate: Fate,
    /// Whether the peer knows that this side has no credit left.
    hungry: bool,
    /// Whether the queue was full although there was credit: somebody else has filled it.
    crowded: bool,
    /// Whether there is news that did not fit in.
    untold: bool,
    /// Whether the peer is to be told that there is room again, and whether that was told, and not answered.
    roomy: bool,
    room_told: bool,
    /// Whether nothing more will come of the peer: it has said so, or its process has ended and all that it
    /// had sent has been received.
    gone: bool,
    message: Box<Message>,
}

impl State {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            route: None,
            sizes: Sizes { base: 0, pool: 0, window: 0, message: 0 },
            sending: Sending::default(),
            receiving: Receiving::default(),
            answer: None,
            inbox: VecDeque::new(),
            ours: Closed::default(),
            theirs: Closed::default(),
            fate: Fate::Open,
            hungry: false,
            crowded: false,
            untold: false,
            roomy: false,
            room_told: false,
            gone: false,
            message: Message::new(),
        }
    }

    /// From now on messages go by `route`, with the answer to `challenge` first, where there is one.
    pub(super) fn open(&mut self, route: Route, sizes: Sizes, challenge: Option<u64>) {
        self.route = Some(route);
        self.answer = challenge;
        self.sizes = sizes;
        // What both sides start from, as if it had been told.
        match self.side {
            Side::Client => {
                self.sending.begin(sizes.base);
                self.receiving.extend(INBOX);
            }
            Side::Server { .. } => {
                self.sending.begin(INBOX);
                self.receiving.extend(sizes.base);
            }
        }
        self.receiving.told();
        // If it does not fit in now, it goes with what is sent next.
        let _ = self.send_answer(route);
        self.tell_what_is_due();
    }

    /// Ends it, unless it has ended already.
    pub(super) fn fail(&mut self, kind: io::ErrorKind, text: impl Into<String>) {
        if !matches!(self.fate, Fate::Over(_)) {
            self.fate = Fate::Over(Failure { kind, text: text.into() });
        }
    }

    /// Whether it would be news that the peer's process has ended.
    pub(super) fn may_die(&self) -> bool {
        matches!(self.fate, Fate::Open)
    }

    /// The peer's process has ended. What it sent before is still to be received.
    pub(super) fn begin_to_die(&mut self) {
        self.fate = Fate::Dying;
    }

    /// The peer's process has ended, and nothing more of it will come.
    pub(super) fn bury(&mut self, text: impl Into<String>) {
        self.gone = true;
        self.fail(io::ErrorKind::ConnectionReset, text);
    }

    /// Takes in a message of this connection.
    pub(super) fn receive(&mut self, header: Header, bytes: &[u8]) -> Change {
        let ours = self.route.is_some_and(|route| route.tag == header.tag);
        if !ours || header.purpose != Purpose::Stream {
            return Change::Stray;
        }
        if matches!(self.fate, Fate::Over(_)) {
            // The connection has ended, and yet it is to be seen that the peer has left.
            self.note_closed(header);
        } else if let Err(Impossible(what)) = self.take(header, bytes) {
            self.fail(io::ErrorKind::InvalidData, what);
        }
        if self.has_peer_left() { Change::Left } else { Change::None }
    }

    /// Takes in that the peer has gone, in good order.
    pub(super) fn receive_leave(&mut self, header: Header) -> Change {
        if self.route.is_none_or(|route| route.tag != header.tag) {
            return Change::Stray;
        }
        self.note_gone();
        if header.position != low(self.receiving.total()) {
            self.theirs.writer = false;
            self.fail(io::ErrorKind::ConnectionReset, "it has gone, and messages are missing");
        }
        Change::Left
    }

    /// The peer has gone, in good order.
    pub(super) fn note_gone(&mut self) {
        self.gone = true;
        self.theirs = Closed { writer: true, reader: true };
    }

    fn take(&mut self, header: Header, bytes: &[u8]) -> Result<(), Impossible> {
        if self.theirs.writer && !bytes.is_empty() {
            return Err(Impossible("it wrote after its end"));
        }
        if header.position != low(self.receiving.total()) {
            return Err(Impossible("messages are missing"));
        }
        self.sending.acknowledge(header.taken)?;
        self.note_credit(header.window);
        if bytes.is_empty() {
            if header.flags & HUNGRY != 0 {
                self.receiving.starves();
            }
        } else {
            self.take_bytes(header.flags, bytes)?;
        }
        self.note_closed(header);
        // Whoever sends this also receives, and so makes room.
        self.crowded = false;
        self.room_told = self.roomy;
        // To be answered, so that it shows who has not been stopped.
        self.untold |= header.flags & ROOM != 0;
        self.tell_what_is_due();
        Ok(())
    }

    fn take_bytes(&mut self, flags: u8, bytes: &[u8]) -> Result<(), Impossible> {
        let (cost, more) = (HEADER + bytes.len(), flags & MORE != 0);
        self.receiving.received(cost, more, flags & HUNGRY != 0, self.lapsing_to(false))?;
        if !self.ours.reader {
            self.inbox.extend(bytes);
        }
        let outside_base = self.receiving.expected().saturating_sub(self.sizes.base);
        if let Side::Server { books, lent } = &mut self.side {
            lock(&books.request).lend(&mut lent.request, outside_base);
        }
        Ok(())
    }

    fn note_credit(&mut self, window: u16) {
        self.sending.grant(window, self.lapsing_to(true));
        let outside_base = self.sending.in_queue().saturating_sub(self.sizes.base);
        if let Side::Server { books, lent } = &mut self.side {
            lock(&books.reply).lend(&mut lent.reply, outside_base);
        }
    }

    /// To what the credit of a direction falls back when nothing more comes: only clients are lent credit.
    fn lapsing_to(&self, sending: bool) -> Option<usize> {
        let is_request = sending == matches!(self.side, Side::Client);
        is_request.then_some(self.sizes.base)
    }

    fn note_closed(&mut self, header: Header) {
        self.theirs.writer |= header.flags & END != 0;
        self.theirs.reader |= header.flags & STOP != 0;
    }

    /// Reads for the owner; `WouldBlock` when nothing is there.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let count = limit.min(self.inbox.len());
        if count > 0 {
            let (front, back) = self.inbox.as_slices();
            let from_front = count.min(front.len());
            buffer.extend_from_slice(&front[..from_front]);
            buffer.extend_from_slice(&back[..count - from_front]);
            self.inbox.drain(..count);
            if self.inbox.is_empty() && self.inbox.capacity() > KEPT {
                self.inbox = VecDeque::new();
            }
            self.tell_what_is_due();
            return Ok(count);
        }
        match &self.fate {
            _ if self.theirs.writer => Ok(0),
            Fate::Over(failure) => Err(failure.to_error()),
            Fate::Open | Fate::Dying => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty() || self.theirs.writer || matches!(self.fate, Fate::Over(_))
    }

    pub(super) fn close_writer(&mut self) {
        self.ours.writer = true;
        self.untold = true;
        self.tell_what_is_due();
    }

    pub(super) fn close_reader(&mut self) {
        self.ours.reader = true;
        self.inbox = VecDeque::new();
        self.untold = true;
        self.tell_what_is_due();
    }

    /// Notes that both halves are closed, where they have not done so themselves.
    pub(super) fn close(&mut self) {
        self.ours = Closed { writer: true, reader: true };
    }

    /// The queue was full, and may not be any more.
    pub(super) fn try_again(&mut self) {
        self.crowded = false;
        self.tell_what_is_due();
    }

    /// Tells the peer that there is room again in the queue that it writes to.
    pub(super) fn tell_of_room(&mut self) {
        // As long as the last time has not been answered, that is there to be read.
        if !std::mem::replace(&mut self.room_told, true) {
            (self.roomy, self.untold) = (true, true);
            self.tell_what_is_due();
        }
    }

    /// Closes both halves, as far as the peer is concerned.
    pub(super) fn close_both(&mut self) {
        let both = Closed { writer: true, reader: true };
        if self.ours != both {
            self.ours = both;
            self.untold = true;
        }
        self.tell_what_is_due();
    }

    /// Says that this side has gone, and receives nothing more.
    pub(super) fn leave(&mut self) {
        let Some(route) = self.route else { return };
        let position = low(self.sending.total());
        let header = Header { position, ..Header::bare(route.tag, Purpose::Leave) };
        // If it cannot be told, the server finds out when this process ends.
        let _ = self.send_answer(route).and_then(|()| self.send_message(route, header, 0));
    }

    /// Gives back all that was borrowed.
    pub(super) fn give_back(&mut self) {
        if let Side::Server { books, lent } = &mut self.side {
            lock(&books.request).lend(&mut lent.request, 0);
            lock(&books.reply).lend(&mut lent.reply, 0);
        }
    }

    pub(super) fn has_peer_left(&self) -> bool {
        self.theirs.writer && self.theirs.reader
    }

    /// Whether nothing more will come of the peer, nor be received by it.
    pub(super) fn is_peer_gone(&self) -> bool {
        self.gone
    }

    /// Whether both halves were closed on this side.
    pub(super) fn is_closed(&self) -> bool {
        self.ours.writer && self.ours.reader
    }

    pub(super) fn route(&self) -> Option<Route> {
        self.route
    }

    /// Whether there is news for the peer that did not fit into the queue.
    pub(super) fn has_untold_news(&self) -> bool {
        self.untold && self.is_open()
    }

    /// Whether the peer still takes messages: it has not died, and has not closed both of its halves.
    fn is_open(&self) -> bool {
        let alive = !matches!(self.fate, Fate::Dying | Fate::Over(_));
        self.route.is_some() && alive && !self.has_peer_left()
    }
}

/// Whether `queue` takes nothing more because its server is ending, or has ended.
pub(super) fn is_closing(queue: Queue) -> bool {
    queue.status().map_or(true, |status| status.capacity == 0)
}

impl Closed {
    fn flags(self) -> u8 {
        let end = if self.writer { END } else { 0 };
        let stop = if self.reader { STOP } else { 0 };
        end | stop
    }
}

impl Failure {
    fn to_error(&self) -> io::Error {
        io::Error::new(self.kind, self.text.clone())
    }
}

#[cfg(test)]
mod tests;
