//! The server: this program once more as another process, or a task of this one where the transport
//! does not leave the process.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use ipcall::transport::Binder;
use ipcall::{Bound, Endpoint, RpcError, ShutdownHandle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wordcount::WordCountServer;
use crate::wordcount::counting::Counter;

/// How long the server may take to stop. It has no more than one call to answer.
const GRACE: Duration = Duration::from_secs(2);

/// A server that is running.
pub(crate) enum Server {
    Process(Box<Process>),
    Task(Task),
}

impl Server {
    /// Starts a server at `endpoint`.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn start(endpoint: &Endpoint) -> Result<Self, String> {
        if endpoint.scheme().in_process {
            Task::start(endpoint).map(Self::Task).map_err(|error| error.to_string())
        } else {
            let process = Process::start(endpoint).map(Box::new);
            process.map(Self::Process).map_err(|error| format!("starting the server: {error}"))
        }
    }

    /// Waits until it ends without having been told to, and says how.
    pub(crate) async fn ended(&mut self) -> String {
        match self {
            Self::Process(process) => match process.child.wait().await {
                // How it ended is found when it is stopped.
                Ok(_) => "the server process did not wait to be stopped".to_owned(),
                Err(error) => format!("waiting for the server process: {error}"),
            },
            Self::Task(task) => match (&mut task.served).await {
                Ok(Ok(())) => "the server task has ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            },
        }
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it did not stop as it should.
    pub(crate) async fn stop(self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.stop().await,
            Self::Task(task) => task.stop().await,
        }
    }
}

/// A server in a process of its own.
pub(crate) struct Process {
    child: Child,
    /// The child watches its end of this pipe, which closes when this process ends, however it does.
    _lifeline: Option<ChildStdin>,
}

impl Process {
    fn start(endpoint: &Endpoint) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", endpoint.uri()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { child, _lifeline: lifeline })
    }

    async fn stop(mut self) -> Result<(), String> {
        // There is no id any more once it has ended and was waited for.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(id), Signal::SIGTERM)
                .map_err(|error| format!("stopping the server process: {error}"))?;
        }
        match timeout(GRACE * 2, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the server process ended: {status}")),
            Ok(Err(error)) => Err(format!("waiting for the server process: {error}")),
            Err(_) => {
                let patience = GRACE * 2;
                let killed = self.child.kill().await;
                killed.map_err(|error| format!("killing the server process: {error}"))?;
                Err(format!("the server process did not stop within {patience:?}, and was killed"))
            }
        }
    }
}

/// A server in a task of this process.
pub(crate) struct Task {
    shutdown: ShutdownHandle,
    served: JoinHandle<Result<(), RpcError>>,
}

impl Task {
    fn start(endpoint: &Endpoint) -> Result<Self, RpcError> {
        let bound = bind(endpoint, false)?;
        let shutdown = bound.shutdown_handle();
        Ok(Self { shutdown, served: tokio::spawn(bound.serve()) })
    }

    async fn stop(self) -> Result<(), String> {
        if self.served.is_finished() {
            return Ok(());
        }
        self.shutdown.shutdown();
        match self.served.await {
            Ok(served) => served.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Is the server process: serves `endpoint` until SIGTERM, or until the standard input ends.
///
/// # Errors
/// When it cannot serve.
pub(crate) async fn serve(endpoint: &Endpoint) -> Result<(), String> {
    let served = async {
        let bound = bind(endpoint, true)?;
        let shutdown = bound.shutdown_handle();
        // A thread, because reading the standard input cannot be given up; the process's end ends it.
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            shutdown.shutdown();
        });
        bound.serve().await
    };
    served.await.map_err(|error: RpcError| error.to_string())
}

fn bind(endpoint: &Endpoint, is_process: bool) -> Result<Bound, RpcError> {
    let server = ipcall::Server::new().add_service(WordCountServer::new(Counter)).grace(GRACE);
    let server = if is_process { server.drain_on_signals() } else { server };
    server.bind([endpoint as &dyn Binder])
}

/// The path of a private directory, for a server that has its name in one. The server makes it and
/// removes it again, even if this process is killed; dropping this removes what a killed server left.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let (pid, random) = (std::process::id(), RandomState::new().hash_one(0) as u32);
        Self(std::env::temp_dir().join(format!("ipcall-tour-{pid}-{random:08x}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Mostly it is not there any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}
