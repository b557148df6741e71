//! Typed calls between local processes: one Rust trait, and the transport that one line of
//! configuration picks.
//!
//! ```no_run
//! use ipcall::{Config, Server, ipc_service};
//!
//! #[ipc_service]
//! pub trait WordCount {
//!     /// Counts the whitespace-separated words of `text`.
//!     async fn count(&self, text: &str) -> u64;
//! }
//!
//! struct Counter;
//! impl WordCount for Counter {
//!     async fn count(&self, text: &str) -> u64 {
//!         text.split_whitespace().count() as u64
//!     }
//! }
//!
//! # async fn server() -> Result<(), Box<dyn std::error::Error>> {
//! // server
//! let endpoint = Config::load("wordcount.toml")?.endpoint("wordcount")?;
//! Server::new().add_service(WordCountServer::new(Counter)).serve(&endpoint).await?;
//! # Ok(()) }
//! # async fn client() -> Result<(), Box<dyn std::error::Error>> {
//! // client
//! let endpoint = Config::load("wordcount.toml")?.endpoint("wordcount")?;
//! let client = WordCountClient::connect(&endpoint).await?;
//! let n = client.count("to be or not").await?;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

// So that the paths which the macro writes hold in this package's own code, too.
extern crate self as ipcall;

#[cfg(feature = "config")]
pub mod config;

#[cfg(feature = "config")]
pub use config::{Config, ConfigError};
pub use ipcall_core::transport::{Binder, Connector, Peer};
pub use ipcall_core::{
    BlockingClient, BlockingIncoming, Bound, CallError, CallOptions, CancelCause, CancelToken,
    Cancelled, Client, ConnectOptions, Context, ErrorKind, Incoming, ItemStream, Items, Limits,
    Outcome, RpcError, Server, Settings, ShutdownHandle, Signals, Spin, Stats, Stream, Window,
    cancel_on_ctrl_c, clear_interrupted, interrupted, transport,
};
pub use ipcall_macros::ipc_service;
pub use ipcall_transports::{Endpoint, Launch, Scheme, ServerEnded, await_launched, schemes};

#[doc(hidden)]
pub use ipcall_core::rt as __rt;

/// The README, whose code is compiled as tests of the documentation.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../README.md")]
struct Readme;
