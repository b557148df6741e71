//! The side that wants to know what is in the files, and does not trust whoever looks at them.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ipcall::{
    CallError, ConnectOptions, Endpoint, ErrorKind, Launch, RpcError, ServerEnded, await_launched,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::parser::{JsonParserBlockingClient, Summary};

/// How long a parser may take to end when there is nothing more to parse.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the parser may take.
pub(crate) struct Limits {
    /// In bytes.
    pub(crate) memory: u64,
    /// For a file.
    pub(crate) deadline: Duration,
}

/// What has become of a file.
#[derive(Debug)]
pub(crate) enum Outcome {
    Parsed(Summary),
    Refused(String),
    OutOfMemory,
    DeadlineExceeded(Duration),
    /// With this signal, if that is how it ended.
    Crashed(Option<i32>, String),
    /// It is not the file's fault.
    Failed(RpcError),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parsed(Summary { values, depth }) => {
                write!(f, "ok: {values} values, depth {depth}")
            }
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::DeadlineExceeded(deadline) => write!(f, "deadline exceeded: {deadline:?}"),
            Self::Crashed(Some(number), _) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "crashed with signal {number} ({signal})"),
                Err(_) => write!(f, "crashed with signal {number}"),
            },
            Self::Crashed(None, how) => write!(f, "crashed: {how}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// A parser in a process of its own, which is started when it is needed.
pub(crate) struct Sandbox {
    endpoint: Endpoint,
    deadline: Duration,
    client: Option<JsonParserBlockingClient>,
    starts: u32,
}

impl Sandbox {
    /// # Errors
    /// When this program cannot be found.
    pub(crate) fn new(limits: &Limits) -> Result<Self, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let launch = Launch::new(program)
            .arg("--parse")
            .arg("--memory")
            .arg((limits.memory >> 20).to_string())
            // Whatever it is for here: nobody wants to see where a parser got no memory.
            .env("RUST_BACKTRACE", "0");
        let endpoint = Endpoint::launching(&launch).map_err(|error| error.to_string())?;
        Ok(Self { endpoint, deadline: limits.deadline, client: None, starts: 0 })
    }

    /// How often the parser was started.
    pub(crate) fn starts(&self) -> u32 {
        self.starts
    }

    /// Has a text parsed. Whatever becomes of that, the next one can be.
    pub(crate) fn parse(&mut self, text: &[u8]) -> Outcome {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Outcome::Failed(error),
        };
        let error = match client.parse(text) {
            Ok(summary) => return Outcome::Parsed(summary),
            Err(CallError::Method(refusal)) => return Outcome::Refused(refusal.reason),
            Err(CallError::Rpc(error)) => error,
        };
        let outcome = self.judge(error);
        if !matches!(outcome, Outcome::Refused(_)) {
            // Of a parser that has failed nothing more is wanted.
            self.end();
        }
        outcome
    }

    /// Ends the parser.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn close(mut self) -> Result<(), String> {
        self.client = None;
        if await_launched(PATIENCE) { Ok(()) } else { Err("the parser does not end".to_owned()) }
    }

    /// The parser that there is, or a new one.
    fn client(&mut self) -> Result<JsonParserBlockingClient, RpcError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let options = ConnectOptions::new().deadline(self.deadline);
        let client = JsonParserBlockingClient::connect_with(&self.endpoint, &options)?;
        self.starts += 1;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn judge(&self, error: RpcError) -> Outcome {
        match error.kind() {
            ErrorKind::DeadlineExceeded { .. } => Outcome::DeadlineExceeded(self.deadline),
            ErrorKind::PeerGone { how } => {
                let status = ServerEnded::of(&error).and_then(ServerEnded::status);
                match status.and_then(|status| status.signal()) {
                    // How Rust's runtime ends a process that gets no memory. Panics end only their call.
                    Some(signal) if signal == Signal::SIGABRT as i32 => Outcome::OutOfMemory,
                    signal => Outcome::Crashed(signal, how.clone()),
                }
            }
            // Larger than a message may be: it was not even sent.
            ErrorKind::TooLarge { .. } => Outcome::Refused(error.kind().to_string()),
            ErrorKind::HandlerPanicked { message } => {
                Outcome::Crashed(None, format!("the parser panicked: {message}"))
            }
            _ => Outcome::Failed(error),
        }
    }

    /// Ends a parser that may hang, without waiting until it has seen that nobody wants it any more.
    fn end(&mut self) {
        let Some(client) = self.client.take() else { return };
        let pid = client.client().peer().pid.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // The number is still its own: it is waited for when the client is dropped. It may have ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
