//! The client: connects, warms up, measures.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{CallError, ConnectOptions, Endpoint, Peer};

use crate::report::{Report, Usage};
use crate::server::{Running, runtime};
use crate::service::{BenchBlockingClient, BenchClient};
use crate::stream::{self, StreamReport};
use crate::work::{Meter, caller, payload};
use crate::{ClientKind, Op, Options, machine};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an item of the streams beside the calls.
const STREAMED: usize = 64 << 10;

/// How long to wait for the server to come up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a server and measures calls to it.
pub(crate) fn run(options: &Options) -> Result<Measured, Failure> {
    let directory = tempfile::Builder::new()
        .prefix("ipcall-bench-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let (server, endpoint) = Running::start(options, directory.path())?;
    // Only now, so that the server does not inherit it.
    machine::pin(machine::choose(options.pin, false)?)?;
    if options.op == Op::Stream {
        let report = stream::run(options, &server, &endpoint)?;
        return Ok(Measured::Stream(Box::new(report)));
    }
    let report = match options.client {
        ClientKind::Blocking => blocking(options, &server, &endpoint)?,
        kind => {
            let main = asynchronous(options.clone(), server.process_id(), endpoint);
            let runtime = runtime(kind == ClientKind::AsyncMt)?;
            if kind == ClientKind::AsyncMt {
                runtime.block_on(async { tokio::spawn(main).await })??
            } else {
                runtime.block_on(main)?
            }
        }
    };
    drop(server);
    Ok(Measured::Calls(Box::new(report)))
}

/// What was measured.
pub(crate) enum Measured {
    Calls(Box<Report>),
    Stream(Box<StreamReport>),
}

impl Measured {
    pub(crate) fn print(&self, json: bool) {
        match self {
            Self::Calls(report) => report.print(json),
            Self::Stream(report) => report.print(json),
        }
    }
}

/// The process of a server that connecting has started.
pub(crate) fn other_process(peer: &Peer) -> Option<u32> {
    peer.pid.filter(|pid| *pid != std::process::id())
}

async fn asynchronous(
    options: Options,
    server: Option<u32>,
    endpoint: Endpoint,
) -> Result<Report, Failure> {
    let wait = ConnectOptions::new().wait_for_server(PATIENCE);
    let client = BenchClient::connect_with(&endpoint, &wait).await?;
    let server = server.or_else(|| other_process(client.client().peer()));
    let pass = async |seconds: f64| {
        let duration = Duration::from_secs_f64(seconds);
        let callers: Vec<_> = (0..options.concurrency)
            .map(|caller| {
                let (client, options) = (client.clone(), options.clone());
                tokio::spawn(async move {
                    let mut meter = Meter::new(caller.into(), duration);
                    caller!(&mut meter, options, |client| .await);
                    Ok::<_, CallError>(meter)
                })
            })
            .collect();
        let mut meters = Vec::new();
        for caller in callers {
            meters.push(caller.await??);
        }
        Ok::<_, Failure>(meters)
    };
    let echoed = Arc::new(AtomicU64::new(0));
    let beside = options.beside.map(|size| {
        let (client, echoed) = (client.clone(), Arc::clone(&echoed));
        tokio::spawn(async move {
            let mut data = payload(size);
            loop {
                data = client.echo(data).await?;
                echoed.fetch_add(1, Ordering::Relaxed);
            }
            #[expect(unreachable_code, reason = "it says what the task fails with")]
            Ok::<(), CallError>(())
        })
    });
    let streamed = Arc::new(AtomicU64::new(0));
    for _ in 0..options.streams {
        let (mut items, streamed) = (client.give(STREAMED, u64::MAX).await?, Arc::clone(&streamed));
        // They end with the runtime.
        tokio::spawn(async move {
            while let Some(Ok(item)) = items.next().await {
                streamed.fetch_add(item.len() as u64, Ordering::Relaxed);
            }
        });
    }
    pass(options.warmup).await?;
    let (before, begun) = (Usage::now(server), Instant::now());
    echoed.store(0, Ordering::Relaxed);
    streamed.store(0, Ordering::Relaxed);
    let meters = pass(options.seconds).await?;
    let echoed = echoed.load(Ordering::Relaxed);
    let streamed = streamed.load(Ordering::Relaxed);
    if let Some(beside) = beside {
        beside.abort();
        if let Ok(Err(error)) = beside.await {
            return Err(error.into());
        }
    }
    let usage = before.until_now(server);
    let report = Report::new(&options, &meters, begun.elapsed(), usage);
    Ok(report.with_beside(options.beside, echoed).with_streams(options.streams, streamed))
}

fn blocking(options: &Options, server: &Running, endpoint: &Endpoint) -> Result<Report, Failure> {
    let wait = ConnectOptions::new().wait_for_server(PATIENCE);
    let client = BenchBlockingClient::connect_with(endpoint, &wait)?;
    let server = server.process_id().or_else(|| other_process(client.client().peer()));
    let pass = |seconds: f64| {
        let duration = Duration::from_secs_f64(seconds);
        let call = |caller: u32| {
            let client = client.clone();
            let mut meter = Meter::new(caller.into(), duration);
            caller!(&mut meter, options, |client|);
            Ok::<_, CallError>(meter)
        };
        if options.concurrency == 1 {
            return Ok(vec![call(0)?]);
        }
        thread::scope(|scope| {
            let call = &call;
            let callers: Vec<_> =
                (0..options.concurrency).map(|caller| scope.spawn(move || call(caller))).collect();
            let meters = callers.into_iter().map(|caller| caller.join().expect("no caller panics"));
            meters.collect::<Result<Vec<_>, CallError>>()
        })
    };
    let echoed = Arc::new(AtomicU64::new(0));
    if let Some(size) = options.beside {
        let (client, echoed) = (client.clone(), Arc::clone(&echoed));
        thread::spawn(move || {
            let mut data = payload(size);
            // Ends with the process at the latest.
            while let Ok(echo) = client.echo(data) {
                data = echo;
                echoed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    pass(options.warmup)?;
    let (before, begun) = (Usage::now(server), Instant::now());
    echoed.store(0, Ordering::Relaxed);
    let meters = pass(options.seconds)?;
    let echoed = echoed.load(Ordering::Relaxed);
    let usage = before.until_now(server);
    Ok(Report::new(options, &meters, begun.elapsed(), usage).with_beside(options.beside, echoed))
}
