//! Every transport at work: `cargo run --release --example tour`.
//!
//! For each transport it starts the word-count server as a process of its own, calls it for about a
//! second with pieces of text, checks every answer, and prints a line. Which transports there are it
//! learns from [`ipcall::schemes`] alone.

mod corpus;
mod interrupt;
mod measure;
mod report;
mod server;
#[path = "../wordcount/mod.rs"]
mod wordcount;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use ipcall::{Endpoint, Scheme, schemes};

use corpus::Piece;
use interrupt::Interrupt;
use measure::Measured;
use report::Report;
use server::{Scratch, Server};

const EXIT_STATUS: &str =
    "Exit status: 0 when every transport is ok, 1 when one is not, 2 for a wrong argument.";

/// Tries every transport: calls a word-count server over it and checks the answers
///
/// Prints for each transport the calls made in about a second, the time within which half of them and
/// 99 % of them were answered, the text sent per second, and whether every answer was right.
#[derive(Parser)]
#[command(after_help = EXIT_STATUS)]
struct Arguments {
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    /// Only these transports, separated by commas
    #[arg(long, value_name = "TRANSPORTS", value_delimiter = ',', value_parser = names())]
    transport: Vec<String>,
    /// What to send; by default the README and the sources of the package
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Makes this process the server, until its client or its standard input ends
    #[arg(long, value_name = "URI", hide = true)]
    serve: Option<Endpoint>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(schemes().iter().map(|scheme| scheme.name))
}

/// Client and server have one thread each: a call then costs no hop between threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.serve {
        Some(endpoint) => server::serve(endpoint).await.map(|()| ExitCode::SUCCESS),
        None => tour(&arguments).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tour: {error}");
        ExitCode::FAILURE
    })
}

async fn tour(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut interrupt =
        Interrupt::new().map_err(|error| format!("watching for Ctrl-C: {error}"))?;
    let pieces = corpus::read(&arguments.files)?;
    let mut report = Report::new(arguments.json);
    let wanted = |scheme: &&Scheme| {
        let named = arguments.transport.iter().any(|name| name == scheme.name);
        scheme.is_available() && (named || arguments.transport.is_empty())
    };
    for scheme in schemes().iter().filter(wanted) {
        let mut measured = Measured::default();
        match visit(scheme, &pieces, &mut measured, &report, &mut interrupt).await {
            Err(Failure::Interrupted(signal)) => return Ok(ExitCode::from(128 + signal)),
            Err(Failure::Found(why)) => report.row(scheme.name, &measured, Some(&why)),
            Ok(()) => report.row(scheme.name, &measured, None),
        }
        .map_err(|error| format!("writing the output: {error}"))?;
    }
    Ok(report.exit_code())
}

/// Why there is no `ok` for a transport.
enum Failure {
    Found(String),
    /// By this signal.
    Interrupted(u8),
}

/// Calls a server over one transport. Whatever happens, the server has ended and nothing is left of it
/// when this returns.
async fn visit(
    scheme: &Scheme,
    pieces: &[Piece],
    measured: &mut Measured,
    report: &Report,
    interrupt: &mut Interrupt,
) -> Result<(), Failure> {
    let scratch = Scratch::new();
    let (mut server, endpoint) = Server::start(scheme, scratch.path()).map_err(Failure::Found)?;
    report.progress(scheme.name, measured);
    let progress = |measured: &Measured| report.progress(scheme.name, measured);
    let outcome = tokio::select! {
        outcome = measured.call(&endpoint, pieces, progress) => outcome.map_err(Failure::Found),
        how = server.ended() => Err(Failure::Found(how)),
        signal = interrupt.next() => Err(Failure::Interrupted(signal)),
    };
    match (outcome, server.stop().await) {
        (outcome, Ok(())) => outcome,
        (Ok(()), Err(why)) => Err(Failure::Found(why)),
        (Err(Failure::Found(first)), Err(then)) => Err(Failure::Found(format!("{first}; {then}"))),
        (interrupted, Err(_)) => interrupted,
    }
}
