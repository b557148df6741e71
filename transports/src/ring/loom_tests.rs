//! Every interleaving of the two sides that the memory model allows, explored by loom; and each ordering
//! and each fence weakened once, which has to be noticed.

use std::io::IoSlice;
use std::process::Command;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::{Consumer, Memory, Order, Producer, Read, WORDS, Word};

/// Bytes of the ring.
const CAPACITY: usize = 2;
/// Bytes that pass through it.
const LENGTH: u8 = 3;

/// What can be weakened: the synchronisation of a word's stores or loads, or a side's fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weak {
    Nothing,
    Store(Word),
    Load(Word),
    /// Of whoever writes bytes.
    ProducersFence,
    /// Of whoever reads bytes.
    ConsumersFence,
    /// Between a letter's stamp and the letter.
    LettersRelease,
    LettersAcquire,
}

struct Inner {
    words: [AtomicU64; WORDS],
    /// Not atomic: loom finds whoever touches them unsynchronised.
    bytes: [UnsafeCell<u8>; CAPACITY],
}

/// One side's memory, as the side that writes bytes or the one that reads them has it.
#[derive(Clone)]
struct Modelled {
    inner: Arc<Inner>,
    weak: Weak,
    of_producer: bool,
}

// SAFETY: loom checks each access to `bytes`, and fails the test if two of them are not ordered.
#[expect(unsafe_code, reason = "loom's cell is not Sync, which is what it checks")]
unsafe impl Send for Modelled {}

impl Modelled {
    fn inner() -> Arc<Inner> {
        Arc::new(Inner {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            bytes: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }
}

impl Memory for Modelled {
    fn load(&self, word: Word, order: Order) -> u64 {
        let order = match order {
            Order::Synchronizing if self.weak != Weak::Load(word) => Ordering::Acquire,
            _ => Ordering::Relaxed,
        };
        self.inner.words[word as usize].load(order)
    }

    fn store(&self, word: Word, value: u64, order: Order) {
        let order = match order {
            Order::Synchronizing if self.weak != Weak::Store(word) => Ordering::Release,
            _ => Ordering::Relaxed,
        };
        self.inner.words[word as usize].store(value, order);
    }

    fn fence(&self) {
        let weak = if self.of_producer { Weak::ProducersFence } else { Weak::ConsumersFence };
        if self.weak != weak {
            fence(Ordering::SeqCst);
        }
    }

    fn release(&self) {
        if self.weak != Weak::LettersRelease {
            fence(Ordering::Release);
        }
    }

    fn acquire(&self) {
        if self.weak != Weak::LettersAcquire {
            fence(Ordering::Acquire);
        }
    }

    fn copy_in(&self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.inner.bytes[at..].iter().zip(bytes) {
            // SAFETY: loom fails the test where this is not exclusive.
            #[expect(unsafe_code, reason = "loom's cell gives a pointer")]
            place.with_mut(|place| unsafe { *place = *byte });
        }
    }

    fn copy_out(&self, at: usize, count: usize, buffer: &mut Vec<u8>) {
        for place in &self.inner.bytes[at..at + count] {
            // SAFETY: loom fails the test where someone writes to it meanwhile.
            #[expect(unsafe_code, reason = "loom's cell gives a pointer")]
            buffer.push(place.with(|place| unsafe { *place }));
        }
    }
}

/// Sends some bytes through a ring that is smaller than they are; both sides sleep whenever they can.
fn pass(weak: Weak) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let (writer, reader) = (Modelled::inner(), Modelled::inner());
        // The bells; loom finds out if one that is waited for is never rung.
        let (data, room) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let side = |inner: &Arc<Inner>, of_producer| Modelled {
            inner: Arc::clone(inner),
            weak,
            of_producer,
        };
        let mut producer = Producer::new(side(&writer, true), side(&reader, true), CAPACITY);
        let mut consumer = Consumer::new(side(&reader, false), side(&writer, false), CAPACITY);
        let (bell, sleep) = (Arc::clone(&data), Arc::clone(&room));
        let writing = thread::spawn(move || {
            let mut next = 0;
            while next < LENGTH {
                let bytes = [next];
                if producer.write(&[IoSlice::new(&bytes)]).unwrap() > 0 {
                    next += 1;
                    // The last one is followed by the end.
                    if next < LENGTH && producer.must_ring() {
                        bell.notify();
                    }
                } else if producer.arm().unwrap() {
                    sleep.wait();
                }
            }
            producer.close();
            // Whoever closes rings in any case.
            bell.notify();
        });
        let mut come = Vec::new();
        loop {
            let mut buffer = Vec::new();
            match consumer.read(&mut buffer, 1).unwrap() {
                Read::Bytes(_) => {
                    come.append(&mut buffer);
                    if consumer.must_ring() {
                        room.notify();
                    }
                }
                Read::Nothing => {
                    if consumer.arm().unwrap() {
                        data.wait();
                    }
                }
                Read::End => break,
            }
        }
        assert!(come.iter().copied().eq(0..LENGTH), "not every byte has passed: {come:?}");
        writing.join().unwrap();
    });
}

#[test]
fn every_byte_passes_and_nobody_sleeps_for_ever() {
    pass(Weak::Nothing);
}

const MUTANTS: [Weak; 10] = [
    Weak::Store(Word::Tail),
    Weak::Load(Word::Tail),
    Weak::Store(Word::Head),
    Weak::Load(Word::Head),
    Weak::Store(Word::Closed),
    Weak::Load(Word::Closed),
    Weak::ProducersFence,
    Weak::ConsumersFence,
    Weak::LettersRelease,
    Weak::LettersAcquire,
];

const MUTANT: &str = "IPCALL_TEST_MUTANT";

#[test]
fn each_weakened_ordering_is_noticed() {
    for (number, mutant) in MUTANTS.iter().enumerate() {
        // In a process of its own, because loom aborts that on finding a deadlock.
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ring::loom_tests::play_mutant", "--nocapture"])
            .env(MUTANT, number.to_string())
            .output()
            .unwrap();
        assert!(!run.status.success(), "{mutant:?} makes no difference");
        let found = String::from_utf8_lossy(&run.stderr);
        let finds = ["Causality violation", "deadlock;", "not every byte"];
        assert!(finds.iter().any(|find| found.contains(find)), "{mutant:?}: {found}");
    }
}

/// Not a test of its own.
#[test]
fn play_mutant() {
    if let Ok(number) = std::env::var(MUTANT) {
        pass(MUTANTS[number.parse::<usize>().unwrap()]);
    }
}
