//! The service that is called.

use ipcall::{Incoming, Stream, ipc_service};
use serde::{Deserialize, Serialize};

use crate::stream::{Items, check, next};

/// The null call, bytes there and back, a struct there and back, and streams.
#[ipc_service]
pub(crate) trait Bench {
    /// The sum, wrapping.
    async fn add(&self, a: u64, b: u64) -> u64;
    /// The same bytes.
    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
    /// The same record with its id one higher, which shows that it was decoded and encoded.
    async fn record(&self, record: Record) -> Record;
    /// So many items of so many bytes, numbered.
    fn give(&self, size: usize, count: u64) -> impl Stream<Item = Vec<u8>>;
    /// Counts such items.
    async fn take(&self, size: usize, items: impl Stream<Item = Vec<u8>>) -> u64;
}

/// A struct of eight fields of eight kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) delta: i32,
    pub(crate) weight: f64,
    pub(crate) live: bool,
    pub(crate) name: String,
    pub(crate) samples: Vec<u32>,
    pub(crate) note: Option<String>,
    pub(crate) level: Level,
}

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Level {
    Low,
    Mid,
    High,
}

impl Record {
    pub(crate) fn sample(id: u64) -> Self {
        Self {
            id,
            delta: -40_007,
            weight: 0.625,
            live: true,
            name: "sixteen-chars-ok".to_owned(),
            samples: (0..16_u32).map(|i| i.wrapping_mul(0x0101_0407)).collect(),
            note: Some("an optional remark".to_owned()),
            level: Level::Mid,
        }
    }
}

/// The implementation.
pub(crate) struct Bencher;

impl Bench for Bencher {
    async fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }

    async fn record(&self, mut record: Record) -> Record {
        record.id = record.id.wrapping_add(1);
        record
    }

    fn give(&self, size: usize, count: u64) -> impl Stream<Item = Vec<u8>> {
        Items::new(size, count, None)
    }

    async fn take(&self, size: usize, mut items: Incoming<Vec<u8>>) -> u64 {
        let mut number = 0;
        while let Some(Ok(item)) = next(&mut items).await {
            check(&item, number, size);
            number += 1;
        }
        number
    }
}
