//! Streams of results and of arguments, over every transport, each kind of server and of client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod backpressure;
mod dropping;
mod ending;
mod flowing;
mod studio;
