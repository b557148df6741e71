//! A received payload that owns its memory.
//!
//! The encoding of a byte string or a text is its length and its bytes. A large payload that is just
//! that - known by its length, which then accounts for all of it - is kept without the length in front,
//! so that its memory can become the value.

use std::sync::OnceLock;

use serde::Deserialize;

use super::decoder::Decoder;
use super::{DecodeError, DecodeLimits, decode, encode};
use crate::wire::scratch;

/// Bytes of a payload that is kept where it is, without memory of its own: of most.
const SHORT: usize = 55;

/// A payload, or the bytes of the byte string that it is.
#[derive(Debug)]
pub struct Received(Kept);

#[derive(Debug)]
enum Kept {
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Vec<u8>),
    /// One whose length belongs in front of it.
    Lone {
        bytes: Vec<u8>,
        /// The payload as it was sent, made only where it is decoded as something else.
        whole: OnceLock<Vec<u8>>,
    },
}

impl Received {
    /// Of the bytes behind a length that accounts for all of them.
    pub fn lone(bytes: Vec<u8>) -> Self {
        Self(Kept::Lone { bytes, whole: OnceLock::new() })
    }

    /// A copy of a payload that lies elsewhere.
    #[inline]
    pub fn copy_of(payload: &[u8]) -> Self {
        if payload.len() <= SHORT {
            let mut bytes = [0; SHORT];
            bytes[..payload.len()].copy_from_slice(payload);
            return Self(Kept::Short { length: payload.len() as u8, bytes });
        }
        let mut copy = scratch::take();
        copy.extend_from_slice(payload);
        copy.into()
    }

    /// The bytes that there are.
    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short { length, bytes } => &bytes[..usize::from(*length)],
            Kept::Long(bytes) | Kept::Lone { bytes, .. } => bytes,
        }
    }

    /// If the first bytes of a payload of `total` are a length that accounts for all of the rest: how
    /// many bytes that length takes.
    pub fn lone_prefix(first: &[u8], total: usize) -> Option<usize> {
        let (length, rest) = postcard::take_from_bytes::<u64>(first).ok()?;
        let taken = first.len() - rest.len();
        let expected = total.checked_sub(taken)?;
        // An encoding that is longer than need be could not be told again from `expected`.
        let shortest = prefix(expected).len() == taken;
        (length == expected as u64 && shortest && !rest.is_empty()).then_some(taken)
    }

    /// Bytes of memory.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes it; what is borrowed points into this.
    ///
    /// # Errors
    /// As for [`decode`].
    #[inline]
    pub fn decode<'de, T: Deserialize<'de>>(
        &'de self,
        limits: &DecodeLimits,
    ) -> Result<T, DecodeError> {
        match &self.0 {
            Kept::Lone { bytes, whole } => decode_lone(bytes, whole, limits),
            _ => decode(self.bytes(), limits),
        }
    }

    /// The byte string that it is, in its own memory where that is large.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn into_byte_string(mut self, limits: &DecodeLimits) -> Result<Vec<u8>, DecodeError> {
        if let Kept::Lone { bytes, .. } = &mut self.0 {
            return Ok(std::mem::take(bytes));
        }
        let string: serde_bytes::ByteBuf = decode(self.bytes(), limits)?;
        Ok(string.into_vec())
    }

    /// The payload as it was sent.
    pub fn to_payload(&self) -> Vec<u8> {
        match &self.0 {
            Kept::Lone { bytes, .. } => whole(bytes),
            _ => self.bytes().to_vec(),
        }
    }
}

impl Default for Received {
    #[inline]
    fn default() -> Self {
        Self(Kept::Long(Vec::new()))
    }
}

#[cold]
fn decode_lone<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    kept: &'de OnceLock<Vec<u8>>,
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    let mut decoder = Decoder::lone(bytes, limits);
    if let Ok(value) = T::deserialize(&mut decoder)
        && decoder.remaining() == 0
    {
        return Ok(value);
    }
    // It only looked like one byte string.
    decode(kept.get_or_init(|| whole(bytes)), limits)
}

impl From<Vec<u8>> for Received {
    #[inline]
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kept::Long(bytes))
    }
}

/// Its buffer is used again.
impl Drop for Received {
    #[inline]
    fn drop(&mut self) {
        if let Kept::Long(bytes) | Kept::Lone { bytes, .. } = &mut self.0 {
            scratch::give(std::mem::take(bytes));
        }
    }
}

fn prefix(length: usize) -> Vec<u8> {
    let mut prefix = Vec::new();
    // A length can always be encoded.
    let _ = encode(&length, &mut prefix, usize::MAX);
    prefix
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    let mut whole = prefix(bytes.len());
    whole.extend_from_slice(bytes);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { depth: 64, memory: 256 << 20 };

    fn lone(bytes: &[u8]) -> Received {
        let payload = whole(bytes);
        let taken = Received::lone_prefix(&payload, payload.len()).expect("it is one byte string");
        Received::lone(payload[taken..].to_vec())
    }

    #[test]
    fn a_lone_byte_string_is_lent_and_given_in_its_own_memory() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        let received = lone(&bytes);
        let (lent,): (&[u8],) = received.decode(&LIMITS).expect("bytes");
        assert_eq!(lent, bytes);
        let address = lent.as_ptr();
        let given = received.into_byte_string(&LIMITS).expect("bytes");
        assert_eq!((given.as_ptr(), &given), (address, &bytes));
    }

    #[test]
    fn a_lone_text_is_lent() {
        let text = "ä".repeat(100_000);
        let received = lone(text.as_bytes());
        let (lent,): (&str,) = received.decode(&LIMITS).expect("text");
        assert_eq!(lent, text);
        let owned: String = received.decode(&LIMITS).expect("text");
        assert_eq!(owned, text);
    }

    #[test]
    fn what_only_looks_like_a_byte_string_is_decoded_as_what_it_is() {
        let received = lone(&[7; 1000]);
        // A length, and that many one-byte integers.
        let numbers: Vec<u32> = received.decode(&LIMITS).expect("numbers");
        assert_eq!(numbers, [7; 1000]);
        // The length read as a number of its own, in front of others.
        let small = lone(&[3; 4]);
        let five: (u8, u8, u8, u8, u8) = small.decode(&LIMITS).expect("five numbers");
        assert_eq!(five, (4, 3, 3, 3, 3));
        assert_eq!(small.to_payload(), [4, 3, 3, 3, 3]);
    }

    #[test]
    fn a_lone_byte_string_with_something_behind_it_is_no_match() {
        let received = lone(&[1; 100]);
        let error = received.decode::<(&[u8], u8)>(&LIMITS).expect_err("one is missing");
        assert_eq!(error, DecodeError::Truncated);
    }

    #[test]
    fn a_length_that_accounts_for_less_or_more_or_is_long_winded_is_not_lone() {
        assert_eq!(Received::lone_prefix(&[5, 1, 1], 6), Some(1));
        assert_eq!(Received::lone_prefix(&[5, 1, 1], 7), None);
        assert_eq!(Received::lone_prefix(&[5, 1, 1], 5), None);
        assert_eq!(Received::lone_prefix(&[0x85, 0, 1, 1], 7), None);
        assert_eq!(Received::lone_prefix(&[0x85], 700), None);
        assert_eq!(Received::lone_prefix(&[], 0), None);
    }
}
