//! What is special about `shm:`: children that are forked, and peers that write whatever they like into the
//! shared memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bells;
mod forks;
mod scribbles;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time: one of them counts what the process holds.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
