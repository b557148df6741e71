//! The service that is attacked.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipcall::ipc_service;
use serde::{Deserialize, Serialize};

/// As deep as one likes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Tree {
    Leaf,
    Node(Box<Self>),
}

/// One byte when absent, and 1,544 in memory anyway.
pub(crate) type Wide = Option<[[u64; 32]; 6]>;

#[ipc_service]
pub(crate) trait Target {
    #[ipc(inline)]
    fn add(&self, a: u64, b: u64) -> u64;
    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
    async fn text(&self, text: &str) -> u64;
    async fn tree(&self, tree: Tree) -> bool;
    async fn units(&self, units: BTreeSet<()>) -> u64;
    async fn wide(&self, rows: Vec<Wide>) -> u64;
    async fn produce(&self, length: u64) -> Vec<u8>;
    async fn rows(&self) -> Vec<Wide>;
    /// Keeps its arguments for ever.
    async fn hold(&self, data: &[u8]);
    /// The same without a reply.
    #[ipc(oneway)]
    async fn hold_oneway(&self, data: &[u8]);
    /// How many hold now.
    #[ipc(inline)]
    fn holding(&self) -> u32;
}

/// What is behind it.
#[derive(Debug, Default)]
pub(crate) struct Aim {
    holding: AtomicU32,
    /// How long to keep what is to be kept, if not for ever.
    patience: Option<Duration>,
}

struct Holding<'a>(&'a AtomicU32);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Aim {
    pub(crate) fn with_patience(patience: Option<Duration>) -> Self {
        Self { patience, ..Self::default() }
    }

    async fn keep(&self) {
        self.holding.fetch_add(1, Ordering::SeqCst);
        let _holding = Holding(&self.holding);
        let forever = std::future::pending();
        match self.patience {
            None => forever.await,
            // A server in plain threads has no timer.
            Some(patience) => std::thread::sleep(patience),
        }
    }
}

impl Target for Aim {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }

    async fn text(&self, text: &str) -> u64 {
        text.len() as u64
    }

    async fn tree(&self, tree: Tree) -> bool {
        matches!(tree, Tree::Leaf)
    }

    async fn units(&self, units: BTreeSet<()>) -> u64 {
        units.len() as u64
    }

    async fn wide(&self, rows: Vec<Wide>) -> u64 {
        rows.len() as u64
    }

    async fn produce(&self, length: u64) -> Vec<u8> {
        vec![7; length as usize]
    }

    async fn rows(&self) -> Vec<Wide> {
        vec![None; 3]
    }

    async fn hold(&self, data: &[u8]) {
        std::hint::black_box(data);
        self.keep().await;
    }

    async fn hold_oneway(&self, data: &[u8]) {
        std::hint::black_box(data);
        self.keep().await;
    }

    fn holding(&self) -> u32 {
        self.holding.load(Ordering::SeqCst)
    }
}
