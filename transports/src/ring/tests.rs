//! The ring between two threads that trust each other, and with one side that lies.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use super::{Consumer, Corrupt, Memory, Order, Producer, Read, WORDS, Word};

/// Memory within this process.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    words: [AtomicU64; WORDS],
    bytes: Box<[AtomicU8]>,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        let bytes = (0..capacity).map(|_| AtomicU8::new(0)).collect();
        Self(Arc::new(Inner { words: Default::default(), bytes }))
    }

    fn set(&self, word: Word, value: u64) {
        self.store(word, value, Order::Relaxed);
    }

    fn get(&self, word: Word) -> u64 {
        self.load(word, Order::Relaxed)
    }
}

impl Memory for Shared {
    fn load(&self, word: Word, order: Order) -> u64 {
        let order = match order {
            Order::Relaxed => Ordering::Relaxed,
            Order::Synchronizing => Ordering::Acquire,
        };
        self.0.words[word as usize].load(order)
    }

    fn store(&self, word: Word, value: u64, order: Order) {
        let order = match order {
            Order::Relaxed => Ordering::Relaxed,
            Order::Synchronizing => Ordering::Release,
        };
        self.0.words[word as usize].store(value, order);
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn release(&self) {
        fence(Ordering::Release);
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }

    fn copy_in(&self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.0.bytes[at..at + bytes.len()].iter().zip(bytes) {
            place.store(*byte, Ordering::Relaxed);
        }
    }

    fn copy_out(&self, at: usize, count: usize, buffer: &mut Vec<u8>) {
        let bytes = &self.0.bytes[at..at + count];
        buffer.extend(bytes.iter().map(|byte| byte.load(Ordering::Relaxed)));
    }
}

/// A ring, and the memory of its two sides.
fn ring(capacity: usize) -> (Producer<Shared>, Consumer<Shared>, Shared, Shared) {
    let (writer, reader) = (Shared::new(capacity), Shared::new(capacity));
    let producer = Producer::new(writer.clone(), reader.clone(), capacity);
    let consumer = Consumer::new(reader.clone(), writer.clone(), capacity);
    (producer, consumer, writer, reader)
}

fn write(producer: &mut Producer<Shared>, bytes: &[u8]) -> usize {
    producer.write(&[IoSlice::new(bytes)]).unwrap()
}

fn read(consumer: &mut Consumer<Shared>, limit: usize) -> (Read, Vec<u8>) {
    let mut buffer = Vec::new();
    (consumer.read(&mut buffer, limit).unwrap(), buffer)
}

fn read_all(consumer: &mut Consumer<Shared>) -> Vec<u8> {
    let mut all = Vec::new();
    while let (Read::Bytes(_), mut bytes) = read(consumer, 8) {
        all.append(&mut bytes);
    }
    all
}

#[test]
fn what_is_written_is_read_around_the_end_of_the_ring() {
    let (mut producer, mut consumer, ..) = ring(8);
    for round in 0..100_u8 {
        let bytes = [round, round ^ 1, round ^ 2, round ^ 3, round ^ 4];
        assert_eq!(write(&mut producer, &bytes), 5);
        assert_eq!(read(&mut consumer, 3), (Read::Bytes(3), bytes[..3].to_vec()));
        assert_eq!(read(&mut consumer, 3), (Read::Bytes(2), bytes[3..].to_vec()));
        assert_eq!(read(&mut consumer, 3).0, Read::Nothing);
    }
}

#[test]
fn several_buffers_are_written_as_one_as_far_as_there_is_room() {
    let (mut producer, mut consumer, ..) = ring(8);
    let buffers = [&b"abc"[..], b"", b"defg", b"hij", b"k"].map(IoSlice::new);
    assert_eq!(producer.write(&buffers).unwrap(), 8);
    assert_eq!(producer.write(&buffers).unwrap(), 0);
    assert_eq!(read(&mut consumer, 100), (Read::Bytes(8), b"abcdefgh".to_vec()));
}

#[test]
fn the_end_comes_after_the_last_byte() {
    let (mut producer, mut consumer, ..) = ring(8);
    write(&mut producer, b"last");
    producer.close();
    assert!(!consumer.arm().unwrap());
    assert_eq!(read(&mut consumer, 8).0, Read::Bytes(4));
    assert!(!consumer.arm().unwrap());
    assert_eq!(read(&mut consumer, 8).0, Read::End);
    assert_eq!(read(&mut consumer, 8).0, Read::End);
}

#[test]
fn the_bell_is_rung_once_for_a_sleeper_and_never_for_who_is_awake() {
    let (mut producer, mut consumer, ..) = ring(8);
    write(&mut producer, b"a");
    assert!(!producer.must_ring());
    read(&mut consumer, 8);
    assert!(consumer.arm().unwrap());
    write(&mut producer, b"b");
    assert!(producer.must_ring());
    write(&mut producer, b"c");
    assert!(!producer.must_ring());
    assert!(!consumer.arm().unwrap(), "something has come meanwhile");
    write(&mut producer, b"d");
    assert!(!producer.must_ring(), "it is awake");
    assert_eq!(read_all(&mut consumer), b"bcd");
    assert!(consumer.arm().unwrap());
    assert!(consumer.arm().unwrap(), "the same sleep");
    write(&mut producer, b"e");
    assert!(producer.must_ring());
}

#[test]
fn a_sleeping_writer_is_rung_for_when_there_is_room() {
    let (mut producer, mut consumer, ..) = ring(8);
    assert!(!producer.arm().unwrap());
    write(&mut producer, &[7; 8]);
    assert!(producer.arm().unwrap());
    read(&mut consumer, 1);
    assert!(!consumer.must_ring(), "too little for the writer to be woken");
    read(&mut consumer, 1);
    assert!(consumer.must_ring());
    assert!(!producer.arm().unwrap());
    read(&mut consumer, 2);
    assert!(!consumer.must_ring(), "it is awake");
}

#[test]
fn impossible_indices_are_found() {
    type Lie = fn(u64) -> u64;
    let lies: [Lie; 4] =
        [|_| u64::MAX, |right| right + 9, |right| right.wrapping_sub(1), |_| 1 << 63];
    for lie in lies {
        let (mut producer, mut consumer, writer, _) = ring(8);
        write(&mut producer, b"abcde");
        read(&mut consumer, 3);
        writer.set(Word::Tail, lie(5));
        read(&mut consumer, 2);
        let corrupt: Corrupt = consumer.read(&mut Vec::new(), 8).unwrap_err();
        assert!(corrupt.to_string().contains("Tail"), "{corrupt}");
        assert!(consumer.arm().is_err());

        let (mut producer, mut consumer, _, reader) = ring(8);
        write(&mut producer, b"abcdefgh");
        read(&mut consumer, 3);
        assert_eq!(write(&mut producer, b"i"), 1);
        reader.set(Word::Head, if lie(5) == 4 { 2 } else { lie(8) });
        assert!(producer.write(&[IoSlice::new(&[0; 8])]).is_err());
        assert!(producer.arm().is_err());
    }
}

#[test]
fn own_indices_are_never_read_back() {
    let (mut producer, mut consumer, writer, reader) = ring(8);
    write(&mut producer, b"abc");
    read(&mut consumer, 2);
    // Whoever could write there as well would only hurt the other side.
    writer.set(Word::Head, 77);
    reader.set(Word::Tail, 77);
    let before = (writer.get(Word::Tail), reader.get(Word::Head));
    assert_eq!(before, (3, 2));
    assert_eq!(write(&mut producer, b"d"), 1);
    assert_eq!(read_all(&mut consumer), b"cd");
    assert_eq!((writer.get(Word::Tail), reader.get(Word::Head)), (4, 4));
}

#[test]
fn a_stream_passes_between_two_threads() {
    const LENGTH: usize = 300_000;
    let (mut producer, mut consumer, ..) = ring(64);
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8;
    // A ring that loses something is found to be so, instead of being waited for.
    let patience = Instant::now() + Duration::from_secs(60);
    let rest = move || {
        assert!(Instant::now() < patience, "nothing goes on");
        thread::yield_now();
    };
    let writing = thread::spawn(move || {
        let (mut at, mut step) = (0, 1);
        while at < LENGTH {
            let bytes: Vec<u8> = (at..LENGTH.min(at + step)).map(byte).collect();
            let count = producer.write(&[IoSlice::new(&bytes)]).unwrap();
            at += count;
            step = step % 97 + 1;
            if count == 0 {
                rest();
            }
        }
        producer.close();
    });
    let mut come = Vec::new();
    loop {
        let mut buffer = Vec::new();
        match consumer.read(&mut buffer, 41).unwrap() {
            Read::Bytes(count) => assert_eq!(count, buffer.len()),
            Read::Nothing => rest(),
            Read::End => break,
        }
        come.extend(buffer);
    }
    writing.join().unwrap();
    assert!(come.iter().copied().eq((0..LENGTH).map(byte)));
}

/// Memory whose side dies after so many of its stores: what comes later is never done.
#[derive(Clone)]
struct Mortal {
    memory: Shared,
    left: Arc<AtomicU64>,
}

impl Mortal {
    fn new(memory: &Shared, lifetime: u64) -> Self {
        Self { memory: memory.clone(), left: Arc::new(AtomicU64::new(lifetime)) }
    }

