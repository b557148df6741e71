//! What the threads of one connection have in common.

use std::io;
use std::sync::{Arc, OnceLock};

use super::Alive;
use super::handling::Elsewhere;
use super::streaming::Streaming;
use super::watch::Watched;
use crate::cancel::CancelCause;
use crate::server::Shared;
use crate::server::end::{End, broken};
use crate::server::session::{Session, Started};
use crate::service::Reply;
use crate::stream::Port;

/// What a connection's thread and those of its calls with streams have in common.
pub(super) struct Common {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<Session>,
    pub(super) watched: Arc<Watched>,
    /// Once there was a call with streams.
    pub(super) streaming: OnceLock<Arc<Streaming>>,
    alive: Option<Arc<Alive>>,
}

impl Common {
    pub(super) fn new(shared: &Arc<Shared>, session: Session, alive: Option<Arc<Alive>>) -> Self {
        let (shared, watched) = (Arc::clone(shared), Watched::new(&session.limits));
        let (session, streaming) = (Arc::new(session), OnceLock::new());
        Self { shared, session, watched, streaming, alive }
    }

    /// Where streams send their frames.
    #[cold]
    pub(super) fn port(&self) -> io::Result<Arc<dyn Port>> {
        if let Some(streaming) = self.streaming.get() {
            return Ok(Arc::clone(streaming) as _);
        }
        let streaming = Streaming::new(&self.shared, &self.session, self.alive.clone())?;
        let streaming = self.streaming.get_or_init(|| Arc::new(streaming));
        self.watched.know(streaming);
        Ok(Arc::clone(streaming) as _)
    }

    /// What could be cancelled has ended by the time that its cancellation is read, unless it has streams.
    pub(super) fn cancel(&self, id: u64) {
        if let Some(streaming) = self.streaming.get() {
            let _ = streaming.cancel(id, CancelCause::Caller);
        }
    }

    /// Looks whether a call may have this id. Only those with streams run while others come.
    ///
    /// # Errors
    /// A violation, if such a one has it.
    #[inline]
    pub(super) fn check_id(&self, id: u64, oneway: bool) -> Result<(), End> {
        match self.streaming.get() {
            Some(streaming) if !oneway && streaming.runs(id) => {
                Err(broken(format!("a second call with the id {id}, which is in flight")))
            }
            _ => Ok(()),
        }
    }

    /// Starts a call with streams.
    #[cold]
    pub(super) fn start_streaming(&self, id: u64, started: Started) -> Result<Reply, Elsewhere> {
        match self.streaming.get().map(|streaming| streaming.start(id, started)) {
            Some(Err(reply)) => Ok(reply),
            _ => Err(Elsewhere),
        }
    }
}
