//! How a server that its client has started has ended.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use ipcall_core::RpcError;
use nix::sys::signal::Signal;

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Killed(Signal),
    /// By a signal without a name, such as a real-time signal.
    KilledBySomeSignal,
    /// This process ignores `SIGCHLD`, or waits for whatever children it has.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "the server exited with status {status}"),
            Self::Killed(signal) => {
                let number = *signal as i32;
                write!(f, "the server was killed by signal {number} ({signal})")
            }
            Self::KilledBySomeSignal => write!(f, "the server was killed by a real-time signal"),
            Self::Unknown => write!(
                f,
                "the server has ended, and this process, which ignores SIGCHLD or waits for all of its \
                 children, has not left its exit status to be found"
            ),
        }
    }
}

/// How the server has ended that a client had started: the source of the error
/// [`PeerGone`](ipcall_core::ErrorKind::PeerGone) of such a client's calls.
///
/// ```no_run
/// # fn f(error: ipcall_core::RpcError) {
/// use std::os::unix::process::ExitStatusExt;
///
/// use ipcall_transports::ServerEnded;
///
/// let status = ServerEnded::of(&error).and_then(|ended| ended.status());
/// if let Some(signal) = status.and_then(|status| status.signal()) {
///     eprintln!("it has crashed, with signal {signal}");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerEnded {
    pub(super) end: End,
    /// Whether another process still has the pipe.
    pub(super) left_pipe: bool,
}

impl ServerEnded {
    /// What `error` says about it, if that is what it is about.
    pub fn of(error: &RpcError) -> Option<&Self> {
        error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }

    /// Its exit status; `None` where that could not be found, because this process ignores `SIGCHLD` or
    /// waits for all of its children, or for a signal without a name.
    pub fn status(&self) -> Option<ExitStatus> {
        match self.end {
            // As wait(2) puts them together.
            End::Exited(status) => Some(ExitStatus::from_raw((status & 0xff) << 8)),
            End::Killed(signal) => Some(ExitStatus::from_raw(signal as i32)),
            End::KilledBySomeSignal | End::Unknown => None,
        }
    }
}

impl fmt::Display for ServerEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.fmt(f)?;
        if self.left_pipe {
            write!(f, ", and left its end of the pipe to a process that it had started")?;
        }
        Ok(())
    }
}

impl Error for ServerEnded {}
