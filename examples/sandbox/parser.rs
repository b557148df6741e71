//! The parser's process: what it offers, and the limits that it sets itself before it reads anything.

use std::hint;

use ipcall::{Endpoint, Server, ipc_service};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A parser of JSON.
#[ipc_service]
pub(crate) trait JsonParser {
    /// Parses a text, and says what is in it.
    fn parse(&self, text: &[u8]) -> Result<Summary, Refusal>;
}

/// What a document has in it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Scalars, arrays and objects.
    pub(crate) values: u64,
    /// How deep they are in each other: 1 for a single one.
    pub(crate) depth: u32,
}

/// Why a text is no document.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
}

/// Serves the client that has started this process, with so much memory, in bytes.
///
/// # Errors
/// What kept it from that.
pub(crate) fn serve(memory: u64) -> Result<(), String> {
    // First of all. RLIMIT_DATA counts what is written to, and not the address space that the
    // allocator and threads only reserve.
    setrlimit(Resource::RLIMIT_DATA, memory, memory)
        // What is in memory is not for the disk.
        .and_then(|()| setrlimit(Resource::RLIMIT_CORE, 0, 0))
        .map_err(|error| format!("limiting its own memory: {error}"))?;
    // One that hangs does not see that its client is gone. The client's only thread has started this
    // process; otherwise the end of a thread would be taken for that of the process.
    set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| format!("asking to end with the client: {error}"))?;
    let server = Server::new().add_service(JsonParserServer::new(Naive));
    server.serve_blocking(&Endpoint::inherited()).map_err(|error| error.to_string())
}

/// Makes a tree of the text, as most programs do, however much memory that takes.
struct Naive;

impl JsonParser for Naive {
    fn parse(&self, text: &[u8]) -> Result<Summary, Refusal> {
        let document: Value =
            serde_json::from_slice(text).map_err(|error| Refusal { reason: error.to_string() })?;
        fall_for(&document);
        Ok(summary(&document))
    }
}

fn summary(value: &Value) -> Summary {
    let children: Vec<Summary> = match value {
        Value::Array(items) => items.iter().map(summary).collect(),
        Value::Object(members) => members.values().map(summary).collect(),
        _ => Vec::new(),
    };
    Summary {
        values: 1 + children.iter().map(|child| child.values).sum::<u64>(),
        depth: 1 + children.iter().map(|child| child.depth).max().unwrap_or(0),
    }
}

/// Stands for the bugs that a parser has and that nobody knows of yet, except for those who write such
/// documents.
fn fall_for(document: &Value) {
    match document.get("planted bug").and_then(Value::as_str) {
        Some("crash") => loop {
            // More than once, because Rust's runtime looks at the first.
            let _ = raise(Signal::SIGSEGV);
        },
        Some("hang") => loop {
            hint::spin_loop();
        },
        _ => {}
    }
}
