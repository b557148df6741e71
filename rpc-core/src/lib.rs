//! The core of ipcall.
#![forbid(unsafe_code)]

pub mod error;
pub mod limits;
pub mod transport;
pub mod wire;

pub use error::{CallError, ErrorKind, Outcome, RpcError};
pub use limits::{Limits, Settings, Spin};
