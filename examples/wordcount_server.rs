//! Counts words for other processes: the server of the word-count pair.
//!
//! `cargo run --example wordcount_server`, and then in another terminal
//! `cargo run --example wordcount_client -- README.md`.

mod pair;
mod wordcount;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ipcall::Server;

use pair::location::WORDCOUNT;
use pair::serving::serve;
use wordcount::WordCountServer;
use wordcount::counting::Counter;

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
    #[arg(long, value_name = "F", default_value = WORDCOUNT.default)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let endpoint = match WORDCOUNT.endpoint(Some(&arguments.config), None) {
        Ok(endpoint) => endpoint,
        Err(error) => return fail(2, &error),
    };
    let server = Server::new().add_service(WordCountServer::new(Counter));
    match serve("wordcount_server", server, &endpoint).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(status: u8, error: &str) -> ExitCode {
    eprintln!("wordcount_server: {error}");
    ExitCode::from(status)
}
