//! The service of the vectors.

use std::pin::Pin;
use std::task::{Context, Poll};

use ipcall::{Incoming, Limits, Stream, ipc_service};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum DivideError {
    ByZero,
    TooLarge { limit: i64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) left: String,
    pub(crate) right: Option<i32>,
}

#[ipc_service]
pub(crate) trait Arith {
    #[ipc(inline)]
    fn add(&self, a: u64, b: u64) -> u64;
    async fn divide(&self, a: i64, b: i64) -> Result<i64, DivideError>;
    #[ipc(oneway, inline)]
    fn note(&self, text: &str);
    async fn swap(&self, pair: Pair) -> Pair;
}

#[ipc_service]
pub(crate) trait Count {
    #[ipc(inline)]
    fn bytes(&self, data: &[u8]) -> u64;
}

#[ipc_service]
pub(crate) trait Twice {
    fn double(&self, numbers: impl Stream<Item = u64>) -> impl Stream<Item = u64>;
}

/// The limits of both sides in the vectors.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.message, limits.held_bytes, limits.calls_in_flight) = (64 << 20, 256 << 20, 1024);
    limits
}

/// Does what the names say.
pub(crate) struct Desk;

impl Arith for Desk {
    fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    async fn divide(&self, a: i64, b: i64) -> Result<i64, DivideError> {
        if b == 0 { Err(DivideError::TooLarge { limit: -300 }) } else { Ok(a / b) }
    }

    fn note(&self, _text: &str) {}

    async fn swap(&self, pair: Pair) -> Pair {
        pair
    }
}

impl Count for Desk {
    fn bytes(&self, data: &[u8]) -> u64 {
        data.len() as u64
    }
}

impl Twice for Desk {
    fn double(&self, numbers: Incoming<u64>) -> impl Stream<Item = u64> {
        Doubled(numbers)
    }
}

struct Doubled(Incoming<u64>);

impl Stream for Doubled {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        Pin::new(&mut self.0).poll_next(cx).map(|number| Some(2 * number?.unwrap()))
    }
}
