//! Byte strings that are moved rather than copied.
//!
//! The encoding of a byte string is its length and its bytes. So one that ends a payload can be sent
//! from where it is, behind the bytes that were encoded before it. The bytes on the wire are the same.
//! How one is received without a copy is told in [`Received`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, DecodeLimits, EncodeError, Received, encode};
use crate::wire::frame::FRAGMENT;

/// A byte string that is not longer is copied: what is moved goes in fragments, and a payload that fits
/// one frame does not.
const SMALL: usize = FRAGMENT;

/// The most that may stand before a moved byte string, in bytes: it has to fit the first frame.
const LEAD: usize = FRAGMENT / 2;

/// An argument list that can be encoded.
pub trait Arguments {
    /// Appends the encoding, of at most `limit` bytes, to `out`; all but what is returned, which follows
    /// it. To be called once.
    ///
    /// # Errors
    /// As for [`encode`].
    fn encode(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<Vec<u8>, EncodeError>;
}

impl<T: Serialize> Arguments for T {
    #[inline]
    fn encode(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<Vec<u8>, EncodeError> {
        encode(&*self, out, limit).map(|()| Vec::new())
    }
}

/// Arguments of which the last is a byte string.
#[derive(Debug)]
pub struct WithTail<T> {
    /// The arguments before it, as a tuple.
    pub others: T,
    /// The last.
    pub tail: Vec<u8>,
}

impl<T: Serialize> Arguments for WithTail<T> {
    fn encode(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<Vec<u8>, EncodeError> {
        let start = out.len();
        encode(&self.others, out, limit)?;
        let rest = encode_tail(std::mem::take(&mut self.tail), out);
        let actual = out.len() - start + rest.len();
        if actual > limit {
            out.truncate(start);
            return Err(EncodeError::TooLarge { limit, actual });
        }
        if !rest.is_empty() && out.len() - start > LEAD {
            out.extend_from_slice(&rest);
            return Ok(Vec::new());
        }
        Ok(rest)
    }
}

/// Appends the encoding of a byte string; all of it, or all but the bytes themselves, which are returned.
#[inline]
pub fn encode_tail(bytes: Vec<u8>, out: &mut Vec<u8>) -> Vec<u8> {
    // A length can always be encoded.
    let _ = encode(&bytes.len(), out, usize::MAX);
    if bytes.len() > SMALL {
        return bytes;
    }
    out.extend_from_slice(&bytes);
    Vec::new()
}

/// A value that a payload can be decoded to.
pub trait Returns {
    /// Its type.
    type Value;

    /// Decodes it.
    ///
    /// # Errors
    /// As for [`decode`](super::decode).
    fn decode(payload: Received, limits: &DecodeLimits) -> Result<Self::Value, DecodeError>;
}

impl<T: DeserializeOwned> Returns for T {
    type Value = T;

    #[inline]
    fn decode(payload: Received, limits: &DecodeLimits) -> Result<T, DecodeError> {
        payload.decode(limits)
    }
}

/// Stands for a `Vec<u8>` that is taken rather than copied.
#[derive(Debug)]
pub enum Taken {}

impl Returns for Taken {
    type Value = Vec<u8>;

    fn decode(payload: Received, limits: &DecodeLimits) -> Result<Vec<u8>, DecodeError> {
        payload.into_byte_string(limits)
    }
}
