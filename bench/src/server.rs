//! The server: a process of its own, or a thread for `mem:`.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use ipcall::{Endpoint, Server, ShutdownHandle, Spin, schemes};
use tokio::runtime::{Builder, Runtime};

use crate::service::{BenchServer, Bencher};
use crate::{Options, ServerKind, machine, word};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The endpoint of a run, configured for both sides alike.
pub(crate) fn endpoint(options: &Options, uri: &str) -> Result<Endpoint, Failure> {
    let mut endpoint = Endpoint::parse(uri)?;
    if let Some(spin) = &options.spin {
        endpoint.settings_mut().spin = parse_spin(spin)?;
    }
    Ok(endpoint)
}

fn parse_spin(text: &str) -> Result<Spin, Failure> {
    Ok(match (text, text.strip_suffix("us")) {
        ("forever", _) => Spin::Forever,
        ("0", _) => Spin::UpTo(std::time::Duration::ZERO),
        (_, Some(micros)) => Spin::UpTo(std::time::Duration::from_micros(micros.parse()?)),
        _ => return Err(format!("--spin: {text}: 20us, 0 or forever is wanted").into()),
    })
}

/// A single-threaded or a multi-threaded runtime.
pub(crate) fn runtime(multi: bool) -> io::Result<Runtime> {
    let mut builder =
        if multi { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}

/// Serves at `uri` until the parent goes away.
pub(crate) fn run(options: &Options, uri: &str) -> Result<(), Failure> {
    machine::pin(options.pin, true)?;
    let endpoint = endpoint(options, uri)?;
    let bound = Server::new().add_service(BenchServer::new(Bencher)).bind([&endpoint])?;
    let stop = bound.shutdown_handle();
    thread::spawn(move || {
        // The parent holds the other end; it closes when the parent has ended, however it does.
        let _ = io::stdin().read(&mut [0]);
        stop.shutdown();
    });
    match options.server {
        ServerKind::Thread => bound.serve_blocking()?,
        kind => runtime(kind == ServerKind::TokioMt)?.block_on(bound.serve())?,
    }
    Ok(())
}

/// A server that runs beside the client.
pub(crate) enum Running {
    Process(Child),
    Thread(ShutdownHandle, Option<JoinHandle<()>>),
}

impl Running {
    /// Starts a server at a fresh endpoint of the chosen transport.
    pub(crate) fn start(options: &Options, directory: &Path) -> Result<(Self, Endpoint), Failure> {
        let scheme = schemes().iter().find(|scheme| scheme.name == options.transport);
        let scheme = scheme.ok_or("no such transport")?;
        let fresh = scheme.fresh(directory, "bench")?;
        let endpoint = endpoint(options, fresh.uri())?;
        let running = if scheme.in_process {
            Self::thread(options, endpoint.clone())?
        } else {
            Self::process(options, endpoint.uri())?
        };
        Ok((running, endpoint))
    }

    fn thread(options: &Options, endpoint: Endpoint) -> Result<Self, Failure> {
        let server = Server::new().add_service(BenchServer::new(Bencher));
        let bound = server.bind([&endpoint])?;
        let stop = bound.shutdown_handle();
        let (kind, pin) = (options.server, options.pin);
        let thread = thread::spawn(move || {
            let served = machine::pin(pin, true).map_err(Failure::from).and_then(|()| {
                match kind {
                    ServerKind::Thread => bound.serve_blocking()?,
                    kind => runtime(kind == ServerKind::TokioMt)?.block_on(bound.serve())?,
                }
                Ok(())
            });
            if let Err(error) = served {
                eprintln!("ipcall-bench: server: {error}");
            }
        });
        Ok(Self::Thread(stop, Some(thread)))
    }

    fn process(options: &Options, uri: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", uri, "--server", &word(&options.server)]);
        command.args(["--pin", &word(&options.pin)]);
        if let Some(spin) = &options.spin {
            command.args(["--spin", spin]);
        }
        Ok(Self::Process(command.stdin(Stdio::piped()).spawn()?))
    }

    /// Its process, if it is not this one.
    pub(crate) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Process(child) => Some(child.id()),
            Self::Thread(..) => None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Process(child) => {
                drop(child.stdin.take());
                if let Err(error) = child.wait() {
                    eprintln!("ipcall-bench: waiting for the server: {error}");
                }
            }
            Self::Thread(stop, thread) => {
                stop.shutdown();
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}
