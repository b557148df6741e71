//! Searches files for other processes: the server of the search pair.
//!
//! `cargo run --example search_server`, and then in another terminal
//! `cargo run --example search_client -- 'fn \w+' src`.

mod pair;
mod search;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ipcall::Server;

use pair::location::SEARCH;
use pair::say;
use pair::serving::serve;
use search::SearchServer;
use search::walk::Searcher;

/// How long searches may go on when the server has been told to stop.
const GRACE: Duration = Duration::from_secs(1);

const AFTER_HELP: &str = "\
Searches all that this user can read, for whoever may connect: with unix: and the others only this user
may, but with tcp: everybody on this machine, unless it has a token.

Exit status: 0 when it was told to stop, 1 when it cannot serve, 2 for a wrong argument or
configuration.
The environment wins over the configuration: IPCALL_SEARCH_ENDPOINT=tcp:127.0.0.1:7008";

/// Searches files for search_client
///
/// Says when a search was stopped because nobody waits for it any more, and how far it had come. Runs until
/// SIGTERM or SIGINT; the searches that it has begun then have one more second.
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, of which [service.search] says where to listen [default:
    /// examples/search.toml]
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// Where to listen, whatever the configuration and the environment say
    #[arg(long, value_name = "URI")]
    endpoint: Option<String>,
    /// Says when a search begins and ends, too
    #[arg(long, short)]
    verbose: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let located = SEARCH.endpoint(arguments.config.as_deref(), arguments.endpoint.as_deref());
    let endpoint = match located {
        Ok(endpoint) => endpoint,
        Err(error) => return fail(2, &error),
    };
    let searcher = Searcher {
        // Room for all else that is in an answer.
        room: endpoint.settings().limits.message / 2,
        is_verbose: arguments.verbose,
    };
    let server = Server::new().add_service(SearchServer::new(searcher)).grace(GRACE);
    match serve("search_server", server, &endpoint).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(status: u8, error: &str) -> ExitCode {
    say("search_server", error);
    ExitCode::from(status)
}
