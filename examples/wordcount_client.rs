//! Counts files like `wc`, in another process: the client of the word-count pair.
//!
//! A plain program without a runtime: it calls the server through the blocking client. Files are read
//! and sent in parts, so their size does not matter.

mod pair;
mod wordcount;

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ipcall::{CallError, Endpoint};
use serde::Serialize;

use pair::location::WORDCOUNT;
use wordcount::parts::{Part, Parts};
use wordcount::sum::Sum;
use wordcount::{Frequency, Totals, WordCountBlockingClient};

/// The size of a part, in bytes, where messages may be that large.
const PART: usize = 256 << 10;

const AFTER_HELP: &str = "\
Exit status: 0 when all files were counted, 1 when one was not, 2 for a wrong argument or
configuration.
The environment wins over the configuration: IPCALL_WORDCOUNT_ENDPOINT=tcp:127.0.0.1:7007";

/// Counts lines, words, bytes and the ten commonest words of files
///
/// A running wordcount_server does the counting.
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, of which [service.wordcount] says where the server is
    #[arg(long, value_name = "F", default_value = WORDCOUNT.default)]
    config: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// The files; - is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let endpoint = match WORDCOUNT.endpoint(Some(&arguments.config), None) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            complain(error);
            return ExitCode::from(2);
        }
    };
    let counted = match count_files(&endpoint, &arguments.files) {
        Ok(counted) => counted,
        Err(error) => {
            complain(&error);
            let config = Some(&*arguments.config);
            let hint = error.rpc().and_then(|error| WORDCOUNT.hint(error, &endpoint, config, None));
            if let Some(hint) = hint {
                eprintln!("{hint}");
            }
            return ExitCode::FAILURE;
        }
    };
    let printed =
        if arguments.json { counted.print_json() } else { counted.print(arguments.files.len()) };
    match printed {
        // Whoever reads the output, such as `head`, may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("writing the output: {error}"));
            ExitCode::FAILURE
        }
        _ if counted.files.len() < arguments.files.len() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn complain(error: impl Display) {
    eprintln!("wordcount_client: {error}");
}

/// Why a file was not counted.
enum Failure {
    /// It cannot be read. The others may.
    Read(io::Error),
    /// The server did not answer, and would not for the others either.
    Call(CallError),
}

/// Counts what can be read, and reports the rest.
fn count_files(endpoint: &Endpoint, files: &[PathBuf]) -> Result<Counted, CallError> {
    let client = WordCountBlockingClient::connect(endpoint)?;
    // What comes back lists every word with a number, and so can be longer than what is sent.
    let part = PART.min(endpoint.settings().limits.message / 2);
    let mut counted = Counted::default();
    for path in files {
        match count_file(&client, path, part) {
            Ok(sum) => {
                counted.files.push((path.clone(), sum.totals));
                counted.sum += sum;
            }
            Err(Failure::Read(error)) => complain(format_args!("{}: {error}", path.display())),
            Err(Failure::Call(error)) => return Err(error),
        }
    }
    Ok(counted)
}

fn count_file(client: &WordCountBlockingClient, path: &Path, part: usize) -> Result<Sum, Failure> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(Failure::Read)?)
    };
    let mut parts = Parts::new(input, part);
    let mut sum = Sum::default();
    while let Some(Part { text, inside_word }) = parts.next().map_err(Failure::Read)? {
        sum += client.tally(text, inside_word).map_err(Failure::Call)?;
    }
    Ok(sum)
}

/// What was counted, in the order in which it was asked for.
#[derive(Default)]
struct Counted {
    files: Vec<(PathBuf, Totals)>,
    sum: Sum,
}

impl Counted {
    /// Prints columns like `wc`, with a line of totals if there was more than one to count.
    fn print(&self, asked_for: usize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Totals { lines, words, bytes } = self.sum.totals;
        let width = [lines, words, bytes].map(|number| number.to_string().len()).into_iter().max();
        let width = width.unwrap_or_default();
        let row = |Totals { lines, words, bytes }: Totals, name: &dyn Display| {
            format!("{lines:>width$} {words:>width$} {bytes:>width$} {name}")
        };
        for (path, totals) in &self.files {
            writeln!(out, "{}", row(*totals, &path.display()))?;
        }
        if asked_for > 1 {
            writeln!(out, "{}", row(self.sum.totals, &"total"))?;
        }
        let commonest = self.sum.commonest();
        if let Some(first) = commonest.first() {
            let width = first.count.to_string().len();
            writeln!(out, "\nthe commonest words:")?;
            for Frequency { word, count } in &commonest {
                writeln!(out, "{count:>width$} {}", String::from_utf8_lossy(word))?;
            }
        }
        out.flush()
    }

    /// Prints `lines`, `words` and `bytes` of all, the commonest words, and the numbers of each file.
    fn print_json(&self) -> io::Result<()> {
        let files = self
            .files
            .iter()
            .map(|(path, totals)| FileEntry { file: path.to_string_lossy(), totals: *totals });
        let commonest = self.sum.commonest();
        let commonest = commonest.iter().map(|Frequency { word, count }| WordEntry {
            word: String::from_utf8_lossy(word),
            count: *count,
        });
        let object = Object {
            totals: self.sum.totals,
            commonest: commonest.collect(),
            files: files.collect(),
        };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &object)?;
        writeln!(out)?;
        out.flush()
    }
}

/// The JSON object. What is not UTF-8 is replaced in it, as JSON has no bytes.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    totals: Totals,
    commonest: Vec<WordEntry<'a>>,
    files: Vec<FileEntry<'a>>,
}

#[derive(Serialize)]
struct WordEntry<'a> {
    word: Cow<'a, str>,
    count: u64,
}

#[derive(Serialize)]
struct FileEntry<'a> {
    file: Cow<'a, str>,
    #[serde(flatten)]
    totals: Totals,
}
