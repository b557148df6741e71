//! Received bytes become frames, and fragments become messages.
//!
//! Sans-IO: [`Incoming::want`] says where the next bytes should be put and how many are useful,
//! [`Incoming::next_event`] gives what can be made of those that came. Small frames are taken from the buffer
//! in place; the fragments of a large message are received straight into the message, without a copy
//! in between. What the peer can make this hold is bounded by `held_bytes`, known to it from `Hello`.

mod event;

pub use event::{Event, IncomingCall, Payload, Violation};

use crate::wire::frame::{
    ANSWER, BODY, FRAGMENT, HEADER, Header, ITEM, Kind, MORE, ONEWAY, PREFACE, Prefix,
};
use crate::wire::payload::Received;
use crate::wire::scratch;

/// The receive buffer, in bytes; it grows for a longer frame. What is read ahead of a large message's
/// pieces has to be copied, so it is not larger.
const BUFFER: usize = 32 << 10;

/// A large message of which some fragments are here.
#[derive(Debug)]
struct Partial {
    id: u64,
    answer: bool,
    code: u16,
    oneway: bool,
    remaining: Option<u64>,
    metadata: Vec<u8>,
    total: usize,
    /// Whether `data` is a byte string, and the payload its length and it.
    lone: bool,
    /// Invariant: `data.len() <= total`.
    data: Vec<u8>,
}

/// How far the peer has introduced itself. Before its `Hello` nothing is held for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preface,
    Hello,
    Open,
}

/// Turns bytes into events.
#[derive(Debug)]
pub struct Incoming {
    /// Received bytes; those before `start` are used up.
    buffer: Vec<u8>,
    start: usize,
    stage: Stage,
    /// Large messages under way. Few, so a list.
    partials: Vec<Partial>,
    /// The partial message, and the bytes of its current fragment that are still to come. While some
    /// are, the buffer is empty.
    direct: Option<(usize, usize)>,
    message_limit: usize,
    held_limit: usize,
}

