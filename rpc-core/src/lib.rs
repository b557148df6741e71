//! The core of ipcall: wire format, protocol, connection, and the runtime of client and server.
//!
//! The facade `ipcall` re-exports what an application needs; the code that `#[ipc_service]` generates
//! stands on [`rt`]. A call goes one straight line, each hop one module:
//!
//! ```text
//!  stub              client::stub       the method's number, the encoded arguments
//!   -> client        client::call       its turn, its place among the calls in flight
//!   -> protocol      protocol::calls    sans-IO: who waits for which id
//!   -> wire          wire::frame        header and payload
//!   -> connection    connection::outbox written by the caller itself
//!  => transport =>   transport          a byte pipe one can sleep on; wait is how one sleeps
//!   -> connection    connection::source all that has come, read at once
//!   -> protocol      protocol::incoming, protocol::requests
//!   -> service       server::session    finds the method, decodes, calls the handler
//! ```
//!
//! A module uses only what stands before it:
//! `error, limits, cancel -> wire -> protocol -> transport -> connection -> wait -> stream -> service -> client, server`.

#![forbid(unsafe_code)]

pub(crate) mod cancel;
mod client;
mod connection;
mod context;
pub mod error;
pub mod limits;
pub mod protocol;
#[doc(hidden)]
pub mod rt;
mod server;
mod service;
mod stream;
pub mod transport;
mod wait;
pub mod wire;

pub use cancel::{CancelCause, CancelToken, Cancelled};
pub use client::blocking::streams::Items;
pub use client::streams::ItemStream;
pub use client::{BlockingClient, CallOptions, Client, ConnectOptions};
pub use client::{cancel_on_ctrl_c, clear_interrupted, interrupted};
pub use context::Context;
pub use error::{CallError, ErrorKind, Outcome, RpcError};
pub use futures_core::Stream;
pub use limits::{Limits, Settings, Signals, Spin, Window};
pub use server::{Bound, Server, ShutdownHandle, Stats};
pub use stream::incoming::{BlockingIncoming, Incoming};
