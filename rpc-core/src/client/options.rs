//! What can be chosen when connecting, and for single calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::context::Context;
use crate::error::{ErrorKind, RpcError};
use crate::wire::frame::METADATA;
use crate::wire::payload;

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    pub(crate) wait_for_server: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

impl ConnectOptions {
    /// As the endpoint is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits this long for a server that is not up yet, instead of failing at once.
    #[must_use]
    pub fn wait_for_server(mut self, patience: Duration) -> Self {
        self.wait_for_server = Some(patience);
        self
    }

    /// The deadline of calls whose method and options name none.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// What goes with a call beside its arguments.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    pub(crate) deadline: Option<Duration>,
    pub(crate) deadline_at: Option<Instant>,
    pub(crate) token: Option<CancelToken>,
    metadata: Vec<(String, String)>,
    /// The metadata as it is sent; empty when there is none.
    encoded: Arc<[u8]>,
}

impl CallOptions {
    /// No deadline of its own, no token, no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time that the call may take in all: waiting for its turn, writing, the handler, the reply.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// When the call has to be over, on the monotonic clock: for calls that are parts of something that has to be over
    /// by then. Where [`deadline`](Self::deadline) is given as well, or the method or the client has one, the
    /// earlier counts. A call that is made later than that fails at once with
    /// [`ErrorKind::DeadlineExceeded`], and nothing is sent.
    #[must_use]
    pub fn deadline_at(mut self, deadline: Instant) -> Self {
        self.deadline_at = Some(deadline);
        self
    }

    /// Has the call cancelled when `token` is. Any number of calls can share one, each keeps a clone.
    ///
    /// The call then ends at once with [`ErrorKind::Cancelled`], whatever the token's cause, and without waiting for
    /// the server. Its outcome is [`NotExecuted`](crate::Outcome::NotExecuted) if it had not been sent, as when the token was
    /// cancelled before the call began, or while it waited for its turn; else the server is told, and the outcome
    /// is [`MaybeExecuted`](crate::Outcome::MaybeExecuted). An answer that is there already wins.
    #[must_use]
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Adds a pair that the handler finds in its `Context`. Pairs keep their order; a key may occur
    /// more than once.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        let mut encoded = Vec::new();
        // Strings can always be encoded; how many bytes they make is checked when a call is made.
        let _ = payload::encode(&self.metadata, &mut encoded, usize::MAX);
        self.encoded = encoded.into();
        self
    }

    /// The encoded metadata.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] above 16 KiB.
    pub(crate) fn encoded_metadata(&self) -> Result<&[u8], RpcError> {
        if self.encoded.len() > METADATA {
            return Err(RpcError::not_executed(ErrorKind::TooLarge {
                what: "the metadata (in bytes)".to_owned(),
                limit: METADATA as u64,
                actual: self.encoded.len() as u64,
            }));
        }
        Ok(&self.encoded)
    }
}

impl Context {
    /// Options for calls that a handler makes on behalf of its own: they have no more time than that has, and are
    /// cancelled with it. Nothing is inherited without them.
    ///
    /// ```no_run
    /// # use ipcall_core::{Context, rt::Stub};
    /// # async fn handler(cx: &Context, client: &Stub) {
    /// let client = client.with_options(cx.client_options());
    /// # }
    /// ```
    pub fn client_options(&self) -> CallOptions {
        let options = CallOptions::new().cancel_token(&self.cancel_token());
        match self.deadline {
            Some(deadline) => options.deadline_at(deadline),
            None => options,
        }
    }
}
