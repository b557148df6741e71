//! The table of transports: registering one means a row here, and its arms in `Kind`.

use std::fmt;
use std::io;
use std::path::Path;

use ipcall_core::{RpcError, Settings};

use super::{Endpoint, Kind, Parts};
use crate::{mem, posix_mq, suggest, tcp, unix};

/// Every transport that this build knows, the most private first.
pub fn schemes() -> &'static [Scheme] {
    &SCHEMES
}

static SCHEMES: [Scheme; 4] = [
    Scheme {
        name: "mem",
        summary: "in-process rings: both sides in one process",
        example: "mem:wordcount",
        in_process: true,
        keys: &[],
        parse: |parts, _| mem::parse(parts).map(Kind::Mem).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(mem::fresh(directory, name)),
        available: everywhere,
    },
    Scheme {
        name: "posix-mq",
        summary: "a pair of POSIX message queues for each client: up to 24 clients by default",
        example: "posix-mq:/run/user/1000/wordcount/queue",
        in_process: false,
        keys: &[],
        parse: |parts, _| {
            posix_mq::parse(parts).map(Kind::PosixMq).map_err(RpcError::invalid_endpoint)
        },
        write_fresh: |directory, name| Ok(posix_mq::fresh(directory, name)),
        available: posix_mq::is_available,
    },
    Scheme {
        name: "unix",
        summary: "a stream socket in a private directory: the default between processes",
        example: "unix:/run/user/1000/wordcount/socket",
        in_process: false,
        keys: &[],
        parse: |parts, _| unix::parse(parts).map(Kind::Unix).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(unix::fresh(directory, name)),
        available: everywhere,
    },
    Scheme {
        name: "tcp",
        summary: "a TCP connection: loopback, or beyond with a token",
        example: "tcp:127.0.0.1:7070",
        in_process: false,
        keys: &["token-file"],
        parse: |parts, settings| tcp::parse(parts, settings).map(Kind::Tcp),
        write_fresh: |_, _| tcp::fresh(),
        available: everywhere,
    },
];

/// One transport: its name in URIs, and what there is to say about it.
pub struct Scheme {
    /// What stands before the colon.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// An endpoint as one would write it.
    pub example: &'static str,
    /// Whether both sides have to be in the same process.
    pub in_process: bool,
    /// What may stand before `=` in the query.
    pub(super) keys: &'static [&'static str],
    pub(super) parse: fn(&Parts<'_>, &mut Settings) -> Result<Kind, RpcError>,
    write_fresh: fn(&Path, &str) -> io::Result<String>,
    available: fn() -> bool,
}

impl Scheme {
    /// An endpoint that nobody uses, for trying the transport out: in `directory`, or known by it,
    /// where the transport has names. `directory` is absolute, and private or absent; `name` makes a
    /// difference between several.
    ///
    /// # Errors
    /// When `directory` cannot be used: relative, or too long for the transport.
    pub fn fresh(&self, directory: &Path, name: &str) -> Result<Endpoint, RpcError> {
        let uri = (self.write_fresh)(directory, name).map_err(|error| {
            RpcError::io(format!("choosing a fresh {} endpoint", self.name), error)
        })?;
        Endpoint::parse(&uri)
    }

    /// Whether this platform offers it.
    pub fn is_available(&self) -> bool {
        (self.available)()
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheme").field(&self.name).finish()
    }
}

/// For what is there wherever this compiles.
fn everywhere() -> bool {
    true
}

/// The scheme called `name`.
pub(super) fn find(name: &str) -> Result<&'static Scheme, String> {
    let names = || SCHEMES.iter().map(|scheme| scheme.name);
    SCHEMES.iter().find(|scheme| scheme.name == name).ok_or_else(|| {
        let known: Vec<_> = names().collect();
        let hint = suggest::hint(name, names());
        format!("unknown scheme `{name}`{hint} (known: {})", known.join(", "))
    })
}
