//! What the code that `#[ipc_service]` generates refers to. Not for anyone else: it changes as the
//! macro does.

pub use std;
pub use std::convert::Infallible;

pub use serde_bytes::{ByteBuf, Bytes};

pub use crate::cancel::CancelToken;
pub use crate::client::blocking::streams::Items;
pub use crate::client::streams::ItemStream;
pub use crate::client::stub::{BlockingStub, Stub};
pub use crate::client::{BlockingClient, CallOptions, Client, ConnectOptions};
pub use crate::context::Context;
pub use crate::error::{CallError, RpcError};
pub use crate::protocol::descriptor::{MethodDescriptor, ServiceDescriptor};
pub use crate::service::{Fault, Handling, OwnedRequest, Reply, Request, Results, Service};
pub use crate::stream::codec::{ByteStrings, Codec, Plain};
pub use crate::stream::incoming::Incoming;
pub use crate::transport::Connector;
pub use crate::wire::payload::{Taken, WithTail};
pub use futures_core::Stream;
