//! What a handler may ask about its call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::transport::Peer;

/// A call as its handler sees it: who called, until when, and with which metadata.
///
/// A method asks for it by taking `cx: &Context` as its first parameter; it is not sent.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) method: &'static str,
    pub(crate) peer: Arc<Peer>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Vec<(String, String)>,
}

impl Context {
    /// The method's name.
    pub fn method(&self) -> &str {
        self.method
    }

    /// What is known of the caller's process.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// When the caller stops waiting, on the server's monotonic clock.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How much longer the caller waits; zero when it no longer does.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The pairs that the caller gave, in its order.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The first value that the caller gave for this key.
    pub fn metadata_value(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }
}
