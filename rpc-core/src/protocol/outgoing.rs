//! What is to be sent, in the order in which it goes.
//!
//! Sans-IO: frames are pushed, [`Outgoing::slices`] shows the next bytes, [`Outgoing::advance`] says
//! how many of them were written. Small frames go before large ones, urgent frames before both, and
//! large messages take turns, one fragment each, at the pace of `Pace`. A frame that has begun is
//! always ended first.

mod bulk;

use std::collections::VecDeque;
use std::io::IoSlice;

pub use bulk::{Bulk, Receipt, Sender};

use crate::protocol::pace::{FRAGMENT_IN_COMPANY, Pace};
use crate::wire::frame::{ANSWER, END, FRAGMENT, HEADER, Header, Kind, PIECE};
use crate::wire::scratch;

/// Bytes of a large message's data in its first frame. That frame is received into a buffer and copied;
/// the others are received where they belong.
const FIRST: usize = 4 << 10;

/// Slices given to one write: small frames, and one fragment with its header.
const SLICES: usize = 3;

/// A large message being sent.
#[derive(Debug)]
struct Sending {
    bulk: Bulk,
    /// Bytes of `data`, from its start, that are in frames already begun.
    framed: usize,
    /// Whether its first frame has been, if it has one of its own.
    begun: bool,
    /// Whether it ends, early, after its current fragment.
    cancelled: bool,
}

/// The queue of one direction.
#[derive(Debug)]
pub struct Outgoing {
    /// Frames being written now; those before `written` are out.
    current: Vec<u8>,
    written: usize,
    urgent: Vec<u8>,
    /// Calls to be cancelled. Such a frame overtakes all but the call that it is about.
    cancels: Vec<u64>,
    /// Whether a cancellation may not be out yet, wherever in the queue it is.
    cancelling: bool,
    small: Vec<u8>,
    bulk: VecDeque<Sending>,
    /// Bytes of the messages in `bulk`.
    bulk_bytes: usize,
    /// The fragment behind `current`: of the front of `bulk`, up to its `framed`.
    fragment: Option<Fragment>,
    pace: Pace,
    /// Bytes of large messages that have begun and not ended.
    open: usize,
    /// The most that may be open, from the peer's `Hello`. Invariant kept unless one message alone is
    /// larger, which its sender has refused before.
    open_limit: usize,
}

/// The fragment that is being written.
#[derive(Debug)]
struct Fragment {
    head: Vec<u8>,
    /// Of `head` and the data after it.
    written: usize,
    /// Bytes of data.
    length: usize,
}

impl Outgoing {
    /// An empty queue. `open_limit`: bytes of large messages that the peer is ready to hold.
    pub fn new(open_limit: usize) -> Self {
        Self {
            current: Vec::new(),
            written: 0,
            urgent: Vec::new(),
            cancels: Vec::new(),
            cancelling: false,
            small: Vec::new(),
            bulk: VecDeque::new(),
            bulk_bytes: 0,
            fragment: None,
            pace: Pace::default(),
            open: 0,
            open_limit,
        }
    }

    /// Changes the limit, once the peer's `Hello` has come.
    pub fn set_open_limit(&mut self, limit: usize) {
        self.open_limit = limit;
    }

    /// Queues whole frames.
    #[inline]
    pub fn push(&mut self, frames: &[u8]) {
        self.small.extend_from_slice(frames);
    }

    /// Queues a frame that overtakes what is queued.
    pub fn push_urgent(&mut self, frame: &[u8]) {
        self.urgent.extend_from_slice(frame);
    }

    /// Cancels a call. What is left of a large one is not sent.
    pub fn push_cancel(&mut self, id: u64) {
        self.cancels.push(id);
        self.cancelling = true;
    }

    /// Queues a large message.
    pub fn push_bulk(&mut self, bulk: Bulk) {
        self.bulk_bytes += bulk.total();
        let begun = bulk.is_part_of_stream();
        self.bulk.push_back(Sending { framed: bulk.skip, bulk, begun, cancelled: false });
    }

    /// Keeps the pace of large messages among small frames, by the answers to pings, or no longer, because
    /// nobody reads those; `answered` is the last answer that was read. Not kept at first.
    #[inline]
    pub fn set_pace(&mut self, kept: bool, answered: u64) {
        if !self.bulk.is_empty() {
            self.pace.update(kept, answered);
        }
    }

    /// A small frame was written without being queued, of which `written` bytes are out. Only at
    /// [rest](Self::is_at_rest).
    #[inline]
    pub fn note_written(&mut self, frame: &[u8], written: usize) {
        debug_assert!(self.is_at_rest(), "another frame may be in the middle");
        if !self.bulk.is_empty() {
            self.pace.note_company();
        }
        if written < frame.len() {
            self.current.clear();
            self.written = 0;
            self.current.extend_from_slice(&frame[written..]);
        }
    }

