//! Values to bytes and back: postcard, with bounds on both directions.
//!
//! This module, with its parts, is the only one that names postcard. Scalars are read and written
//! by postcard itself; lengths and containers pass through here, because postcard trusts every
//! length that it reads and forgets the message of every error. The bytes are postcard's all the
//! same.
//!
//! Called by the generated stubs and by the handshake; it knows nothing of frames.

mod access;
mod decoder;
mod encoder;
mod fault;
mod received;
mod tail;
mod varint;

use serde::{Deserialize, Serialize};

use decoder::Decoder;
use encoder::Encoder;

pub use received::Received;
pub use tail::{Arguments, Returns, Taken, WithTail, encode_tail};

/// Elements that a message may hold beyond one per payload byte.
///
/// Only elements that take no bytes, such as `()`, need it.
const FREE_ELEMENTS: usize = 65_536;

/// Appends the encoding of `value` to `out`.
///
/// `limit` is the largest number of bytes that the encoding may have; what `out` held before does
/// not count. Past the limit the bytes are only counted, so that the error can name the size.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] past the limit, [`EncodeError::Unsupported`] for a value that the
/// format cannot express or that refuses to be serialized. `out` is then as it was.
#[inline]
pub fn encode<T>(value: &T, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError>
where
    T: Serialize + ?Sized,
{
    let start = out.len();
    let mut encoder = Encoder::new(out, limit);
    let result = value.serialize(&mut encoder);
    let actual = encoder.size();
    if result.is_ok() && actual <= limit {
        return Ok(());
    }
    out.truncate(start);
    Err(match result {
        Ok(()) => EncodeError::TooLarge { limit, actual },
        Err(fault) => fault.into(),
    })
}

/// Decodes one value that takes all of `bytes`.
///
/// A borrowed `&str` or `&[u8]` in `T` points into `bytes`. The work and the memory spent on
/// hostile bytes are bounded by `limits` and by the length of `bytes`; the bounds hold for what
/// serde drives, not for what a hand-written `Deserialize` allocates by itself.
///
/// # Errors
///
/// See [`DecodeError`]; nothing of the value is kept.
#[inline]
pub fn decode<'de, T>(bytes: &'de [u8], limits: &DecodeLimits) -> Result<T, DecodeError>
where
    T: Deserialize<'de>,
{
    let mut decoder = Decoder::new(bytes, limits);
    let value = T::deserialize(&mut decoder)?;
    match decoder.remaining() {
        0 => Ok(value),
        count => Err(DecodeError::TrailingBytes { count }),
    }
}

/// What decoding one payload may cost.
///
/// The number of elements has no setting: all sequences and maps of one payload together hold at
/// most one element per payload byte and 65,536 more, which bounds the elements that take no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Containers (options, newtypes, tuples, structs, enums, sequences, maps) inside one another.
    /// Default 64.
    pub depth: u32,
    /// Bytes of memory that the value may take. Default 256 MiB.
    ///
    /// An estimate made from the sizes of the types: a value inside another is counted with both,
    /// while what an allocator or a hash table adds is not.
    pub memory: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { depth: 64, memory: 256 * 1024 * 1024 }
    }
}

/// Why a value could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The encoding is longer than allowed; both in bytes.
    #[error("the value takes {actual} bytes, over the limit of {limit}")]
    TooLarge {
        /// The largest size allowed, in bytes.
        limit: usize,
        /// The size of the whole encoding, in bytes.
        actual: usize,
    },
    /// The format cannot express the value, or its `Serialize` gave an error: this is the message.
    #[error("the value cannot be encoded: {0}")]
    Unsupported(String),
}

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Containers nest deeper than [`DecodeLimits::depth`].
    #[error("the value nests deeper than the limit of {limit} levels")]
    TooDeep {
        /// The deepest nesting allowed.
        limit: u32,
    },
    /// The value takes more memory than [`DecodeLimits::memory`].
    #[error("the value takes at least {needed} bytes of memory, over the limit of {limit}")]
    TooMuchMemory {
        /// The most memory allowed, in bytes.
        limit: usize,
        /// The memory that was counted when the limit was passed, in bytes.
        needed: usize,
    },
    /// More elements are announced than a payload of this size can hold.
    #[error("the value announces {actual} elements, over the limit of {limit} for its size")]
    TooManyElements {
        /// The most elements for a payload of this size.
        limit: usize,
        /// The elements announced so far.
        actual: usize,
    },
    /// The value ended before its bytes did.
    #[error("{count} bytes are left over after the value")]
    TrailingBytes {
        /// The bytes left over.
        count: usize,
    },
    /// The bytes ended before the value did.
    #[error("the bytes end inside the value")]
    Truncated,
    /// A byte or a value that the type does not allow; the message says which.
    #[error("the bytes are not a valid value: {0}")]
    Invalid(String),
    /// The type wants the bytes to say what they hold (untagged, flattened); these do not.
    #[error("{type_name} cannot be decoded from a format that does not describe itself")]
    Unsupported {
        /// The Rust type that asked.
        type_name: &'static str,
    },
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "payload_hostile_tests.rs"]
mod hostile_tests;
