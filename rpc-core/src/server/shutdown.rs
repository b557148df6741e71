//! Telling a server to stop: by a handle, or by SIGTERM and SIGINT.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;

/// Stops a server that is serving, from anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShutdownHandle(Arc<UnixStream>);

impl ShutdownHandle {
    /// Lets the server finish: it stops listening, answers the calls that it has accepted, as long as
    /// its grace time lasts, and ends. Further calls of this do nothing.
    pub fn shutdown(&self) {
        // A full socket means that it was told often enough, an error that it has ended.
        let _ = (&*self.0).write(&[1]);
    }
}

/// Stops a server when it is dropped.
pub(crate) struct StopOnDrop(pub(crate) ShutdownHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// Where a server learns that it should stop. Once readable, it stays readable.
#[derive(Debug)]
pub(crate) struct Shutdown {
    receiver: UnixStream,
    handle: ShutdownHandle,
    signals: Vec<SigId>,
}

impl Shutdown {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { receiver, handle: ShutdownHandle(Arc::new(sender)), signals: Vec::new() })
    }

    pub(crate) fn handle(&self) -> ShutdownHandle {
        self.handle.clone()
    }

    /// Stops at SIGTERM and SIGINT too. Handlers that are installed go on being called.
    pub(crate) fn listen_to_signals(&mut self) -> io::Result<()> {
        for signal in [SIGTERM, SIGINT] {
            let sender = self.handle.0.try_clone()?;
            self.signals.push(low_level::pipe::register(signal, sender)?);
        }
        Ok(())
    }

    pub(crate) fn try_clone_receiver(&self) -> io::Result<UnixStream> {
        self.receiver.try_clone()
    }
}

impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        for signal in self.signals.drain(..) {
            low_level::unregister(signal);
        }
    }
}
