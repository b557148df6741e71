//! What the pairs of a server and a client share: where they find each other, and how a server is run.
//!
//! `wordcount_server` and `wordcount_client` are one pair, `search_server` and `search_client` the other.

#![allow(dead_code, reason = "each side uses the part of it that it needs")]

pub(crate) mod location;
pub(crate) mod serving;

use std::fmt::Display;
use std::io::{self, Write};

/// Says something on the standard error, in one piece: client and server may share it.
pub(crate) fn say(name: &str, what: impl Display) {
    // Who does not listen need not be told.
    let _ = io::stderr().write_all(format!("{name}: {what}\n").as_bytes());
}
