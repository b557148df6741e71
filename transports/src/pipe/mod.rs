//! `pipe:/path/to/server?arg=--quiet&env=K=V`: two pipes to a server that the client starts as its child.
//!
//! The server has its ends as descriptors 3 (to read) and 4 (to write); its standard input is
//! `/dev/null`, and its standard output and error are the client's. With `stdio=1` it has them as its
//! standard input and output instead, so that it may be a program that forwards bytes, such as `ssh`. The
//! server binds the same endpoint, or `pipe:inherited` (`pipe:inherited?stdio=1`), and ends when its only
//! client has gone.
//!
//! - System calls: in the client `pipe2(2)`, `posix_spawn(3)` (`vfork`, `dup2`, `execve`),
//!   `pidfd_open(2)`, `epoll_create1(2)`, for each sleep a `poll(2)` more, and at the end `timerfd_create(2)`,
//!   `waitid(2)`, `pidfd_send_signal(2)`; in the server `fstat(2)`, `open(2)` of `/proc/self/fd/N`. Those
//!   of the pipes themselves.
//! - Limits: one client for each server; those of the pipes; `RLIMIT_NPROC`; Linux 5.4.
//! - Leaves behind: nothing in the file system. A server whose client is killed sees the end of its pipe
//!   and ends by itself, unless it hangs.
//! - Not for: several clients, or a server that outlives its client (`unix:`); a service that is called
//!   once, because starting a process takes a millisecond.
//!
//! `pipe:?in-process=NAME` is for tests: both sides are in this process, and find each other by a name.
//!
//! A program is written as an absolute path, or as a bare name that is looked for in the directories of this
//! process's `PATH`. It must be the server itself, or stay for as long as the server runs: in a shell's
//! script, `exec` the server. What it is given is no place for secrets: errors show the endpoint, and
//! `/proc` shows the arguments.
//!
//! `PR_SET_PDEATHSIG` is not used: it would kill the server when the *thread* ends that started it, and
//! a server that changes its user loses it. A killed client's pipe closes in any case.

mod child;
mod end;
mod inherited;
mod reaper;
mod watch;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use ipcall_core::transport::memory::{self, MemoryListener};
use ipcall_core::transport::{Listener, Peer, Pidfd, Transport};
use ipcall_core::{ErrorKind, RpcError};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{getegid, geteuid};

use crate::endpoint::{Parts, percent};
use crate::launch::Launch;
use crate::pipe_halves;
use crate::process;
use child::Child;
pub use end::ServerEnded;
pub use reaper::await_launched;
use watch::Watch;

/// How a server's own endpoint is written.
pub(crate) const INHERITED: &str = "pipe:inherited";
/// In the place of a program: the ends that this process was started with.
const INHERITED_NAME: &[u8] = b"inherited";
/// The key of an endpoint whose two sides are in one process, for tests.
const IN_PROCESS: &str = "in-process";

pub(crate) const KEYS: &[&str] = &["arg", "env", "stdio", IN_PROCESS];
/// Those that may stand there several times.
pub(crate) const REPEATABLE: &[&str] = &["arg", "env"];

/// What an endpoint says.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// To a client, the server to start; to a server, itself.
    Launched(Launch),
    /// What this process was started with.
    Inherited { stdio: bool },
    /// Over pipes within this process, by this name.
    InProcess(String),
}

impl Address {
    pub(crate) fn starts_server(&self) -> bool {
        matches!(self, Self::Launched(_))
    }
}

/// Understands a program with its arguments and its environment.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let (program, in_process) = (parts.rest()?, parts.value(IN_PROCESS)?);
    let stdio = match parts.value("stdio")? {
        None => false,
        Some("1") => true,
        Some(other) => {
            return Err(format!(
                "stdio={other}: write stdio=1, or leave it out for descriptors 3 and 4"
            ));
        }
    };
    let launched = parts.values("arg").chain(parts.values("env")).next().is_some();
    if let Some(name) = in_process {
        if !program.is_empty() || launched || stdio || name.is_empty() {
            return Err(format!("{IN_PROCESS}=NAME stands alone: write pipe:?{IN_PROCESS}=NAME"));
        }
        return Ok(Address::InProcess(name.to_owned()));
    }
    if program == INHERITED_NAME {
        if launched {
            return Err(format!(
                "arg and env are for starting a server, and {INHERITED} is for the one that was started"
            ));
        }
        return Ok(Address::Inherited { stdio });
    }
    let mut launch = Launch::new(OsString::from_vec(check_program(program)?));
    launch.stdio = stdio;
    for arg in parts.values("arg") {
        launch = launch.arg(without_nul("an argument", arg)?);
    }
    for pair in parts.values("env") {
        let pair = without_nul("a variable", pair)?.as_bytes();
        match pair.iter().position(|byte| *byte == b'=') {
            Some(end @ 1..) => {
                let (name, value) = (&pair[..end], &pair[end + 1..]);
                launch = launch.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
            }
            _ => {
                let pair = String::from_utf8_lossy(pair);
                return Err(format!("env={pair}: write env=NAME=VALUE"));
            }
        }
    }
    Ok(Address::Launched(launch))
}

