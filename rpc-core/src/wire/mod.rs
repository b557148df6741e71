//! Bytes on the wire: frames, payloads, and the shapes of the types in them.

pub mod frame;
pub mod payload;
pub mod scratch;
pub mod shape;
