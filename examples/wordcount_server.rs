//! Counts words for other processes: the server of the word-count pair.
//!
//! `cargo run --example wordcount_server`, and then in another terminal
//! `cargo run --example wordcount_client -- README.md`.

mod wordcount;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ipcall::transport::Binder;
use ipcall::{Endpoint, Server};

use wordcount::WordCountServer;
use wordcount::counting::Counter;
use wordcount::location;

const AFTER_HELP: &str = "\
Exit status: 0 when it was told to stop, 1 when it cannot serve, 2 for a wrong argument or
configuration.
The environment wins over the configuration: IPCALL_WORDCOUNT_ENDPOINT=tcp:127.0.0.1:7007";

/// Counts lines, words and bytes for wordcount_client
///
/// Runs until SIGTERM or SIGINT; the calls that it has accepted are then answered first.
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, of which [service.wordcount] says where to listen
    #[arg(long, value_name = "F", default_value = location::DEFAULT)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let endpoint = match location::endpoint(&arguments.config) {
        Ok(endpoint) => endpoint,
        Err(error) => return fail(2, &error),
    };
    match serve(&endpoint).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

async fn serve(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
    let bound = Server::new()
        .add_service(WordCountServer::new(Counter))
        .drain_on_signals()
        .on_disconnect(|peer, error| match peer.pid {
            Some(pid) => eprintln!("wordcount_server: client {pid}: {error}"),
            None => eprintln!("wordcount_server: a client: {error}"),
        })
        .bind([endpoint as &dyn Binder])?;
    if !endpoint.scheme().starts_server {
        // Clients can connect from here on, which is what the line is for.
        writeln!(io::stdout(), "listening at {endpoint}")
            .map_err(|error| format!("writing to the standard output: {error}"))?;
    }
    bound.serve().await?;
    Ok(())
}

fn fail(status: u8, error: &str) -> ExitCode {
    eprintln!("wordcount_server: {error}");
    ExitCode::from(status)
}
