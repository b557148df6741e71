//! The ring between two threads that trust each other, and with one side that lies.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::thread;

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
    let writing = thread::spawn(move || {
        let (mut at, mut step) = (0, 1);
        while at < LENGTH {
            let bytes: Vec<u8> = (at..LENGTH.min(at + step)).map(byte).collect();
            let count = producer.write(&[IoSlice::new(&bytes)]).unwrap();
            at += count;
            step = step % 97 + 1;
            if count == 0 {
                thread::yield_now();
            }
        }
        producer.close();
    });
    let mut come = Vec::new();
    loop {
        let mut buffer = Vec::new();
        match consumer.read(&mut buffer, 41).unwrap() {
            Read::Bytes(count) => assert_eq!(count, buffer.len()),
            Read::Nothing => thread::yield_now(),
            Read::End => break,
        }
        come.extend(buffer);
    }
    writing.join().unwrap();
    assert!(come.iter().copied().eq((0..LENGTH).map(byte)));
}