    fn is_dead(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Whether this store is still done.
    fn lives(&self) -> bool {
        let live = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, live).is_ok()
    }
}

impl Memory for Mortal {
    fn load(&self, word: Word, order: Order) -> u64 {
        self.memory.load(word, order)
    }

    fn store(&self, word: Word, value: u64, order: Order) {
        if self.lives() {
            self.memory.store(word, value, order);
        }
    }

    fn fence(&self) {}

    fn release(&self) {}

    fn acquire(&self) {}

    fn copy_in(&self, at: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            if self.lives() {
                self.memory.copy_in(at + index, &[*byte]);
            }
        }
    }

    fn copy_out(&self, at: usize, count: usize, buffer: &mut Vec<u8>) {
        self.memory.copy_out(at, count, buffer);
    }
}

#[test]
fn of_a_writer_that_dies_between_any_two_stores_whole_writes_are_read() {
    const CAPACITY: usize = 128;
    // Short ones, which are letters, a long one, which is none, and all around the end of the ring.
    let messages: Vec<Vec<u8>> =
        [30, 48, 60, 1, 100, 8].iter().zip(1..).map(|(&length, byte)| vec![byte; length]).collect();
    for lifetime in 0.. {
        let (writers, readers) = (Shared::new(CAPACITY), Shared::new(CAPACITY));
        let mortal = Mortal::new(&writers, lifetime);
        let peer = Mortal::new(&readers, u64::MAX);
        let mut producer = Producer::new(mortal.clone(), peer, CAPACITY);
        let mut consumer = Consumer::new(readers, writers, CAPACITY);
        let mut come = Vec::new();
        for message in &messages {
            // Its own index goes on, which nobody sees any more.
            producer.write(&[IoSlice::new(message)]).unwrap();
            let mut buffer = Vec::with_capacity(CAPACITY);
            while let Read::Bytes(_) = consumer.read(&mut buffer, CAPACITY).unwrap() {}
            come.push(buffer);
            if mortal.is_dead() {
                break;
            }
        }
        let last = come.pop().unwrap();
        assert!(come.iter().eq(&messages[..come.len()]), "after {lifetime} stores");
        let whole = last.is_empty() || last == messages[come.len()];
        assert!(whole, "after {lifetime} stores: {last:?}");
        if !mortal.is_dead() {
            let bytes: usize = messages.iter().map(Vec::len).sum();
            assert!(lifetime > bytes as u64, "{lifetime} stores for all of it");
            break;
        }
    }
}

#[test]
fn of_a_reader_that_dies_between_any_two_stores_room_is_never_given_back_too_early() {
    const CAPACITY: usize = 64;
    for lifetime in 0..40 {
        let (writers, readers) = (Shared::new(CAPACITY), Shared::new(CAPACITY));
        let mortal = Mortal::new(&readers, lifetime);
        let peer = Mortal::new(&writers, u64::MAX);
        let mut producer = Producer::new(writers, readers, CAPACITY);
        let mut consumer = Consumer::new(mortal.clone(), peer, CAPACITY);
        let (mut written, mut come) = (0, 0);
        for _ in 0..40 {
            written += producer.write(&[IoSlice::new(&[7; 24])]).unwrap();
            consumer.arm().unwrap();
            let died = mortal.is_dead();
            let mut buffer = Vec::with_capacity(CAPACITY);
            if let Read::Bytes(count) = consumer.read(&mut buffer, 16).unwrap()
                && !died
            {
                come += count;
            }
            assert!(written <= come + CAPACITY, "after {lifetime} stores");
        }
    }
}
