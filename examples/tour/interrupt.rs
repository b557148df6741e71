//! Being told to stop, so that the server is stopped before this process is.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, which are remembered from the moment on that this is made.
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for the next, and says which.
    pub(crate) async fn next(&mut self) -> u8 {
        const INT: u8 = 2;
        const TERM: u8 = 15;
        tokio::select! {
            _ = self.int.recv() => INT,
            _ = self.term.recv() => TERM,
        }
    }
}
