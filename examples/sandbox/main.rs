//! A parser for untrusted JSON in a process of its own: `cargo run --example sandbox`.
//!
//! The parser is a child of this program, over `pipe:`. It may have only so much memory and take only so much
//! time, and may crash: this program says what has become of a file, starts the parser again, and goes on
//! with the next one.

mod demonstration;
mod host;
mod parser;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use demonstration::Demonstration;
use host::{Limits, Outcome, Sandbox};

const EXIT_STATUS: &str = "\
What may be said of a file: ok, with what is in it; refused, by the parser; out of memory; deadline exceeded;
crashed, with the signal.

Exit status: 0 when every file was dealt with, and in the demonstration as expected; 1 when one was not, or
cannot be read; 2 for a wrong argument.";

/// Parses untrusted JSON files in a process that may crash, hang, or take all the memory that it can get
///
/// Without files, makes some that do all that, in a temporary directory, and checks what becomes of them.
#[derive(Parser)]
#[command(after_help = EXIT_STATUS)]
struct Arguments {
    /// The memory that the parser may have, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    memory: u64,
    /// How long it may take over a file, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    deadline: Duration,
    /// The files
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Makes this process the parser, until its client has gone
    #[arg(long, hide = true)]
    parse: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = "a number of seconds is wanted, more than 0 and at most 3600".to_owned();
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(wrong),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limits = Limits { memory: arguments.memory << 20, deadline: arguments.deadline };
    let done = if arguments.parse {
        parser::serve(limits.memory).map(|()| true)
    } else if arguments.files.is_empty() {
        demonstrate(&limits)
    } else {
        parse(&limits, &arguments.files)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Parses files, and says whether each was dealt with.
fn parse(limits: &Limits, files: &[PathBuf]) -> Result<bool, String> {
    let mut sandbox = Sandbox::new(limits)?;
    let mut all = true;
    for file in files {
        match fs::read(file) {
            Ok(text) => {
                let outcome = sandbox.parse(&text);
                all &= !matches!(outcome, Outcome::Failed(_));
                report(&file.display().to_string(), &outcome)?;
            }
            Err(error) => {
                all = false;
                eprintln!("sandbox: {}: {error}", file.display());
            }
        }
    }
    sandbox.close()?;
    Ok(all)
}

/// Parses files made for that, and says whether what became of them is what should.
fn demonstrate(limits: &Limits) -> Result<bool, String> {
    if limits.memory > Demonstration::MOST_MEMORY {
        let most = Demonstration::MOST_MEMORY >> 20;
        return Err(format!("the demonstration has no file for more memory than {most} MiB"));
    }
    let demonstration =
        Demonstration::new(limits).map_err(|error| format!("its files: {error}"))?;
    let mut sandbox = Sandbox::new(limits)?;
    let mut all = true;
    for (file, expected) in demonstration.files() {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let outcome = sandbox.parse(&text);
        report(&name(file), &outcome)?;
        if !expected(&outcome) {
            all = false;
            eprintln!("sandbox: {}: that is not what should become of it", name(file));
        }
    }
    let starts = sandbox.starts();
    sandbox.close()?;
    say(&format!("the parser was started {starts} times, and nothing is left of it"))?;
    Ok(all)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn report(name: &str, outcome: &Outcome) -> Result<(), String> {
    say(&format!("{name:<17} {outcome}"))
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("writing the output: {error}"))
}
