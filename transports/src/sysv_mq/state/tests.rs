//! Many connections over two real queues, in one thread that decides what happens next: whatever it
//! decides, no queue is ever full, and all arrives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::hash::{BuildHasher, RandomState};
use std::io::IoSlice;
use std::sync::Arc;

use super::super::books::{Books, Lent};
use super::super::credit::SLOTS;
use super::super::queues::{Keys, Queues};
use super::*;
use crate::sys::message_queue::Which;

/// Random numbers (SplitMix64), the same for the same seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("IPCALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("to repeat: IPCALL_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

struct End {
    state: State,
    written: usize,
    read: usize,
}

/// The ends of the clients and those of the server.
struct World {
    queues: Queues,
    sizes: Sizes,
    books: Arc<Books>,
    clients: Vec<End>,
    servers: Vec<End>,
    message: Box<Message>,
}

/// The byte at a place of a stream.
fn byte(place: usize) -> u8 {
    (place % 251) as u8
}

impl World {
    fn new(count: usize) -> Self {
        let (queues, sizes) = loop {
            match Queues::create(Keys::new(super::super::random()), 0) {
                Ok(made) => break made,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists),
            }
        };
        let books = Arc::new(Books::new(sizes));
        let Queues { request, reply } = queues;
        let end = |side, sending, receiving, id: usize| {
            let route = Route { sending, receiving, kind: id as Kind + 2, tag: id as u32 };
            let mut state = State::new(side);
            state.open(route, sizes, None);
            End { state, written: 0, read: 0 }
        };
        let server = || Side::Server { books: Arc::clone(&books), lent: Lent::default() };
        let clients = (0..count).map(|id| end(Side::Client, request, reply, id)).collect();
        let servers = (0..count).map(|id| end(server(), reply, request, id)).collect();
        Self { queues, sizes, books, clients, servers, message: Message::new() }
    }

    /// Takes one message out of the request queue; `false` if there is none.
    fn serve(&mut self) -> bool {
        let Ok(length) = self.queues.request.receive(&mut self.message, Which::Any, false) else {
            return false;
        };
        let id = usize::try_from(self.message.kind()).unwrap() - 2;
        self.servers[id].take(&self.message, length);
        true
    }

    /// Takes one message of client `id` out of the reply queue; `false` if there is none.
    fn receive(&mut self, id: usize) -> bool {
        let which = Which::Kind(id as Kind + 2);
        let Ok(length) = self.queues.reply.receive(&mut self.message, which, false) else {
            return false;
        };
        self.clients[id].take(&self.message, length);
        true
    }

    fn check(&self) {
        assert!(!self.books.take_crowded());
        for end in self.clients.iter().chain(&self.servers) {
            assert!(!end.state.crowded && !end.state.untold);
            assert!(matches!(end.state.fate, Fate::Open), "{:?}", end.state);
            assert!(end.state.inbox.len() <= INBOX);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.queues.request.remove().unwrap();
        self.queues.reply.remove().unwrap();
    }
}

impl End {
    fn take(&mut self, message: &Message, length: usize) {
        let (header, bytes) = Header::split(message.received(length).unwrap()).unwrap();
        assert_eq!(self.state.receive(header, bytes), Change::None);
    }

