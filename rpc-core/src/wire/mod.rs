//! Bytes on the wire: frames and payloads.

pub mod payload;
