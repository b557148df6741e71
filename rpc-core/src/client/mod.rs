//! Calling: the asynchronous [`Client`], the [`BlockingClient`], and the stubs that generated clients
//! stand on.

pub(crate) mod blocking;
mod call;
mod connect;
mod ctrl_c;
mod link;
mod methods;
mod options;
mod prepared;
mod reader;
pub(crate) mod streams;
pub(crate) mod stub;
mod tie;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use blocking::BlockingClient;
pub use ctrl_c::{cancel_on_ctrl_c, clear_interrupted, interrupted};
pub use options::{CallOptions, ConnectOptions};

use crate::client::ctrl_c::{CancelAll, Entry};
use crate::client::link::Link;
use crate::connection::outbox::{Blocked, Outbox};
use crate::error::RpcError;
use crate::transport::{Connector, Peer};
use crate::wait::task::{Nudge, TaskSource, room};

/// An asynchronous connection to a server, without the methods of any service.
///
/// Cheap to clone; all clones share the connection, and calls on them run concurrently. The connection
/// closes when the last clone is dropped. The methods come with a generated client:
/// `FooClient::from_client(&client)`; several services can share a connection that way.
#[derive(Clone)]
pub struct Client(Arc<Handles>);

/// What the clones share. Dropped with the last of them, while the reader task goes on until told.
struct Handles {
    shared: Arc<Shared>,
    reader: AbortHandle,
}

/// What the callers and the reader task share.
pub(crate) struct Shared {
    pub(crate) link: Link,
    /// Wakes the reader task for something other than bytes.
    pub(crate) nudge: Nudge,
    runtime: Handle,
    /// Where Ctrl-C finds it.
    entry: Entry,
}

impl Client {
    /// Connects to a server, as the endpoint is configured. To be called within a tokio runtime; that
    /// runtime then reads for this connection, and the connection ends with it.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub async fn connect<C: Connector + ?Sized>(connector: &C) -> Result<Self, RpcError> {
        Self::connect_with(connector, &ConnectOptions::new()).await
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub async fn connect_with<C: Connector + ?Sized>(
        connector: &C,
        options: &ConnectOptions,
    ) -> Result<Self, RpcError> {
        let uri = connector.uri();
        connect::establish(connector, options).await.map_err(|error| error.at(uri))
    }

    fn start(link: Link, source: TaskSource) -> Self {
        let (runtime, entry) = (Handle::current(), Entry::new());
        let shared = Arc::new(Shared { link, nudge: Nudge::default(), runtime, entry });
        shared.entry.give_to(&shared);
        let reader = tokio::spawn(reader::Reader::new(Arc::clone(&shared), source)).abort_handle();
        Self(Arc::new(Handles { shared, reader }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Cancels every call of this connection, of all clones, that is in flight or waits for its turn; those that are
    /// made later are untouched.
    ///
    /// Each ends at once with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), without waiting for the server:
    /// [`NotExecuted`](crate::Outcome::NotExecuted) if it had not been sent, else
    /// [`MaybeExecuted`](crate::Outcome::MaybeExecuted), and the server is told. Answers that are there already
    /// win. May be called from anywhere, also without a runtime.
    pub fn cancel_all(&self) {
        Arc::clone(self.shared()).cancel_all();
    }

    /// What is known of the server's process.
    pub fn peer(&self) -> &Peer {
        &self.shared().link.peer
    }

    /// The endpoint's URI.
    pub fn uri(&self) -> &str {
        &self.shared().link.uri
    }

    /// Calls that the server has not answered yet.
    pub fn calls_in_flight(&self) -> usize {
        self.shared().link.calls().unanswered()
    }

    /// Answers that came after their call was given up. They were dropped.
    pub fn late_replies(&self) -> u64 {
        self.shared().link.calls().late()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.uri()).finish_non_exhaustive()
    }
}

impl CancelAll for Shared {
    fn cancel_all(self: Arc<Self>) {
        let blocked = self.link.cancel_all();
        self.go_on(blocked);
    }
}

impl Shared {
    /// Goes on with a blocked write when there is room, in a task of its own.
    #[inline]
    pub(crate) fn go_on(self: &Arc<Self>, blocked: Option<Blocked>) {
        if let Some(blocked) = blocked {
            let shared = Arc::clone(self);
            self.runtime.spawn(async move {
                write_rest(&shared.link.outbox, blocked).await;
                // What could not be written shows in the outbox.
                shared.nudge.nudge();
            });
        }
    }
}

/// Writes what a full peer did not take, as it makes room.
pub(crate) async fn write_rest(outbox: &Outbox, mut blocked: Blocked) {
    loop {
        if room(&mut blocked).await.is_err() {
            // The descriptor cannot be waited for any more; the reading side will find out why.
            return;
        }
        match outbox.resume(blocked) {
            None => return,
            Some(still) => blocked = still,
        }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        let blocked = self.shared.link.close();
        self.reader.abort();
        self.shared.go_on(blocked);
    }
}
