//! The table of transports: registering one means a row here, and its arms in `Kind`.

use std::fmt;
use std::io;
use std::path::Path;

use ipcall_core::{RpcError, Settings};

use super::{Endpoint, Kind, Parts};
use crate::launch::Launch;
use crate::{
    fifo, file, key_file, mem, pipe, posix_mq, shm, suggest, sysv_mq, sysv_shm, tcp, unix,
};

/// Every transport that this build knows, the most private first.
pub fn schemes() -> &'static [Scheme] {
    &SCHEMES
}

static SCHEMES: [Scheme; 10] = [
    Scheme {
        name: "mem",
        summary: "in-process rings: both sides in one process",
        example: "mem:wordcount",
        in_process: true,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| mem::parse(parts).map(Kind::Mem).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(mem::fresh(directory, name)),
        is_there: || true,
    },
    Scheme {
        name: "pipe",
        summary: "two pipes to a server that the client starts as its child",
        example: "pipe:/usr/lib/wordcount/server?arg=--quiet",
        in_process: false,
        starts_server: true,
        keys: pipe::KEYS,
        repeatable: pipe::REPEATABLE,
        parse: |parts, _| pipe::parse(parts).map(Kind::Pipe).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(pipe::fresh(directory, name)),
        is_there: || true,
    },
    Scheme {
        name: "fifo",
        summary: "a pair of FIFOs for each client, agreed through a rendezvous FIFO",
        example: "fifo:/run/user/1000/wordcount/fifo",
        in_process: false,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| fifo::parse(parts).map(Kind::Fifo).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(fifo::fresh(directory, name)),
        is_there: || true,
    },
    Scheme {
        name: "posix-mq",
        summary: "a pair of POSIX message queues for each client: up to 24 clients by default",
        example: "posix-mq:/run/user/1000/wordcount/queue",
        in_process: false,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| {
            posix_mq::parse(parts).map(Kind::PosixMq).map_err(RpcError::invalid_endpoint)
        },
        write_fresh: |directory, name| Ok(posix_mq::fresh(directory, name)),
        is_there: posix_mq::is_there,
    },
    Scheme {
        name: "sysv-mq",
        summary: "System V message queues, found by a key file in a private directory",
        example: "sysv-mq:/run/user/1000/wordcount/key",
        in_process: false,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| {
            key_file::Address::parse(parts).map(Kind::SysvMq).map_err(RpcError::invalid_endpoint)
        },
        write_fresh: |directory, name| Ok(key_file::Address::fresh("sysv-mq", directory, name)),
        is_there: sysv_mq::is_available,
    },
    Scheme {
        name: "sysv-shm",
        summary: "rings in System V shared memory, with semaphores as doorbells",
        example: "sysv-shm:/run/user/1000/wordcount/key",
        in_process: false,
        starts_server: false,
        keys: &["ring"],
        repeatable: &[],
        parse: |parts, _| {
            sysv_shm::parse(parts).map(Kind::SysvShm).map_err(RpcError::invalid_endpoint)
        },
        write_fresh: |directory, name| Ok(sysv_shm::fresh(directory, name)),
        is_there: sysv_shm::is_available,
    },
    Scheme {
        name: "shm",
        summary: "rings in shared memory: no system call between busy processes",
        example: "shm:/run/user/1000/wordcount/socket",
        in_process: false,
        starts_server: false,
        keys: &["ring", "memory"],
        repeatable: &[],
        parse: |parts, _| shm::parse(parts).map(Kind::Shm).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(shm::fresh(directory, name)),
        is_there: || true,
    },
    Scheme {
        name: "file",
        summary: "spool files in a shared directory: for sides that share nothing else",
        example: "file:/shared/ipc/wordcount",
        in_process: false,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| file::parse(parts).map(Kind::File).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(file::fresh(directory, name)),
        is_there: file::is_there,
    },
    Scheme {
        name: "unix",
        summary: "a stream socket in a private directory: the default between processes",
        example: "unix:/run/user/1000/wordcount/socket",
        in_process: false,
        starts_server: false,
        keys: &[],
        repeatable: &[],
        parse: |parts, _| unix::parse(parts).map(Kind::Unix).map_err(RpcError::invalid_endpoint),
        write_fresh: |directory, name| Ok(unix::fresh(directory, name)),
        is_there: || true,
    },
    Scheme {
        name: "tcp",
        summary: "a TCP connection: loopback, or beyond with a token",
        example: "tcp:127.0.0.1:7070",
        in_process: false,
        starts_server: false,
        keys: &["token-file"],
        repeatable: &[],
        parse: |parts, settings| tcp::parse(parts, settings).map(Kind::Tcp),
        write_fresh: |_, _| tcp::fresh(),
        is_there: || true,
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
    /// Whether a client starts its server, by connecting, and is its only one. Nobody else finds that
    /// server, so it has no name that could be in use or be left behind.
    pub starts_server: bool,
    /// What may stand before `=` in the query.
    pub(super) keys: &'static [&'static str],
    /// Of these, what may stand there several times.
    pub(super) repeatable: &'static [&'static str],
    pub(super) parse: fn(&Parts<'_>, &mut Settings) -> Result<Kind, RpcError>,
    write_fresh: fn(&Path, &str) -> io::Result<String>,
    is_there: fn() -> bool,
}

impl Scheme {
    /// An endpoint that nobody uses, for trying the transport out: in `directory`, or known by it,
    /// where the transport has names. `directory` is absolute, and private or absent; `name` makes a
    /// difference between several.
    ///
    /// Where the client starts the server, both sides of this endpoint have to be in this process;
    /// [`fresh_with`](Self::fresh_with) is for two.
    ///
    /// # Errors
    /// When `directory` cannot be used: relative, or too long for the transport.
    pub fn fresh(&self, directory: &Path, name: &str) -> Result<Endpoint, RpcError> {
        let uri = (self.write_fresh)(directory, name).map_err(|error| {
            RpcError::io(format!("choosing a fresh {} endpoint", self.name), error)
        })?;
        Endpoint::parse(&uri)
    }

    /// The same for a server in a process of its own, with what has to be started for that before a
    /// client connects: nothing, if connecting to this endpoint starts the server. `server` says how a
    /// process is started that serves at a given URI.
    ///
    /// # Errors
    /// As for [`fresh`](Self::fresh) and [`Endpoint::launching`].
    pub fn fresh_with(
        &self,
        directory: &Path,
        name: &str,
        server: impl FnOnce(&str) -> Launch,
    ) -> Result<(Endpoint, Option<Launch>), RpcError> {
        if self.starts_server {
            let launch = server(Endpoint::inherited().uri());
            return Ok((Endpoint::launching(&launch)?, None));
        }
        let endpoint = self.fresh(directory, name)?;
        let launch = server(endpoint.uri());
        Ok((endpoint, Some(launch)))
    }

    /// Whether this platform offers it: a kernel can be built, or a sandbox made, without it.
    pub fn is_available(&self) -> bool {
        (self.is_there)()
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheme").field(&self.name).finish()
    }
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
