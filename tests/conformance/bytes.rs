//! Bytes that tell where they belong, and a small generator for random tests.

/// The `count` bytes of stream `stream` from `start` on: no two places look alike for long.
pub(crate) fn stream(stream: u64, start: usize, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 16);
    let mut block = start / 8;
    while bytes.len() < count + start % 8 {
        bytes.extend_from_slice(&scramble(block as u64 ^ (stream << 48)).to_le_bytes());
        block += 1;
    }
    bytes.drain(..start % 8);
    bytes.truncate(count);
    bytes
}

/// Fails with the place of the first difference, not with megabytes of bytes.
pub(crate) fn assert_same(found: &[u8], expected: &[u8]) {
    let difference = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(difference.is_none(), "the bytes differ at {difference:?}");
    assert_eq!(found.len(), expected.len(), "the number of bytes differs");
}

/// Random numbers (SplitMix64), the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// A new seed for each run, or that of `IPCALL_TEST_SEED`; it shows when the test fails.
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let seed = std::env::var("IPCALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("to repeat: IPCALL_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(scramble(self.0) % limit as u64).unwrap()
    }
}

fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
