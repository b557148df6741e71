//! The transports of ipcall, and [`Endpoint`], which names where a service is.
//!
//! A transport is a byte pipe that one can sleep on; the cut, with its numbered contract, is
//! [`ipcall_core::transport`]. One file or folder here is one mechanism. What a mechanism is called,
//! how its endpoints are written and where it is to be had stands in one table, [`schemes`].
//!
//! `unsafe` is confined to `sys`.
#![deny(unsafe_code)]

pub mod endpoint;
#[doc(hidden)]
pub mod suggest;

mod bell;
mod directory;
mod fifo;
mod file;
mod key_file;
mod launch;
mod mem;
mod pipe;
mod pipe_halves;
mod posix_mq;
mod private;
mod process;
mod ring;
mod ring_halves;
mod shm;
mod stream;
mod sys;
mod sysv_mq;
mod sysv_shm;
mod tcp;
mod token;
#[doc(hidden)]
pub mod units;
mod unix;

pub use endpoint::{Endpoint, Scheme, schemes};
pub use launch::Launch;
pub use pipe::{ServerEnded, await_launched};
pub use token::read_token_file;
