//! Every limit of a connection and a server, with the defaults.
//!
//! A limit is checked before the memory it bounds is taken, and an error that comes of it names the
//! limit and the actual value. [`Settings`] gathers what one endpoint is configured with.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use ipcall_signals::doorbell;

use crate::wire::payload::DecodeLimits;

/// How far the sender of a stream may be ahead of who takes its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Bytes: those of the largest item, and 4 for its length, at least.
    pub bytes: u32,
    /// Items.
    pub items: u32,
}

/// The limits of one connection, and of the server that accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest encoded argument list or result, in bytes. 64 MiB and 4 KiB, so that an argument of
    /// 64 MiB fits with its length and with what stands beside it.
    pub message: usize,
    /// Calls of one connection that may be unanswered at a time. 1024.
    pub calls_in_flight: u32,
    /// Bytes of large arguments, or large results, that one connection may hold before they are
    /// handed over. 256 MiB.
    pub held_bytes: usize,
    /// Bytes of frames that may wait for the peer to read before callers have to wait. 1 MiB.
    pub queued_bytes: usize,
    /// How far the sender of a stream may be ahead of who reads it. 256 KiB, which bounds an item, too, and 16,384
    /// items. Each call has up to one stream each way, so a connection holds at most
    /// [`calls_in_flight`](Self::calls_in_flight) times that for those that come, at each end.
    pub stream: Window,
    /// Connections of one server. 1024.
    pub connections: u32,
    /// Connections of one server that one user may have, where the transport knows users. 256.
    pub connections_per_uid: u32,
    /// Time for a connection to get from its first byte to the end of the handshake. 5 s.
    pub handshake: Duration,
    /// Time without a byte, in the middle of a frame or a message, after which a peer counts as
    /// stalled. 10 s.
    pub progress: Duration,
    /// Bounds on what the decoding of one message may take.
    pub decode: DecodeLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: (64 << 20) + (4 << 10),
            calls_in_flight: 1024,
            held_bytes: 256 << 20,
            queued_bytes: 1 << 20,
            stream: Window { bytes: 256 << 10, items: 16 << 10 },
            connections: 1024,
            connections_per_uid: 256,
            handshake: Duration::from_secs(5),
            progress: Duration::from_secs(10),
            decode: DecodeLimits::default(),
        }
    }
}

/// How long to try before sleeping, wherever something is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spin {
    /// Try for as long as recent waits make it worth while, at most this long. Zero sleeps at once.
    /// With a single CPU to run on, nothing is tried either.
    UpTo(Duration),
    /// Never sleep: a CPU is given to the waiting.
    Forever,
}

impl Default for Spin {
    fn default() -> Self {
        Self::UpTo(Duration::from_micros(20))
    }
}

/// The signal by which a server that does not read is told to look at its cancellations, if any. A server handles it,
/// and offers to be rung with it; a client rings with what a server offers, unless it is [`OFF`](Self::OFF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals(Option<u8>);

impl Signals {
    /// None is handled, and none is sent: cancellations take effect when the server reads them.
    pub const OFF: Self = Self(None);

    /// `SIGURG`, which nobody notices who does not handle it.
    pub const URGENT: Self = Self(Some(doorbell::URGENT as u8));

    /// The signal with this number, as on this machine: `SIGURG`, or a real-time signal but for the one that ends
    /// system calls, `SIGRTMIN + 5`. A real-time signal that reaches a process without a handler ends it.
    ///
    /// # Errors
    /// `InvalidInput` for any other.
    pub fn numbered(number: i32) -> io::Result<Self> {
        doorbell::check(number).map(|()| Self(u8::try_from(number).ok()))
    }

    /// The real-time signal `SIGRTMIN + offset`, as with [`numbered`](Self::numbered).
    ///
    /// # Errors
    /// `InvalidInput` where there is no such signal, or it is taken.
    pub fn realtime(offset: u8) -> io::Result<Self> {
        Self::numbered(doorbell::first_realtime().saturating_add(offset.into()))
    }

    pub(crate) fn number(self) -> Option<u8> {
        self.0
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::URGENT
    }
}

/// What an endpoint is configured with, apart from where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The limits.
    pub limits: Limits,
    /// The deadline of a call whose method and options name none; `None` waits for ever.
    pub deadline: Option<Duration>,
    /// How long a client waits for a server that is not up yet; `None` fails at once.
    pub wait_for_server: Option<Duration>,
    /// How long to try before sleeping.
    pub spin: Spin,
    /// Whether cancellations may be hurried by a signal, and by which.
    pub signals: Signals,
    /// Users admitted beside the server's own, by uid.
    pub allow_uids: Vec<u32>,
    /// A shared secret that a client must show, if any.
    pub token: Option<Vec<u8>>,
}
