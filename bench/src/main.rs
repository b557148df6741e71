//! `ipcall-bench`: what a call costs over each transport.
//!
//! The server is a process of its own (this program again, except for `mem:`), the client is this one.
//! One connection; `--concurrency` callers share it, each with one call in flight.

mod client;
mod machine;
mod report;
mod server;
mod service;
mod stream;
mod work;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Measures calls over one transport: latency, rate, CPU.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub(crate) struct Options {
    /// The transport, by its scheme.
    #[arg(long, default_value = "unix", value_parser = known_scheme)]
    transport: String,
    /// How the client waits: a single-threaded tokio, a multi-threaded one, or plain threads.
    #[arg(long, value_enum, default_value_t = ClientKind::Async)]
    client: ClientKind,
    /// How the server waits: a single-threaded tokio, a multi-threaded one, a thread a connection, or one thread
    /// that never sleeps, on the CPU that `--pin` gives the server, or else on its last.
    #[arg(long, value_enum, default_value_t = ServerKind::Tokio)]
    server: ServerKind,
    /// The method called: add(u64, u64), echo(bytes), record(a struct of eight fields); or a stream of byte strings,
    /// from the server, or with `--up` to it.
    #[arg(long, value_enum, default_value_t = Op::Add)]
    op: Op,
    /// Bytes that `echo` carries, or an item of `stream` has.
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Items of `stream`, instead of so many as pass in the seconds measured.
    #[arg(long)]
    items: Option<u64>,
    /// The client sends the items of `stream`.
    #[arg(long)]
    up: bool,
    /// Calls in flight, over one connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// Seconds measured.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    seconds: f64,
    /// Seconds of calls before those that are measured.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Which CPUs: the scheduler's choice, both processes on the first, or the server on the second.
    #[arg(long, value_enum, default_value_t = Pin::None)]
    pin: Pin,
    /// Meanwhile, one more caller on the same connection echoes this many bytes over and over.
    #[arg(long)]
    beside: Option<usize>,
    /// Meanwhile, so many streams of items of 64 KiB come over the same connection. Only for async clients.
    #[arg(long, default_value_t = 0)]
    streams: u32,
    /// How long to try before sleeping, as in the configuration: 20us, 0, forever.
    #[arg(long)]
    spin: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Serve at this URI instead of measuring.
    #[arg(long, hide = true)]
    serve: Option<String>,
    /// The server's CPU. Chosen by the client, to whose CPU the server may be confined when it starts.
    #[arg(long, hide = true)]
    cpu: Option<usize>,
}

/// How the client waits.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum ClientKind {
    Async,
    AsyncMt,
    Blocking,
}

/// How the server waits.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServerKind {
    Tokio,
    TokioMt,
    Thread,
    Busy,
}

/// Which method is called.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Add,
    Echo,
    Record,
    Stream,
}

/// Which CPUs the two processes use.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pin {
    None,
    Same,
    Split,
}

/// The word that the command line has for a value.
pub(crate) fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 => Ok(seconds),
        _ => Err("more than 0 is wanted".to_owned()),
    }
}

fn known_scheme(name: &str) -> Result<String, String> {
    let mut known = ipcall::schemes().iter().filter(|scheme| scheme.is_available());
    if known.any(|scheme| scheme.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = ipcall::schemes().iter().map(|scheme| scheme.name).collect();
    Err(format!("known are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.serve {
        Some(uri) => server::run(&options, uri),
        None => client::run(&options).map(|report| report.print(options.json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ipcall-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