    /// Takes over all that was pushed to another queue, of which nothing was written.
    #[inline]
    pub fn append(&mut self, other: &mut Self) {
        if !other.is_empty() {
            self.take_over(other);
        }
    }

    fn take_over(&mut self, other: &mut Self) {
        move_over(&mut self.urgent, &mut other.urgent);
        self.cancels.append(&mut other.cancels);
        self.cancelling |= std::mem::take(&mut other.cancelling);
        move_over(&mut self.small, &mut other.small);
        self.bulk.append(&mut other.bulk);
        self.bulk_bytes += std::mem::take(&mut other.bulk_bytes);
    }

    /// Whether all is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.has_only_bulk() && self.bulk.is_empty()
    }

    /// Whether there is nothing to write now: all is written but large messages that wait for the peer to
    /// read. No frame is in the middle.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        self.has_only_bulk() && !self.may_begin()
    }

    /// Whether a fragment may go now.
    #[inline]
    fn may_begin(&self) -> bool {
        !self.bulk.is_empty() && self.pace.may_go() && self.next_turn().is_some()
    }

    #[inline]
    fn has_only_bulk(&self) -> bool {
        self.written == self.current.len()
            && self.small.is_empty()
            && self.urgent.is_empty()
            && self.cancels.is_empty()
            && self.fragment.is_none()
    }

    /// Whether a cancellation waits to be written. One that goes with a fragment, or in front of small frames, counts
    /// until those are written, too.
    pub fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// Bytes of small frames that wait.
    pub fn queued(&self) -> usize {
        let cancels = self.cancels.len() * HEADER;
        self.current.len() - self.written + self.small.len() + self.urgent.len() + cancels
    }

    /// Bytes of large messages that wait, or are being sent.
    pub fn bulk_bytes(&self) -> usize {
        self.bulk_bytes
    }

    /// Shows the next bytes to write to `with`, and gives its result; `None` if there are none now, as at
    /// [rest](Self::is_at_rest), or when there was only a cancellation that takes no frame.
    pub fn slices<R>(&mut self, with: impl FnOnce(&[IoSlice<'_>]) -> R) -> Option<R> {
        self.prepare();
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let mut add = |slice| {
            slices[count] = slice;
            count += 1;
        };
        if self.written < self.current.len() {
            add(IoSlice::new(&self.current[self.written..]));
        }
        if let (Some(fragment), Some(sending)) = (&self.fragment, self.bulk.front()) {
            let data = &sending.bulk.data[sending.framed - fragment.length..sending.framed];
            if let Some(head) = fragment.head.get(fragment.written..) {
                add(IoSlice::new(head));
                add(IoSlice::new(data));
            } else {
                add(IoSlice::new(&data[fragment.written - fragment.head.len()..]));
            }
        }
        (count > 0).then(|| with(&slices[..count]))
    }

    /// Says that this many of the bytes shown were written.
    pub fn advance(&mut self, count: usize) {
        let of_current = count.min(self.current.len() - self.written);
        self.written += of_current;
        if self.written == self.current.len() {
            self.current.clear();
            self.written = 0;
        }
        if let Some(fragment) = &mut self.fragment {
            fragment.written += count - of_current;
            if fragment.written < fragment.head.len() + fragment.length {
                return;
            }
            if let Some(fragment) = self.fragment.take() {
                scratch::give(fragment.head);
            }
            self.end_turn();
        }
        if self.cancelling {
            self.note_cancelled();
        }
    }

    /// Between two fragments: notes whether all cancellations are out.
    #[cold]
    fn note_cancelled(&mut self) {
        self.cancelling = self.queued() > 0 || self.bulk.iter().any(|sending| sending.cancelled);
    }

    /// Decides what goes next, once what went before is out.
    fn prepare(&mut self) {
        if self.fragment.as_ref().is_some_and(|fragment| fragment.written > 0) {
            return;
        }
        if !self.cancels.is_empty() {
            self.place_cancels();
        }
        // Urgent frames are none: most of them are answers to pings, sent because of large messages.
        if !self.small.is_empty() {
            self.pace.note_company();
        }
        if self.current.is_empty() {
            std::mem::swap(&mut self.current, &mut self.urgent);
        }
        if self.current.is_empty() {
            std::mem::swap(&mut self.current, &mut self.small);
        } else if self.written == 0 {
            self.current.append(&mut self.small);
        }
        if self.fragment.is_none() && self.pace.may_go() {
            self.begin_fragment();
        }
    }

    /// Puts each cancellation where it comes after what it is about.
    #[cold]
    fn place_cancels(&mut self) {
        for id in std::mem::take(&mut self.cancels) {
            self.drop_stream(id);
            let is_it = |sending: &Sending| {
                let header = &sending.bulk.header;
                header.id == id && header.kind == Kind::Call
            };
            if let Some(index) = self.bulk.iter().position(is_it) {
                let writing = index == 0 && self.fragment.is_some();
                if writing || !self.bulk[index].begun {
                    self.bulk[index].cancelled = true;
                    continue;
                }
                self.bulk.remove(index).into_iter().for_each(|sending| self.ended(sending));
            }
            let frame = Header::new(Kind::Cancel, id).to_bytes();
            let behind = if has_call(&self.small, id) { &mut self.small } else { &mut self.urgent };
            behind.extend_from_slice(&frame);
        }
    }

    /// What waits of a stream whose call is cancelled is not sent, but for what is being written.
    fn drop_stream(&mut self, id: u64) {
        let writing = self.fragment.is_some();
        let (mut index, mut bytes) = (0, 0);
        self.bulk.retain_mut(|Sending { bulk, framed, .. }| {
            index += 1;
            if !bulk.is_part_of_stream() || bulk.header.id != id {
                return true;
            }
            let kept = if index == 1 && writing { *framed } else { 0 };
            bytes += bulk.data.len() - kept;
            bulk.data.truncate(kept);
            index == 1 && writing
        });
        self.bulk_bytes -= bytes;
    }

    /// Frames the next piece of the large message whose turn it is.
    fn begin_fragment(&mut self) {
        let Some(index) = self.next_turn() else { return };
        self.bulk.swap(0, index);
        let alone = self.pace.is_alone() && self.bulk.len() == 1;
        let most = if self.pace.is_kept() { FRAGMENT_IN_COMPANY } else { FRAGMENT };
        let Some(sending) = self.bulk.front_mut() else { return };
        let (bulk, left) = (&sending.bulk, sending.bulk.data.len() - sending.framed);
        let length = left.min(match (sending.begun, alone) {
            (false, _) => FIRST,
            (true, false) => most,
            (true, true) => PIECE,
        });
        let mut head = scratch::take();
        if let Some(ping) = self.pace.begin_fragment() {
            head.extend_from_slice(&Header::new(Kind::Ping, ping).to_bytes());
        }
        if sending.begun {
            let mut header = Header::new(Kind::Data, bulk.header.id);
            header.length = length as u32;
            header.flags = match bulk.header.kind {
                Kind::Data if length < left => bulk.header.flags & !END,
                Kind::Data => bulk.header.flags,
                Kind::Reply => ANSWER,
                _ => 0,
            };
            head.extend_from_slice(&header.to_bytes());
        } else {
            self.open += bulk.total();
            bulk.first_head(length, &mut head);
        }
        sending.begun = true;
        sending.framed += length;
        self.fragment = Some(Fragment { head, written: 0, length });
    }

    /// The first large message that has begun, or that may begin now.
    fn next_turn(&self) -> Option<usize> {
        let may_begin = |sending: &Sending| {
            self.open == 0 || self.open + sending.bulk.total() <= self.open_limit
        };
        self.bulk.iter().position(|sending| sending.begun || may_begin(sending))
    }

    /// A fragment is out: the message ends, or goes to the back of the line.
    fn end_turn(&mut self) {
        let Some(sending) = self.bulk.pop_front() else { return };
        if sending.cancelled {
            let frame = Header::new(Kind::Cancel, sending.bulk.header.id).to_bytes();
            self.urgent.extend_from_slice(&frame);
        } else if sending.framed < sending.bulk.data.len() {
            return self.bulk.push_back(sending);
        }
        self.ended(sending);
    }

    /// Nothing more of a begun message is sent.
    fn ended(&mut self, sending: Sending) {
        if !sending.bulk.is_part_of_stream() {
            self.open -= sending.bulk.total();
        }
        self.bulk_bytes -= sending.bulk.total();
        scratch::give(sending.bulk.data);
    }
}

/// Whether one of these frames is the call `id`.
fn has_call(mut frames: &[u8], id: u64) -> bool {
    while let Some((head, _)) = frames.split_first_chunk::<HEADER>() {
        let Ok(header) = Header::from_bytes(head) else { return false };
        if header.kind == Kind::Call && header.id == id {
            return true;
        }
        frames = frames.get(HEADER + header.length as usize..).unwrap_or_default();
    }
    false
}

fn move_over(to: &mut Vec<u8>, from: &mut Vec<u8>) {
    if to.is_empty() {
        std::mem::swap(to, from);
    } else {
        to.append(from);
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "outgoing_cancel_tests.rs"]
mod cancel_tests;
