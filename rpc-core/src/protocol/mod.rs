//! The protocol, sans-IO: frames and time go in, frames and events come out.
//!
//! Nothing in here knows a socket, a clock or a runtime.

pub mod calls;
pub mod descriptor;
pub mod failure;
pub mod hello;
pub mod incoming;
pub mod outgoing;
mod pace;
pub mod requests;
pub mod streams;

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod testing;