fn check_program(program: Vec<u8>) -> Result<Vec<u8>, String> {
    let example = "pipe:/usr/lib/wordcount/server?arg=--quiet";
    let shown = String::from_utf8_lossy(&program);
    if program.is_empty() {
        return Err(format!("a program is missing: write for example {example}"));
    }
    if program.starts_with(b"//") {
        return Err(format!("write pipe:{}, without the //", &shown[1..]));
    }
    if program.contains(&b'/') && !program.starts_with(b"/") {
        return Err(format!(
            "`{shown}` is neither an absolute path nor a bare name that PATH leads to: write for \
             example {example}"
        ));
    }
    if program.ends_with(b"/") {
        return Err(format!("`{shown}` names a directory: add the name of the program"));
    }
    without_nul("a path", &program)?;
    Ok(program)
}

fn without_nul<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a OsStr, String> {
    if bytes.contains(&0) {
        return Err(format!("{what} cannot contain a NUL"));
    }
    Ok(OsStr::from_bytes(bytes))
}

/// The URI of a client that starts its server.
pub(crate) fn write(launch: &Launch) -> String {
    let mut uri = format!("pipe:{}", percent::encode_path(Path::new(&launch.program)));
    let mut add = |key: &str, value: &str| {
        uri.push(if uri.contains('?') { '&' } else { '?' });
        uri.push_str(key);
        uri.push('=');
        uri.push_str(value);
    };
    for arg in &launch.args {
        add("arg", &percent::encode_value(arg));
    }
    for (name, value) in &launch.env {
        let (name, value) = (percent::encode_value(name), percent::encode_value(value));
        add("env", &format!("{name}={value}"));
    }
    if launch.stdio {
        add("stdio", "1");
    }
    uri
}

/// A name for both sides in this process that nobody else uses, as long as nobody else uses `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    let name = percent::encode_value(directory.join(name).as_os_str());
    format!("pipe:?{IN_PROCESS}={name}")
}

/// Starts the server, which is there as soon as its program is.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    match address {
        Address::Launched(launch) => start(launch),
        Address::Inherited { .. } => Err(RpcError::invalid_endpoint(format!(
            "{INHERITED} is for a server: a client names the program that it starts, as in \
             pipe:/usr/lib/wordcount/server"
        ))),
        Address::InProcess(name) => memory::connect_over(&listener_name(name), pair),
    }
}

/// Takes over what this process was started with.
pub(crate) fn bind(address: &Address) -> Result<Box<dyn Listener>, RpcError> {
    Ok(match address {
        Address::Launched(Launch { stdio, .. }) | Address::Inherited { stdio } => {
            Box::new(inherited::Listener::bind(*stdio)?)
        }
        Address::InProcess(name) => Box::new(MemoryListener::bind(&listener_name(name))?),
    })
}

fn listener_name(name: &str) -> String {
    format!("pipe:?{IN_PROCESS}={name}")
}

fn start(launch: &Launch) -> Result<Transport, RpcError> {
    let failed = |error| RpcError::io("making pipes to the server", error);
    let (their_reader, our_writer) = pipe().map_err(failed)?;
    let (our_reader, their_writer) = pipe().map_err(failed)?;
    set_nonblocking(&our_reader).and_then(|()| set_nonblocking(&our_writer)).map_err(failed)?;
    let child = Arc::new(Child::start(launch, their_reader, their_writer)?);
    let mut peer = Peer::default();
    peer.pid = Some(child.id());
    // As whom it was started.
    peer.uid = Some(geteuid().as_raw());
    peer.gid = Some(getegid().as_raw());
    peer.known_by = "child process";
    peer.pidfd = child.as_fd().try_clone_to_owned().ok().map(Pidfd::from);
    let reader = Watch::reader(our_reader, Arc::clone(&child)).map_err(failed)?;
    let writer = Watch::writer(our_writer, child).map_err(failed)?;
    Ok(Transport { reader: Box::new(reader), writer: Box::new(writer), peer })
}

/// Two ends in this process.
fn pair() -> io::Result<(Transport, Transport)> {
    let (forth, back) = (pipe()?, pipe()?);
    let end = |reading: OwnedFd, writing: OwnedFd, pidfd| {
        set_nonblocking(&reading)?;
        set_nonblocking(&writing)?;
        let mut peer = Peer::default();
        peer.pid = Some(std::process::id());
        peer.uid = Some(geteuid().as_raw());
        peer.gid = Some(getegid().as_raw());
        peer.known_by = "same process";
        peer.pidfd = pidfd;
        let reader = Box::new(pipe_halves::Reader::new(reading));
        let writer = Box::new(pipe_halves::Writer::new(writing));
        Ok::<_, io::Error>(Transport { reader, writer, peer })
    };
    let own = process::pidfd(std::process::id());
    Ok((end(back.0, forth.1, own)?, end(forth.0, back.1, None)?))
}

/// The reading and the writing end of a new pipe. Each has an open file description of its own, and
/// the child's ends stay blocking: what it forwards with may not expect otherwise.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Lets every call on `fd` return at once, whoever shares its open file description.
fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// The error of a place where there is no client.
fn refused(reason: String) -> RpcError {
    RpcError::not_executed(ErrorKind::Refused { reason })
}
