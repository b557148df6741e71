//! The examples as their users run them: as processes.
//!
//! `cargo test` builds the examples before it runs this. Each test has a directory of its own, in which
//! nothing may be left.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;
mod pair;
mod processes;
mod sandbox;
#[path = "../conformance/scratch.rs"]
mod scratch;
mod search;
mod tour;
#[path = "../../examples/wordcount/mod.rs"]
mod wordcount;