impl Incoming {
    /// Ready for the preface. `message_limit` and `held_limit` are in bytes.
    pub fn new(message_limit: usize, held_limit: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(BUFFER),
            start: 0,
            stage: Stage::Preface,
            partials: Vec::new(),
            direct: None,
            message_limit,
            held_limit,
        }
    }

    /// Where the next bytes go, and how many at most; the vector has the capacity for them. To be
    /// called when [`next_event`](Self::next_event) has nothing more.
    #[inline]
    pub fn want(&mut self) -> (&mut Vec<u8>, usize) {
        if let Some((index, left)) = self.direct {
            let data = &mut self.partials[index].data;
            // With the header of the frame behind it, so that nothing has to be read just for that.
            return (data, left + HEADER);
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > HEADER + BODY {
                // A long `Hello` made it grow.
                self.buffer.shrink_to(BUFFER);
            }
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let whole = self.frame_length();
        if whole > self.buffer.capacity() {
            self.buffer.reserve_exact(whole - self.buffer.len());
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        (&mut self.buffer, spare)
    }

    /// Whether the peer has begun something that it has not ended.
    pub fn is_midway(&self) -> bool {
        self.start < self.buffer.len() || !self.partials.is_empty()
    }

    /// The next event, if enough has come for one.
    ///
    /// # Errors
    /// A [`Violation`]; nothing that follows means anything.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Violation> {
        match self.plain_frame() {
            Some((head, from)) => Ok(Some(plain_event(head, &self.buffer[from..self.start]))),
            None => self.any_event(),
        }
    }

    /// What most frames are: a call or a reply without optional fields, all of which is here. Gives its header,
    /// and where its payload begins, which ends at the new `start`.
    #[inline]
    fn plain_frame(&mut self) -> Option<(PlainHead, usize)> {
        let &[l0, l1, l2, l3, kind, 0, c0, c1, ref id @ ..] =
            self.buffer[self.start..].first_chunk::<HEADER>()?
        else {
            return None;
        };
        let answer = kind == Kind::Reply as u8;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let limit = if answer { FRAGMENT } else { FRAGMENT.min(self.message_limit) };
        let from = self.start + HEADER;
        let is_plain = (answer || kind == Kind::Call as u8)
            && length <= limit
            && self.buffer.len() - from >= length
            && self.stage == Stage::Open
            && self.direct.is_none();
        if !is_plain {
            return None;
        }
        self.start = from + length;
        let (code, id) = (u16::from_le_bytes([c0, c1]), u64::from_le_bytes(*id));
        Some((PlainHead { answer, code, id }, from))
    }

    fn any_event(&mut self) -> Result<Option<Event<'_>>, Violation> {
        loop {
            if let Some((index, _)) = self.direct {
                match self.fragment_progress(index) {
                    Some(whole) => return Ok(Some(whole.into_event())),
                    None if self.direct.is_some() => return Ok(None),
                    None => continue,
                }
            }
            if self.stage == Stage::Preface {
                return self.preface();
            }
            let rest = &self.buffer[self.start..];
            let Some(head) = rest.first_chunk::<HEADER>() else { return Ok(None) };
            let header = Header::from_bytes(head)?;
            if self.stage == Stage::Hello {
                self.first_frame(header.kind)?;
            }
            if header.kind == Kind::Data && header.flags & ITEM == 0 {
                self.begin_fragment(header)?;
                continue;
            }
            let end = self.start + HEADER + header.length as usize;
            if self.buffer.len() < end {
                return Ok(None);
            }
            let body_start = self.start + HEADER;
            self.start = end;
            if matches!(header.kind, Kind::Call | Kind::Reply) && header.flags & MORE != 0 {
                self.begin_message(header, body_start, end)?;
                continue;
            }
            if header.kind == Kind::Cancel
                && let Some(partial) = self.take_partial(header.id)
            {
                return Ok(Some(Event::Withdrawn { id: partial.id, oneway: partial.oneway }));
            }
            return whole_frame(header, &self.buffer[body_start..end], self.message_limit)
                .map(Some);
        }
    }

    fn preface(&mut self) -> Result<Option<Event<'_>>, Violation> {
        let Some(first) = self.buffer.first_chunk::<8>() else {
            // Whoever begins otherwise need not be waited for.
            if !PREFACE.starts_with(&self.buffer) {
                let mut first = [0; 8];
                first[..self.buffer.len()].copy_from_slice(&self.buffer);
                return Err(Violation::Preface(first));
            }
            return Ok(None);
        };
        if *first != PREFACE {
            return Err(Violation::Preface(*first));
        }
        self.stage = Stage::Hello;
        self.start = PREFACE.len();
        Ok(Some(Event::Preface))
    }

    /// A peer begins with its `Hello`, or turns us away.
    fn first_frame(&mut self, kind: Kind) -> Result<(), Violation> {
        match kind {
            Kind::Hello => self.stage = Stage::Open,
            Kind::Goodbye => {}
            _ => return Err(Violation::Early { kind }),
        }
        Ok(())
    }

    /// The length of the frame at `start`, or 0 while its header is not complete. `next_event` has refused
    /// what is longer than a frame may be.
    fn frame_length(&self) -> usize {
        let head = self.buffer[self.start..].first_chunk::<HEADER>();
        let header = head.filter(|_| self.stage != Stage::Preface).map(Header::from_bytes);
        header.and_then(Result::ok).map_or(0, |header| HEADER + header.length as usize)
    }

    fn begin_message(&mut self, header: Header, from: usize, to: usize) -> Result<(), Violation> {
        let id = header.id;
        let (prefix, first) = Prefix::read(&header, &self.buffer[from..to])?;
        let total = prefix.total.unwrap_or(0);
        if total > self.message_limit as u64 {
            return Err(Violation::Message { total, limit: self.message_limit });
        }
        // Short ones could be begun in any number, each with metadata that is not counted.
        if total <= FRAGMENT as u64 {
            return Err(Violation::Fragment { what: "a needless first fragment", id });
        }
        let begun = self.partials.iter().map(|p| p.total as u64).sum::<u64>();
        let held = total.saturating_add(begun);
        if held > self.held_limit as u64 {
            return Err(Violation::Held { held, limit: self.held_limit });
        }
        let answer = header.kind == Kind::Reply;
        if self.partials.iter().any(|p| p.id == id && p.answer == answer) {
            return Err(Violation::Fragment { what: "a second beginning", id });
        }
        let total = total as usize;
        if first.is_empty() || first.len() >= total {
            return Err(Violation::Fragment {
                what: "a first fragment that is all or nothing",
                id,
            });
        }
        // A byte string that is all of the message is kept by itself.
        let prefix_length = Received::lone_prefix(first, total);
        let (first, total) = match prefix_length {
            Some(length) => (&first[length..], total - length),
            None => (first, total),
        };
        // See `want`.
        let mut data = scratch::take_large(total + HEADER);
        data.extend_from_slice(first);
        self.partials.push(Partial {
            id,
            answer,
            code: header.code,
            oneway: header.flags & ONEWAY != 0,
            remaining: prefix.remaining,
            metadata: prefix.metadata.to_vec(),
            total,
            lone: prefix_length.is_some(),
            data,
        });
        Ok(())
    }

    /// Forgets what has come of a call that is cancelled.
    fn take_partial(&mut self, id: u64) -> Option<Partial> {
        let index = self.partials.iter().position(|p| p.id == id && !p.answer)?;
        // Between two frames no fragment is under way, so nothing refers to a place in the list.
        Some(self.partials.swap_remove(index))
    }

    /// Takes in as much of a fragment as is here.
    fn begin_fragment(&mut self, header: Header) -> Result<(), Violation> {
        let (id, length) = (header.id, header.length as usize);
        let answer = header.flags & ANSWER != 0;
        let index = self.partials.iter().position(|p| p.id == id && p.answer == answer);
        let Some(index) = index else {
            return Err(Violation::Fragment { what: "a fragment without a beginning", id });
        };
        let partial = &mut self.partials[index];
        if length == 0 || length > partial.total - partial.data.len() {
            return Err(Violation::Fragment {
                what: "a fragment that is empty or past the end",
                id,
            });
        }
        let from = self.start + HEADER;
        let to = self.buffer.len().min(from + length);
        partial.data.extend_from_slice(&self.buffer[from..to]);
        self.start = to;
        self.direct = Some((index, length - (to - from)));
        Ok(())
    }

    /// Brings `direct` up to date with what has been received into the message, and gives the message
    /// out when it is whole.
    fn fragment_progress(&mut self, index: usize) -> Option<Partial> {
        let partial = &self.partials[index];
        let (_, left) = self.direct?;
        if left > 0 {
            return None;
        }
        self.direct = None;
        if partial.data.len() < partial.total {
            return None;
        }
        Some(self.partials.swap_remove(index))
    }

    /// Says that `count` bytes were put where [`want`](Self::want) said.
    #[inline]
    pub fn received(&mut self, count: usize) {
        let Some((index, left)) = &mut self.direct else { return };
        let beyond = count.saturating_sub(*left);
        *left -= count - beyond;
        if beyond > 0 {
            let data = &mut self.partials[*index].data;
            let end = data.len() - beyond;
            self.buffer.clear();
            self.start = 0;
            self.buffer.extend_from_slice(&data[end..]);
            data.truncate(end);
        }
    }
}

