//! Byte strings that are moved rather than copied.
//!
//! The encoding of a byte string is its length and its bytes. So one that ends a payload can be sent
//! from where it is, behind the bytes that were encoded before it, and one that is all of a payload
//! becomes a `Vec<u8>` by taking its length off the front. The bytes on the wire are the same.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, DecodeLimits, EncodeError, decode, encode};
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

/// Decodes a payload that is one byte string, within its own memory.
///
/// # Errors
/// When it is anything else.
pub fn decode_bytes(mut payload: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = postcard::Deserializer::from_bytes(&payload);
    let length = <u64 as serde::Deserialize>::deserialize(&mut decoder);
    let length = length.map_err(|_| DecodeError::Truncated)?;
    let rest = decoder.finalize().map_err(|_| DecodeError::Truncated)?.len();
    match usize::try_from(length).ok().and_then(|length| rest.checked_sub(length)) {
        None => Err(DecodeError::Truncated),
        Some(0) => {
            payload.drain(..payload.len() - rest);
            Ok(payload)
        }
        Some(count) => Err(DecodeError::TrailingBytes { count }),
    }
}

/// A value that a payload can be decoded to.
pub trait Returns {
    /// Its type.
    type Value;

    /// Decodes it.
    ///
    /// # Errors
    /// As for [`decode`].
    fn decode(payload: Vec<u8>, limits: &DecodeLimits) -> Result<Self::Value, DecodeError>;
}

impl<T: DeserializeOwned> Returns for T {
    type Value = T;

    #[inline]
    fn decode(payload: Vec<u8>, limits: &DecodeLimits) -> Result<T, DecodeError> {
        let decoded = decode(&payload, limits);
        crate::wire::scratch::give(payload);
        decoded
    }
}

/// Stands for a `Vec<u8>` that is taken rather than copied.
#[derive(Debug)]
pub enum Taken {}

impl Returns for Taken {
    type Value = Vec<u8>;

    fn decode(payload: Vec<u8>, limits: &DecodeLimits) -> Result<Vec<u8>, DecodeError> {
        if payload.len() <= SMALL {
            // Copied, so that the buffer can be used again.
            return serde_bytes::ByteBuf::decode(payload, limits)
                .map(serde_bytes::ByteBuf::into_vec);
        }
        decode_bytes(payload)
    }
}
