//! Searches files like `grep -rn`, in another process: the client of the search pair.
//!
//! The server searches; Ctrl-C here, or a deadline, stops it in the middle of that.

mod pair;
mod search;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ipcall::{CallError, Endpoint, ErrorKind};
use serde::Serialize;

use pair::location::SEARCH;
use pair::say;
use search::{Found, MOST_MATCHES, Match, Query, SearchClient, SearchError, Totals};

const AFTER_HELP: &str = "\
Exit status: 0 when something was found, 1 when nothing was, 2 for an error, also if only some files
could not be searched, 124 when the deadline has passed, 130 after Ctrl-C.
The environment wins over the configuration: IPCALL_SEARCH_ENDPOINT=tcp:127.0.0.1:7008";

/// Prints the lines of a file, or of all files below a directory, that match a pattern
///
/// A running search_server does the searching, and stops it at Ctrl-C. Binary files are skipped, as are those that
/// .gitignore excludes, and symbolic links are not followed.
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, of which [service.search] says where the server is [default:
    /// examples/search.toml]
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// Where the server is, whatever the configuration and the environment say
    #[arg(long, value_name = "URI")]
    endpoint: Option<String>,
    /// How long the search may take: 100ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = time)]
    deadline: Option<Duration>,
    /// How many lines are printed, at most
    #[arg(long, short, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_MATCHES)))]
    max_count: u32,
    /// Takes the pattern as text
    #[arg(long, short = 'F')]
    fixed_strings: bool,
    /// Does not tell capitals from small letters
    #[arg(long, short)]
    ignore_case: bool,
    /// Searches files whose names begin with a dot, too
    #[arg(long)]
    hidden: bool,
    /// Searches what .gitignore and .ignore exclude, too
    #[arg(long)]
    no_ignore: bool,
    /// Says on the standard error how much was searched
    #[arg(long)]
    stats: bool,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// A regular expression
    pattern: String,
    /// A file or a directory, which the server has to see at the same place
    path: PathBuf,
}

/// A number and a unit, as in the configuration.
fn time(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a unit is wanted: us, ms, s or m, as in 100ms".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("it has to be more than nothing, and less than for ever".to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(found) => match print(&found, &arguments) {
            // Whoever reads the output, such as `head`, may have seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(format_args!("writing the output: {error}"));
                Status::Failed
            }
            _ if found.totals.failed > 0 => Status::Failed,
            _ if found.matches.is_empty() && !found.has_more => Status::Nothing,
            _ => Status::Found,
        },
        Err(status) => status,
    }
    .into()
}

/// What a shell is told. What `grep`, `timeout` and shells themselves say in the same case.
#[derive(Clone, Copy)]
enum Status {
    Found = 0,
    Nothing = 1,
    Failed = 2,
    TimedOut = 124,
    Interrupted = 130,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

fn complain(error: impl Display) {
    say("search_client", error);
}

/// Has the files searched. What goes wrong is said.
async fn run(arguments: &Arguments) -> Result<Found, Status> {
    let (config, uri) = (arguments.config.as_deref(), arguments.endpoint.as_deref());
    let prepared =
        SEARCH.endpoint(config, uri).and_then(|endpoint| Ok((endpoint, query(arguments)?)));
    let (endpoint, query) = prepared.map_err(|error| {
        complain(error);
        Status::Failed
    })?;
    let answer = search(&endpoint, &query, arguments.deadline).await;
    answer.map_err(|error| match error {
        CallError::Method(error) => {
            complain(error);
            Status::Failed
        }
        // A server that ends cancels calls, too.
        CallError::Rpc(error)
            if matches!(error.kind(), ErrorKind::Cancelled) && ipcall::interrupted() =>
        {
            complain("interrupted");
            Status::Interrupted
        }
        CallError::Rpc(error) => {
            complain(&error);
            if let Some(hint) = SEARCH.hint(&error, &endpoint, config, uri) {
                eprintln!("{hint}");
            }
            match error.kind() {
                ErrorKind::DeadlineExceeded { .. } => Status::TimedOut,
                _ => Status::Failed,
            }
        }
    })
}

fn query(arguments: &Arguments) -> Result<Query, String> {
    // The server's working directory may be another.
    let path = absolute(&arguments.path)
        .map_err(|error| format!("{}: {error}", arguments.path.display()))?;
    Ok(Query {
        pattern: arguments.pattern.clone(),
        path: path.into_os_string().into_encoded_bytes(),
        max_count: arguments.max_count,
        is_fixed: arguments.fixed_strings,
        ignores_case: arguments.ignore_case,
        with_hidden: arguments.hidden,
        with_ignored: arguments.no_ignore,
    })
}

async fn search(
    endpoint: &Endpoint,
    query: &Query,
    deadline: Option<Duration>,
) -> Result<Found, CallError<SearchError>> {
    let mut client = SearchClient::connect(endpoint).await?;
    if let Some(deadline) = deadline {
        client = client.with_deadline(deadline);
    }
    // As long as there is no call, Ctrl-C ends this process, and it does so still if this should fail.
    let _ = ipcall::cancel_on_ctrl_c();
    client.search(query).await
}

/// Prints what was found, and says what was not looked at.
fn print(found: &Found, arguments: &Arguments) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if arguments.json {
        print_json(found, &arguments.path, &mut out)?;
    } else {
        print_lines(found, &arguments.path, &mut out)?;
    }
    out.flush()?;
    let Totals { files, bytes, binary, failed } = found.totals;
    found.failures.iter().for_each(complain);
    let others = failed.saturating_sub(found.failures.len() as u64);
    if others > 0 {
        complain(format_args!("{others} others could not be searched either"));
    }
    if found.has_more {
        let listed = found.matches.len();
        complain(format_args!("there are more than these {listed} lines, see --max-count"));
    }
    if arguments.stats {
        complain(format_args!("{files} files, {bytes} bytes, {binary} of the files binary"));
    }
    Ok(())
}

fn print_lines(found: &Found, root: &Path, out: &mut impl Write) -> io::Result<()> {
    for Match { path, number, line, is_cut } in &found.matches {
        out.write_all(below(root, path).as_os_str().as_bytes())?;
        write!(out, ":{number}:")?;
        out.write_all(line)?;
        out.write_all(if *is_cut { b" [...]\n" } else { b"\n" })?;
    }
    Ok(())
}

/// Where `path` is if the search began at `root`.
fn below<'a>(root: &'a Path, path: &[u8]) -> Cow<'a, Path> {
    if path.is_empty() { root.into() } else { root.join(OsStr::from_bytes(path)).into() }
}

/// The JSON object. What is not UTF-8 is replaced in it, as JSON has no bytes.
#[derive(Serialize)]
struct Object<'a> {
    matches: Vec<Line<'a>>,
    has_more: bool,
    #[serde(flatten)]
    totals: Totals,
    failures: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    file: String,
    number: u64,
    line: Cow<'a, str>,
    is_cut: bool,
}

fn print_json(found: &Found, root: &Path, out: &mut impl Write) -> io::Result<()> {
    let matches = found.matches.iter().map(|Match { path, number, line, is_cut }| Line {
        file: below(root, path).to_string_lossy().into_owned(),
        number: *number,
        line: String::from_utf8_lossy(line),
        is_cut: *is_cut,
    });
    let object = Object {
        matches: matches.collect(),
        has_more: found.has_more,
        totals: found.totals,
        failures: &found.failures,
    };
    serde_json::to_writer(&mut *out, &object)?;
    writeln!(out)
}