impl Partial {
    fn into_event(self) -> Event<'static> {
        let payload = Payload::Owned(Box::new(match self.lone {
            true => Received::lone(self.data),
            false => self.data.into(),
        }));
        if self.answer {
            return Event::Reply { id: self.id, status: self.code, payload };
        }
        Event::Call(IncomingCall {
            id: self.id,
            method: self.code,
            oneway: self.oneway,
            remaining: self.remaining,
            metadata: self.metadata.into(),
            payload,
        })
    }
}

/// The header of a [plain frame](Incoming::plain_frame).
struct PlainHead {
    answer: bool,
    code: u16,
    id: u64,
}

#[inline]
fn plain_event(head: PlainHead, payload: &[u8]) -> Event<'_> {
    let PlainHead { answer, code, id } = head;
    let payload = Payload::Borrowed(payload);
    if answer {
        return Event::Reply { id, status: code, payload };
    }
    let metadata = [].as_slice().into();
    Event::Call(IncomingCall {
        id,
        method: code,
        oneway: false,
        remaining: None,
        metadata,
        payload,
    })
}

#[inline]
fn whole_frame(header: Header, body: &[u8], limit: usize) -> Result<Event<'_>, Violation> {
    let (prefix, payload) = match header.kind {
        Kind::Call | Kind::Reply => Prefix::read(&header, body)?,
        _ => return Ok(Event::Frame { header, body }),
    };
    if header.kind == Kind::Call && payload.len() > limit {
        return Err(Violation::Message { total: payload.len() as u64, limit });
    }
    let payload = Payload::Borrowed(payload);
    if header.kind == Kind::Reply {
        return Ok(Event::Reply { id: header.id, status: header.code, payload });
    }
    Ok(Event::Call(IncomingCall {
        id: header.id,
        method: header.code,
        oneway: header.flags & ONEWAY != 0,
        remaining: prefix.remaining,
        metadata: prefix.metadata.into(),
        payload,
    }))
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "incoming_hostile_tests.rs"]
mod hostile_tests;
