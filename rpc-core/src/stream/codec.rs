//! How the items of a stream are written and read: as serde has them, or as strings of bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteBuf, Bytes};

use crate::wire::payload::{DecodeError, DecodeLimits, EncodeError, decode, encode};

/// Writes and reads items of type `T`.
pub trait Codec<T> {
    /// Appends an item of at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be encoded, or is larger.
    fn encode(item: &T, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError>;

    /// Reads an item.
    ///
    /// # Errors
    /// When it is none.
    fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<T, DecodeError>;
}

/// As serde has them.
#[derive(Debug)]
pub enum Plain {}

impl<T: Serialize + DeserializeOwned> Codec<T> for Plain {
    #[inline]
    fn encode(item: &T, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError> {
        encode(item, out, limit)
    }

    #[inline]
    fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<T, DecodeError> {
        decode(bytes, limits)
    }
}

/// Strings of bytes.
#[derive(Debug)]
pub enum ByteStrings {}

impl Codec<Vec<u8>> for ByteStrings {
    #[inline]
    fn encode(item: &Vec<u8>, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError> {
        encode(Bytes::new(item), out, limit)
    }

    #[inline]
    fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<u8>, DecodeError> {
        decode::<&Bytes>(bytes, limits).map(|bytes| bytes.to_vec())
    }
}

impl Codec<Option<Vec<u8>>> for ByteStrings {
    fn encode(item: &Option<Vec<u8>>, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError> {
        encode(&item.as_deref().map(Bytes::new), out, limit)
    }

    fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Option<Vec<u8>>, DecodeError> {
        decode::<Option<ByteBuf>>(bytes, limits).map(|item| item.map(ByteBuf::into_vec))
    }
}
