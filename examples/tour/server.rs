//! The server: this program once more as another process, which the client starts where that is how the
//! transport works, or a task of this one where the transport does not leave the process.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use ipcall::transport::Binder;
use ipcall::{Bound, Endpoint, Launch, RpcError, Scheme, ShutdownHandle, await_launched};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::wordcount::WordCountServer;
use crate::wordcount::counting::Counter;

/// How long the server may take to stop. It has no more than one call to answer.
const GRACE: Duration = Duration::from_secs(2);

/// A server that is running.
pub(crate) enum Server {
    Process(Box<Process>),
    Task(Task),
    /// A process that the client starts, and that ends with it.
    OfClient,
}

impl Server {
    /// Starts a server for `scheme`, which has its names in `directory`, and says where.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn start(scheme: &Scheme, directory: &Path) -> Result<(Self, Endpoint), String> {
        const NAME: &str = "tour";
        if scheme.in_process {
            let endpoint = scheme.fresh(directory, NAME).map_err(|error| error.to_string())?;
            let task = Task::start(&endpoint).map_err(|error| error.to_string())?;
            return Ok((Self::Task(task), endpoint));
        }
        let failed = |error: io::Error| format!("starting the server: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let (endpoint, launch) = scheme
            .fresh_with(directory, NAME, |uri| Launch::new(program).arg("--serve").arg(uri))
            .map_err(|error| error.to_string())?;
        let server = match launch {
            Some(launch) => Self::Process(Box::new(Process::start(&launch).map_err(failed)?)),
            None => Self::OfClient,
        };
        Ok((server, endpoint))
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
            // The client says.
            Self::OfClient => std::future::pending().await,
        }
    }

    /// Stops it. There is no client any more.
    ///
    /// # Errors
    /// When it did not stop as it should.
    pub(crate) async fn stop(self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.stop().await,
            Self::Task(task) => task.stop().await,
            Self::OfClient => {
                let ended = spawn_blocking(|| await_launched(GRACE * 4)).await;
                match ended {
                    Ok(true) => Ok(()),
                    Ok(false) => Err("the server process did not end with its client".to_owned()),
                    Err(error) => Err(format!("waiting for the server process: {error}")),
                }
            }
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
    fn start(launch: &Launch) -> io::Result<Self> {
        let mut child = Command::from(launch.command())
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

/// Is the server process: serves `endpoint` until SIGTERM, or until whoever started it has gone. That is
/// shown by the end of the standard input, except where it is the client.
///
/// # Errors
/// When it cannot serve.
pub(crate) async fn serve(endpoint: &Endpoint) -> Result<(), String> {
    let served = async {
        let bound = bind(endpoint, true)?;
        if !endpoint.scheme().starts_server {
            let shutdown = bound.shutdown_handle();
            // A thread, because reading the standard input cannot be given up; the process's end ends it.
            thread::spawn(move || {
                let _ = io::copy(&mut io::stdin(), &mut io::sink());
                shutdown.shutdown();
            });
        }
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
