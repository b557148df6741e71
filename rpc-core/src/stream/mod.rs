//! Streams beside a call: of its results, of an argument, or both.
//!
//! Each direction has two ends. An [`Inflow`](inflow::Inflow) is where the connection puts what has come, and a
//! [`Receiver`](receiver::Receiver) takes the items out; an [`Outflow`](outflow::Outflow) is what the connection knows of
//! the sending end, a [`Sink`](sink::Sink). Both sides of a connection have them in a [table](Streams), by call.

pub(crate) mod codec;
pub(crate) mod drive;
pub(crate) mod incoming;
pub(crate) mod inflow;
pub(crate) mod outflow;
pub(crate) mod receiver;
pub(crate) mod sink;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::inflow::Inflow;
use self::outflow::Outflow;
use crate::connection::outbox::Message;
use crate::error::RpcError;
use crate::protocol::hello::Hello;
use crate::protocol::incoming::Violation;
use crate::protocol::streams::Window;
use crate::wire::frame::{Credit, END, Header};

/// Where the streams of a connection send their frames.
pub(crate) trait Port: Send + Sync {
    /// Sends, or leaves it to be sent. Does not wait for the peer.
    fn send(&self, message: Message<'_>);
}

/// The windows of a connection: of the streams that come, and of those that go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) ours: Window,
    pub(crate) theirs: Window,
}

impl Windows {
    pub(crate) fn new(ours: Window, theirs: &Hello) -> Self {
        Self { ours, theirs: theirs.stream }
    }

    /// The ends of a call's streams.
    pub(crate) fn open(&self, comes: bool, goes: bool) -> Ends {
        Ends {
            inflow: comes.then(|| Arc::new(Inflow::new(self.ours))),
            outflow: goes.then(|| Arc::new(Outflow::new(self.theirs))),
        }
    }
}

/// The ends of one call's streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) inflow: Option<Arc<Inflow>>,
    pub(crate) outflow: Option<Arc<Outflow>>,
}

/// The streams of a connection, by call. A frame for one that is not here comes too late, and is dropped: ids are
/// never used again.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<u64, Ends>>);

impl Streams {
    fn table(&self) -> MutexGuard<'_, HashMap<u64, Ends>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u64, ends: Ends) {
        self.table().insert(id, ends);
    }

    pub(crate) fn remove(&self, id: u64) {
        self.table().remove(&id);
    }

    /// A part of a stream has come.
    ///
    /// # Errors
    /// More than there was room for, or nothing that could come.
    pub(crate) fn on_items(&self, header: &Header, body: &[u8]) -> Result<(), Violation> {
        let inflow = match self.table().get(&header.id) {
            Some(Ends { inflow: Some(inflow), .. }) => Arc::clone(inflow),
            Some(_) => {
                return Err(Violation::Stream { what: "items that nobody takes", id: header.id });
            }
            None => return Ok(()),
        };
        inflow.push(header.id, body, header.flags & END != 0)
    }

    /// More may be sent of a stream, or no more is wanted.
    ///
    /// # Errors
    /// What is no credit.
    pub(crate) fn on_credit(&self, header: &Header, body: &[u8]) -> Result<(), Violation> {
        let credit = Credit::read(body)?;
        let outflow = self.table().get(&header.id).and_then(|ends| ends.outflow.clone());
        match outflow {
            Some(outflow) if header.flags & END != 0 => outflow.stop(),
            Some(outflow) => outflow.grant(credit),
            None => {}
        }
        Ok(())
    }
}

impl Ends {
    /// Nothing more comes, for this reason, and nothing more is sent.
    pub(crate) fn fail(&self, error: &RpcError) {
        if let Some(inflow) = &self.inflow {
            inflow.fail(error);
        }
        if let Some(outflow) = &self.outflow {
            outflow.stop();
        }
    }
}
