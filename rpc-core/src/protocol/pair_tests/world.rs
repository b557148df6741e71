//! Two ends under a virtual clock: a client's calls and a server's requests, joined by what each sends
//! and receives, over pipes that take and give what they like.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::protocol::calls::{Answered, Calls, NotBegun, Ticket};
use crate::protocol::failure::{METHOD_ERROR, OK, Status};
use crate::protocol::incoming::{Event, Incoming, IncomingCall};
use crate::protocol::outgoing::{Bulk, Outgoing};
use crate::protocol::requests::Requests;
use crate::protocol::testing::{Bell, Random, frame, greeted, pattern};
use crate::wire::frame::{ANSWER, FRAGMENT, Header, Kind, ONEWAY, Prefix};

const IN_FLIGHT: u32 = 8;
const HELD: usize = 300_000;
/// Bytes that a pipe takes before its writer has to wait.
const PIPE: usize = 20_000;
const CALLERS: usize = 16;

/// One end's two directions.
pub(super) struct End {
    outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// The last ping that the other end has answered.
    answered: u64,
}

impl End {
    pub(super) fn new() -> Self {
        Self { outgoing: Outgoing::new(HELD), incoming: greeted(HELD, HELD), answered: 0 }
    }

    /// Sends a message in one frame, or in as many as it needs.
    pub(super) fn send(&mut self, mut header: Header, remaining: Option<u64>, payload: Vec<u8>) {
        let prefix = Prefix { total: None, remaining, metadata: &[] };
        if payload.len() > FRAGMENT {
            let (metadata, lead) = (Vec::new(), Vec::new());
            self.outgoing.push_bulk(Bulk {
                header,
                remaining,
                metadata,
                lead,
                data: payload,
                skip: 0,
                receipt: None,
            });
            return;
        }
        header.flags |= prefix.flags();
        let mut body = Vec::new();
        prefix.write(&mut body);
        body.extend_from_slice(&payload);
        self.outgoing.push(&frame(header, &body));
    }

    /// Writes once, as much as the pipe takes.
    pub(super) fn write(&mut self, pipe: &mut VecDeque<u8>, most: usize) {
        let room = most.min(PIPE.saturating_sub(pipe.len()));
        self.outgoing.set_pace(true, self.answered);
        if self.outgoing.is_at_rest() || room == 0 {
            return;
        }
        let count = self.outgoing.slices(|slices| {
            let mut left = room;
            for slice in slices {
                let count = slice.len().min(left);
                pipe.extend(&slice[..count]);
                left -= count;
            }
            room - left
        });
        self.outgoing.advance(count.unwrap_or(0));
    }

    /// Deals with a ping, or with the answer to one.
    fn ping(&mut self, header: Header) {
        if header.flags & ANSWER == 0 {
            let answer = Header { flags: ANSWER, ..header };
            self.outgoing.push_urgent(&answer.to_bytes());
        } else {
            self.answered = header.id;
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, pipe: &mut VecDeque<u8>, most: usize) {
        let (buffer, limit) = self.incoming.want();
        let count = most.min(limit).min(pipe.len());
        buffer.extend_from_slice(&pipe.make_contiguous()[..count]);
        pipe.drain(..count);
        self.incoming.received(count);
    }
}

/// A client's task with one call after the other.
pub(super) struct Caller {
    bell: Arc<Bell>,
    waker: Waker,
    deadline: Option<Instant>,
    length: usize,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Idle,
    Queued(Option<Ticket>),
    Sent(u64),
}

/// A handler that runs.
struct Handler {
    ends: Instant,
    deadline: Option<Instant>,
    status: u16,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) given_up: u64,
    oneway_sent: u64,
    pub(super) oneway_run: u64,
    pub(super) cancelled: u64,
    pub(super) expired: u64,
}

