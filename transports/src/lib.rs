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

mod directory;
mod mem;
mod posix_mq;
mod process;
mod stream;
mod sys;
mod tcp;
mod token;
mod unix;

pub use endpoint::{Endpoint, Scheme, schemes};
pub use token::read_token_file;
