//! The service of the vectors.

use ipcall::{Limits, ipc_service};
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