pub(super) struct World {
    random: Random,
    now: Instant,
    client: End,
    pub(super) calls: Calls,
    pub(super) callers: Vec<Caller>,
    server: End,
    requests: Requests<()>,
    handlers: BTreeMap<(u64, bool), Handler>,
    /// How many replies each call got that is to get one.
    replies: BTreeMap<u64, u32>,
    forth: VecDeque<u8>,
    back: VecDeque<u8>,
    pub(super) counts: Counts,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let callers = (0..CALLERS).map(|_| {
            let (bell, waker) = Bell::new();
            Caller { bell, waker, deadline: None, length: 0, stage: Stage::Idle }
        });
        Self {
            random: Random::new(seed),
            now: Instant::now(),
            client: End::new(),
            calls: Calls::new(IN_FLIGHT, HELD),
            callers: callers.collect(),
            server: End::new(),
            requests: Requests::new(IN_FLIGHT, HELD),
            handlers: BTreeMap::new(),
            replies: BTreeMap::new(),
            forth: VecDeque::new(),
            back: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Small as a rule, sometimes in fragments.
    fn length(&mut self) -> usize {
        if self.random.percent(3) { self.random.size(150_000) } else { self.random.below(200) }
    }

    pub(super) fn step(&mut self) {
        let caller = self.random.below(CALLERS);
        match self.random.below(100) {
            0..12 => self.start(caller),
            12..15 => self.give_up(caller),
            15..18 => self.poll(caller),
            18..20 => self.send_oneway(),
            20..35 => self.client.write(&mut self.forth, self.random.size(30_000)),
            35..50 => self.server_reads(),
            50..65 => self.server.write(&mut self.back, self.random.size(30_000)),
            65..80 => self.client_reads(),
            80..89 => self.pass_time(),
            89 => self.cancel_all(),
            _ => self.run_woken(),
        }
    }

    fn start(&mut self, index: usize) {
        if !matches!(self.callers[index].stage, Stage::Idle) {
            return;
        }
        let length = self.length();
        let budget = Duration::from_micros(self.random.next() % 3_000);
        let deadline = self.random.percent(40).then(|| self.now + budget);
        let caller = &mut self.callers[index];
        (caller.length, caller.deadline, caller.stage) = (length, deadline, Stage::Queued(None));
        self.poll(index);
    }

    /// What the future of a call does when polled.
    fn poll(&mut self, index: usize) {
        let caller = &mut self.callers[index];
        let is_over = caller.deadline.is_some_and(|deadline| deadline <= self.now);
        if let Stage::Queued(place) = &mut caller.stage {
            let bytes = if caller.length > FRAGMENT { caller.length } else { 0 };
            match self.calls.begin(caller.deadline, bytes) {
                Ok(id) => {
                    let next = place.take().and_then(|ticket| self.calls.leave_line(ticket));
                    next.into_iter().for_each(Waker::wake);
                    if let Some(deadline) = caller.deadline {
                        self.calls.watch(deadline);
                    }
                    let left = caller.deadline.map(|at| at.saturating_duration_since(self.now));
                    let left = left.map(|left| left.as_nanos() as u64);
                    self.client.send(Header::new(Kind::Call, id), left, pattern(id, caller.length));
                    caller.stage = Stage::Sent(id);
                    self.replies.insert(id, 0);
                }
                Err(NotBegun::Full) if is_over => return self.give_up(index),
                Err(NotBegun::Full) => {
                    let next = self.calls.wait_in_line(place, &caller.waker, bytes);
                    next.into_iter().for_each(Waker::wake);
                }
                Err(NotBegun::Closed(_)) => {
                    self.counts.failed += 1;
                    caller.stage = Stage::Idle;
                }
            }
        }
        let Stage::Sent(id) = caller.stage else { return };
        match self.calls.poll(id, &caller.waker) {
            Some((result, next)) => {
                next.into_iter().for_each(Waker::wake);
                caller.stage = Stage::Idle;
                match result {
                    Ok(answer) => {
                        let payload = answer.payload.to_payload();
                        let length = payload.len();
                        assert!(payload == pattern(!id, length), "another call's answer");
                        self.counts.answered += 1;
                    }
                    Err(_) => self.counts.failed += 1,
                }
            }
            None if is_over => self.give_up(index),
            None => {}
        }
    }

    /// Drops the future of a call, or its time is up.
    fn give_up(&mut self, index: usize) {
        let (tell, next) = match self.callers[index].stage {
            Stage::Idle => return,
            Stage::Queued(place) => (None, place.and_then(|ticket| self.calls.leave_line(ticket))),
            Stage::Sent(id) => {
                let (tell, next) = self.calls.abandon(id);
                (tell.then_some(id), next)
            }
        };
        next.into_iter().for_each(Waker::wake);
        if let Some(id) = tell {
            self.client.outgoing.push_cancel(id);
        }
        self.callers[index].stage = Stage::Idle;
        self.counts.given_up += 1;
    }

    /// Cancels all that is in flight. Those in line begin later, as it were.
    fn cancel_all(&mut self) {
        let mut wakers = Vec::new();
        for id in self.calls.cancel_all(&mut wakers) {
            self.client.outgoing.push_cancel(id);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn send_oneway(&mut self) {
        let length = self.length();
        let bytes = if length > FRAGMENT { length } else { 0 };
        if let Ok(id) = self.calls.begin(None, bytes) {
            let header = Header { flags: ONEWAY, ..Header::new(Kind::Call, id) };
            self.client.send(header, None, pattern(id, length));
            self.calls.forget(id).into_iter().for_each(Waker::wake);
            self.counts.oneway_sent += 1;
        }
    }

    fn client_reads(&mut self) {
        self.client.read(&mut self.back, self.random.size(40_000));
        while let Some(event) = self.client.incoming.next_event().expect("the server is in order") {
            let (id, status, payload) = match event {
                Event::Reply { id, status, payload } => (id, status, payload),
                Event::Frame { header, .. } if header.kind == Kind::Ping => {
                    self.client.ping(header);
                    continue;
                }
                other => panic!("neither a reply nor a ping: {other:?}"),
            };
            match self.calls.answer(id, status, payload) {
                Answered::Awaited { waiter, next } => {
                    waiter.into_iter().chain(next).for_each(Waker::wake);
                }
                Answered::Late(next) => next.into_iter().for_each(Waker::wake),
                Answered::Unknown => panic!("a reply to {id}, which is not in flight"),
            }
        }
    }

    fn server_reads(&mut self) {
        if self.requests.is_full() {
            return;
        }
        self.server.read(&mut self.forth, self.random.size(40_000));
        // Taken out, so that the rest of the world can be used while its events are looked at.
        let mut incoming = std::mem::replace(&mut self.server.incoming, Incoming::new(0, 0));
        while let Some(event) = incoming.next_event().expect("the client is in order") {
            match event {
                Event::Call(call) => self.serve(&call),
                Event::Frame { header, .. } if header.kind == Kind::Cancel => self.stop(header.id),
                Event::Frame { header, .. } if header.kind == Kind::Ping => {
                    self.server.ping(header)
                }
                Event::Withdrawn { id, oneway } => {
                    self.counts.cancelled += 1;
                    self.reply(id, oneway, Status::Cancelled as u16);
                }
                other => panic!("neither a call nor a cancel: {other:?}"),
            }
        }
        self.server.incoming = incoming;
    }

    fn serve(&mut self, call: &IncomingCall<'_>) {
        let payload = call.payload.to_payload();
        let (id, oneway, length) = (call.id, call.oneway, payload.len());
        assert!(payload == pattern(id, length), "not what was sent");
        let bytes = if length > FRAGMENT { length } else { 0 };
        self.requests.admit(id, oneway).expect("a client that keeps to the limits is admitted");
        assert!(oneway || self.requests.hold(bytes).is_ok(), "the same for what it sends");
        self.counts.oneway_run += u64::from(oneway);
        let status = if self.random.percent(80) { OK } else { METHOD_ERROR };
        let deadline = call.remaining.map(|left| self.now + Duration::from_nanos(left));
        if self.random.percent(40) {
            self.reply(id, oneway, status);
            return;
        }
        let ends = self.now + Duration::from_micros(self.random.next() % 2_000);
        self.requests.start(id, oneway, bytes, ());
        self.handlers.insert((id, oneway), Handler { ends, deadline, status, bytes });
    }

    /// A handler that is asked to stop does so at its next occasion.
    fn stop(&mut self, id: u64) {
        if self.requests.handle(id).is_some() {
            let handler = self.handlers.get_mut(&(id, false)).expect("the table says it runs");
            handler.ends = self.now + Duration::from_micros(self.random.next() % 100);
            handler.status = Status::Cancelled as u16;
            self.counts.cancelled += 1;
        } else {
            assert_ne!(self.replies[&id], 0, "a cancel has overtaken its call");
        }
    }

    fn reply(&mut self, id: u64, oneway: bool, status: u16) {
        if oneway {
            return;
        }
        let length = self.length();
        *self.replies.get_mut(&id).expect("it was called") += 1;
        let header = Header { code: status, ..Header::new(Kind::Reply, id) };
        self.server.send(header, None, pattern(!id, length));
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_micros(self.random.next() % 200);
        let mut wakers = Vec::new();
        if self.calls.earliest().is_some_and(|earliest| earliest <= self.now) {
            self.calls.expired(self.now, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
        // Those in line have timers of their own.
        for index in 0..CALLERS {
            if let Stage::Queued(_) = self.callers[index].stage {
                self.poll(index);
            }
        }
        let is_over = |handler: &Handler| handler.deadline.is_some_and(|at| at <= self.now);
        let ended = self
            .handlers
            .iter()
            .filter(|(_, handler)| handler.ends <= self.now || is_over(handler));
        let ended: Vec<_> = ended.map(|(key, handler)| (*key, is_over(handler))).collect();
        for (key, is_over) in ended {
            let handler = self.handlers.remove(&key).expect("it was just seen");
            self.requests.finish(key.0, key.1, handler.bytes);
            self.counts.expired += u64::from(is_over);
            let status = if is_over { Status::DeadlineExceeded as u16 } else { handler.status };
            self.reply(key.0, key.1, status);
        }
    }

    pub(super) fn run_woken(&mut self) {
        while let Some(index) = self.callers.iter().position(|caller| caller.bell.take() > 0) {
            self.poll(index);
        }
    }

    /// Whoever waits in vain would wait for ever.
    pub(super) fn assert_settled(&mut self) {
        self.run_woken();
        for caller in &self.callers {
            if let (Stage::Sent(_), Some(deadline)) = (&caller.stage, caller.deadline) {
                let watched = self.calls.earliest().is_some_and(|at| at <= deadline);
                assert!(watched, "nobody watches for a deadline");
            }
        }
    }

    /// No more calls; those that there are come to their ends.
    pub(super) fn drain(&mut self) {
        for _ in 0..100_000 {
            self.client.write(&mut self.forth, usize::MAX);
            self.server_reads();
            self.server.write(&mut self.back, usize::MAX);
            self.client_reads();
            self.pass_time();
            self.run_woken();
            let idle = self.callers.iter().all(|caller| matches!(caller.stage, Stage::Idle));
            let quiet = self.client.outgoing.is_empty() && self.forth.is_empty();
            if idle && quiet && self.calls.unanswered() == 0 && self.requests.in_flight() == 0 {
                break;
            }
        }
        assert!(self.callers.iter().all(|caller| matches!(caller.stage, Stage::Idle)));
        assert_eq!((self.calls.unanswered(), self.requests.in_flight()), (0, 0));
        assert!(self.client.outgoing.is_empty() && self.server.outgoing.is_empty());
        assert!(self.forth.is_empty() && self.back.is_empty());
        assert!(self.replies.values().all(|count| *count == 1), "one reply for each call");
        assert_eq!(self.counts.oneway_run, self.counts.oneway_sent);
    }
}
