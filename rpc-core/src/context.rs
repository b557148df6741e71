//! What a handler may ask about its call.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cancel::{CancelCause, CancelToken, Cancelled};
use crate::transport::{Interest, Peer};
use crate::wait::thread::sleep;

/// A call as its handler sees it: who called, until when, and with which metadata.
///
/// A method asks for it by taking `cx: &Context` as its first parameter; it is not sent.
///
/// # Cancellation
///
/// A call is cancelled when its caller gives it up or is gone, when its time has run out, or when the server
/// ends. An `async` handler is then dropped where it awaits something. One that cannot be dropped, because it is
/// a plain `fn` or its method is `#[ipc(no_cancel)]`, notices as it likes: it [looks](Self::check),
/// [awaits](Self::cancelled) or [polls](Self::cancel_fd), and has the [system calls](Self::interruptible) and
/// [pauses](Self::sleep) ended that it is in. Until it has ended, its call counts as one in flight.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) method: &'static str,
    pub(crate) peer: Arc<Peer>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Where the handler may ask.
    pub(crate) token: Option<CancelToken>,
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

    /// Whether the call was cancelled, or its time has run out.
    pub fn is_cancelled(&self) -> bool {
        self.check().is_err()
    }

    /// `cx.check()?` now and then ends a long handler when it is of no more use.
    ///
    /// # Errors
    /// Why the call was cancelled. A caller that still waits is told so, whatever the handler returns then.
    pub fn check(&self) -> Result<(), Cancelled> {
        if let Some(cause) = self.token.as_ref().and_then(CancelToken::cause) {
            return Err(Cancelled { cause });
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            // Timers are late. What the handler fails with from here on is no answer, so it has to be known.
            if let Some(token) = &self.token {
                token.cancel_because(CancelCause::Deadline);
            }
            return Err(Cancelled { cause: CancelCause::Deadline });
        }
        Ok(())
    }

    /// Waits until the call is cancelled. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = Cancelled> + Send + use<> {
        let token = self.cancel_token();
        async move {
            token.cancelled().await;
            Cancelled { cause: token.cause().unwrap_or(CancelCause::Caller) }
        }
    }

    /// A descriptor that is readable once the call is cancelled, to be given to `poll(2)` beside others. Not to be
    /// read.
    ///
    /// # Errors
    /// That of `eventfd(2)`, of which it is made at the first call.
    pub fn cancel_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.token
            .as_ref()
            .map_or_else(|| Err(io::ErrorKind::Unsupported.into()), CancelToken::as_fd)
    }

    /// Something that is cancelled with the call; it may outlive the handler.
    pub fn cancel_token(&self) -> CancelToken {
        self.token.clone().unwrap_or_default()
    }

    /// Runs a system call, and has it return `EINTR` when the call is cancelled, before or while it runs; what it
    /// returns is returned.
    ///
    /// For one system call at a time: `read`, `flock`, `nanosleep`, and what else `signal(7)` lists as interrupted by
    /// a handler. What tries again after `EINTR`, as `std::thread::sleep` and `Read::read_exact` do, is not ended by
    /// it. `EINTR` may come for other reasons, too:
    ///
    /// ```
    /// # use std::{fs::File, io::{self, Read as _}};
    /// # use ipcall_core::Context;
    /// fn read(cx: &Context, file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    ///     loop {
    ///         match cx.interruptible(|| file.read(buffer)) {
    ///             Err(error) if error.kind() == io::ErrorKind::Interrupted => cx.check()?,
    ///             result => return result,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// The thread gets a signal, `SIGRTMIN + 5`, whose handler does nothing, again and again until `call` has
    /// returned.
    pub fn interruptible<R>(&self, call: impl FnOnce() -> R) -> R {
        match &self.token {
            Some(token) => token.interruptible(call),
            None => call(),
        }
    }

    /// Sleeps, in the thread that calls this, unless the call is cancelled.
    ///
    /// # Errors
    /// Why the call was cancelled.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        let until = Instant::now().checked_add(time);
        loop {
            self.check()?;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            let left = left.into_iter().chain(self.remaining()).min();
            match self.cancel_fd().and_then(|fd| sleep([Some((fd, Interest::Readable))], left)) {
                Ok(_) => {}
                // Without a descriptor it looks now and then.
                Err(_) => thread::sleep(left.unwrap_or(LOOK).min(LOOK)),
            }
        }
    }
}

/// Between two looks of who has nothing that wakes it.
const LOOK: Duration = Duration::from_millis(5);
