//! The server: a process of its own, which the client starts for `pipe:`, or a thread for `mem:`.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipcall::{Bound, Endpoint, Launch, Server, ShutdownHandle, Spin, await_launched, schemes};
use tokio::runtime::{Builder, Runtime};

use crate::service::{BenchServer, Bencher};
use crate::{Options, ServerKind, machine, word};

/// How long a server may take to end when its client has.
const PATIENCE: Duration = Duration::from_secs(10);

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
        ("0", _) => Spin::UpTo(Duration::ZERO),
        (_, Some(micros)) => Spin::UpTo(Duration::from_micros(micros.parse()?)),
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
    machine::pin(options.cpu)?;
    let endpoint = endpoint(options, uri)?;
    let bound = server(options.server, options.cpu)?.bind([&endpoint])?;
    // A server that its client has started ends with it.
    if !endpoint.scheme().starts_server {
        let stop = bound.shutdown_handle();
        thread::spawn(move || {
            // The parent holds the other end; it closes when the parent has ended, however it does.
            let _ = io::stdin().read(&mut [0]);
            stop.shutdown();
        });
    }
    serve(bound, options.server)
}

fn server(kind: ServerKind, cpu: Option<usize>) -> Result<Server, Failure> {
    let server = Server::new().add_service(BenchServer::new(Bencher));
    Ok(match (kind, cpu) {
        (ServerKind::Busy, Some(cpu)) => server.busy_poll(cpu),
        (ServerKind::Busy, None) => server.busy_poll(machine::last()?),
        _ => server,
    })
}

fn serve(bound: Bound, kind: ServerKind) -> Result<(), Failure> {
    match kind {
        ServerKind::Thread | ServerKind::Busy => bound.serve_blocking()?,
        ServerKind::Tokio | ServerKind::TokioMt => {
            runtime(kind == ServerKind::TokioMt)?.block_on(bound.serve())?;
        }
    }
    Ok(())
}

/// A server that runs beside the client.
pub(crate) enum Running {
    Process(Child),
    Thread(ShutdownHandle, Option<JoinHandle<()>>),
    /// A process that the client starts, and that ends with it.
    OfClient,
}

impl Running {
    /// Starts a server at a fresh endpoint of the chosen transport.
    pub(crate) fn start(options: &Options, directory: &Path) -> Result<(Self, Endpoint), Failure> {
        let scheme = schemes().iter().find(|scheme| scheme.name == options.transport);
        let scheme = scheme.ok_or("no such transport")?;
        if scheme.in_process {
            let endpoint = endpoint(options, scheme.fresh(directory, "bench")?.uri())?;
            return Ok((Self::thread(options, endpoint.clone())?, endpoint));
        }
        let (program, cpu) = (std::env::current_exe()?, machine::choose(options.pin, true)?);
        let launch = |uri: &str| launch(Launch::new(program), options, cpu, uri);
        let (fresh, launch) = scheme.fresh_with(directory, "bench", launch)?;
        let running = match launch {
            Some(launch) => Self::Process(launch.command().stdin(Stdio::piped()).spawn()?),
            None => Self::OfClient,
        };
        Ok((running, endpoint(options, fresh.uri())?))
    }

    fn thread(options: &Options, endpoint: Endpoint) -> Result<Self, Failure> {
        let (kind, cpu) = (options.server, machine::choose(options.pin, true)?);
        let bound = server(kind, cpu)?.bind([&endpoint])?;
        let stop = bound.shutdown_handle();
        let thread = thread::spawn(move || {
            let pinned = machine::pin(cpu).map_err(Failure::from);
            let served = pinned.and_then(|()| serve(bound, kind));
            if let Err(error) = served {
                eprintln!("ipcall-bench: server: {error}");
            }
        });
        Ok(Self::Thread(stop, Some(thread)))
    }

    /// Its process, if it is not this one, nor one that the client starts.
    pub(crate) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Process(child) => Some(child.id()),
            Self::Thread(..) | Self::OfClient => None,
        }
    }
}

/// How a server is started that serves at `uri`.
fn launch(program: Launch, options: &Options, cpu: Option<usize>, uri: &str) -> Launch {
    let mut launch = program.args(["--serve", uri, "--server", &word(&options.server)]);
    if let Some(cpu) = cpu {
        launch = launch.arg("--cpu").arg(cpu.to_string());
    }
    if let Some(spin) = &options.spin {
        launch = launch.args(["--spin", spin]);
    }
    launch
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
            Self::OfClient => {
                if !await_launched(PATIENCE) {
                    eprintln!("ipcall-bench: the server has not ended with its client");
                }
            }
        }
    }
}
