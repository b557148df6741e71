//! Bytes of any kind, decoded as values of many shapes.
//!
//! Nothing may panic or take more than its limits, and what is decoded encodes to bytes that decode to
//! the same. How to run it stands in `fuzz/Cargo.toml`.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ipcall_core::protocol::failure::Failure;
use ipcall_core::protocol::hello::Hello;
use ipcall_core::wire::payload::{DecodeLimits, decode, encode};
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Pair(Box<Tree>, Box<Tree>),
    List { name: String, children: Vec<Tree> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    letter: char,
    wide: (i128, u128),
    samples: Vec<u32>,
    note: Option<Option<String>>,
    table: BTreeMap<String, BTreeSet<i16>>,
    raw: serde_bytes::ByteBuf,
    grid: [[u8; 3]; 2],
    fallible: Result<(), String>,
}

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let limits = DecodeLimits { depth: 64, memory: 16 << 20 };
    let Ok(value) = decode::<T>(bytes, &limits) else { return };
    let mut again = Vec::new();
    encode(&value, &mut again, usize::MAX).expect("what was decoded can be encoded");
    assert!(again.len() <= bytes.len(), "the encoding is the shortest");
    let value_again: T = decode(&again, &limits).expect("what was encoded can be decoded");
    assert_eq!(value_again, value);
}

fuzz_target!(|input: (u8, &[u8])| {
    let (shape, bytes) = input;
    match shape % 8 {
        0 => check::<Tree>(bytes),
        1 => check::<Record>(bytes),
        2 => check::<Hello>(bytes),
        3 => check::<Failure>(bytes),
        4 => check::<Vec<()>>(bytes),
        5 => check::<BTreeSet<()>>(bytes),
        6 => check::<Vec<(String, String)>>(bytes),
        _ => check::<(bool, i8, u16, i32, Vec<Vec<Option<u8>>>)>(bytes),
    }
});