    fn write(&mut self, count: usize) {
        let bytes: Vec<u8> = (self.written..self.written + count).map(byte).collect();
        match self.state.write(&[IoSlice::new(&bytes)]) {
            Ok(count) => self.written += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    /// Reads what is there, and says whether that was anything.
    fn read(&mut self, limit: usize) -> bool {
        let mut bytes = Vec::new();
        match self.state.read(&mut bytes, limit) {
            Ok(count) => {
                assert!((self.read..self.read + count).map(byte).eq(bytes));
                self.read += count;
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        }
    }
}

/// Does `steps` random things. Clients below `stopped` receive nothing.
fn go_on(world: &mut World, random: &mut Random, steps: usize, stopped: usize) {
    for _ in 0..steps {
        let id = random.below(world.clients.len());
        let count = 1 << random.below(16);
        match random.below(6) {
            0 => world.clients[id].write(count),
            1 => world.servers[id].write(count),
            2 => drop(world.serve()),
            3 if id >= stopped => drop(world.receive(id)),
            4 => drop(world.servers[id].read(count)),
            5 => drop(world.clients[id].read(count)),
            _ => {}
        }
        world.check();
    }
}

/// Lets all that was written arrive.
fn settle(world: &mut World) {
    let mut quiet = false;
    while !std::mem::replace(&mut quiet, true) {
        while world.serve() {
            quiet = false;
        }
        for id in 0..world.clients.len() {
            while world.receive(id) {
                quiet = false;
            }
            while world.clients[id].read(usize::MAX) || world.servers[id].read(usize::MAX) {
                quiet = false;
            }
        }
        world.check();
    }
    for (client, server) in world.clients.iter().zip(&world.servers) {
        assert_eq!((client.read, server.read), (server.written, client.written));
    }
}

#[test]
fn no_queue_is_ever_full() {
    let mut random = Random::new();
    for count in [1, 2, SLOTS] {
        let mut world = World::new(count);
        for _ in 0..5 {
            go_on(&mut world, &mut random, 4_000, 0);
            settle(&mut world);
        }
    }
}

#[test]
fn clients_that_have_been_stopped_hold_up_nobody() {
    let mut random = Random::new();
    let mut world = World::new(SLOTS);
    let stopped = SLOTS / 2;
    // As much is sent to them as there is credit for, and then it goes on without them.
    go_on(&mut world, &mut random, 10_000, stopped);
    let before: Vec<_> = world.clients.iter().map(|client| client.read).collect();
    go_on(&mut world, &mut random, 10_000, stopped);
    for (client, before) in world.clients.iter().zip(before).skip(stopped) {
        assert!(client.read > before + 1_000);
    }
    settle(&mut world);
}

#[test]
fn a_server_that_has_been_stopped_finds_no_more_than_fits() {
    let mut world = World::new(SLOTS);
    for _ in 0..10 {
        for client in &mut world.clients {
            client.write(100_000);
        }
        world.check();
    }
    settle(&mut world);
}

#[test]
fn what_was_lent_is_given_back() {
    let mut random = Random::new();
    let mut world = World::new(SLOTS);
    go_on(&mut world, &mut random, 5_000, 0);
    settle(&mut world);
    // The last words of each say that nothing more comes.
    for id in 0..SLOTS {
        for client in [true, false] {
            let ends = |world: &mut World| {
                let end = if client { &mut world.clients[id] } else { &mut world.servers[id] };
                let before = end.written;
                end.write(1);
                end.written > before
            };
            // There may have to be credit first.
            while !ends(&mut world) {
                while world.serve() | world.receive(id) {}
            }
            while world.serve() | world.receive(id) {}
        }
    }
    settle(&mut world);
    let (request, reply) = world.books.free();
    assert_eq!(request, world.sizes.pool);
    // Of what was not acknowledged, because it is in the base, nothing is lent.
    assert_eq!(reply, world.sizes.pool);
    assert_eq!(world.queues.request.status().unwrap().messages, 0);
    assert_eq!(world.queues.reply.status().unwrap().messages, 0);
}

#[test]
fn the_end_is_behind_all_that_was_written() {
    let mut world = World::new(1);
    world.clients[0].write(50);
    world.clients[0].state.close_writer();
    world.servers[0].write(60);
    world.servers[0].state.close_reader();
    while world.serve() | world.receive(0) {}
    assert!(world.servers[0].state.theirs.writer && !world.servers[0].state.has_peer_left());
    assert!(world.clients[0].read(100));
    assert_eq!(world.clients[0].read, 60);
    let error = world.clients[0].state.write(&[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn lies_end_the_connection() {
    type Lie = fn(&mut Header) -> &'static [u8];
    let lies: [(Lie, &str); 5] = [
        (|header| (header.taken += 1, &b""[..]).1, "more was acknowledged than was sent"),
        (|header| (header.taken = u32::MAX, &b""[..]).1, "more was acknowledged than was sent"),
        (|header| (header.position += 1, &b"x"[..]).1, "messages are missing"),
        (|header| (header.position = u32::MAX, &b"x"[..]).1, "messages are missing"),
        (|_| &[0; 2000], "more was sent than there was credit for"),
    ];
    for (lie, text) in lies {
        let mut world = World::new(1);
        let mut header = Header::bare(0, Purpose::Stream);
        let bytes = lie(&mut header);
        world.servers[0].state.receive(header, bytes);
        let error = world.servers[0].state.read(&mut Vec::new(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(text), "{error}");
        let error = world.servers[0].state.write(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn what_is_written_after_the_end_is_a_lie() {
    let mut world = World::new(1);
    let server = &mut world.servers[0].state;
    server.receive(Header { flags: END, ..Header::bare(0, Purpose::Stream) }, b"");
    assert_eq!(server.read(&mut Vec::new(), 1).unwrap(), 0);
    server.receive(Header::bare(0, Purpose::Stream), b"more");
    assert!(matches!(server.fate, Fate::Over(_)));
    assert_eq!(server.read(&mut Vec::new(), 1).unwrap(), 0, "the end stays the end");
}

#[test]
fn another_tag_is_no_message_of_this_connection() {
    let mut world = World::new(1);
    let server = &mut world.servers[0].state;
    for purpose in [Purpose::Stream, Purpose::Welcome, Purpose::Answer] {
        let tag = u32::from(purpose == Purpose::Stream);
        assert_eq!(server.receive(Header::bare(tag, purpose), b"x"), Change::Stray);
    }
    assert_eq!(server.receive_leave(Header::bare(1, Purpose::Leave)), Change::Stray);
    assert!(!server.is_readable());
}
