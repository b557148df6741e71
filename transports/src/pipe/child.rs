//! The server as the client's child process: starting it, and how it has ended.
//!
//! `posix_spawn(3)` and not `fork(2)`: between fork and exec a process with threads may do next to nothing,
//! and the C library has that written already. It reports a program that cannot be executed as an error
//! of the call.

use std::ffi::{CString, NulError, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::end::End;
use super::reaper;
use crate::launch::Launch;
use crate::sys;

/// The descriptors of a child: where it reads, and where it writes.
pub(super) const READING: RawFd = 3;
pub(super) const WRITING: RawFd = 4;

/// A process that this one has started and not waited for yet. Dropping it hands it to the reaper.
pub(super) struct Child {
    id: u32,
    /// `None` once the reaper has it.
    pidfd: Option<OwnedFd>,
    end: Mutex<Option<End>>,
}

impl Child {
    /// Starts a server with these ends.
    pub(super) fn start(
        launch: &Launch,
        reading: OwnedFd,
        writing: OwnedFd,
    ) -> Result<Self, RpcError> {
        let pid = spawn(launch, reading, writing)?;
        match sys::pidfd_open(pid.as_raw().cast_unsigned()) {
            Ok(pidfd) => {
                let id = pid.as_raw().cast_unsigned();
                Ok(Self { id, pidfd: Some(pidfd), end: Mutex::new(None) })
            }
            Err(error) => {
                // It was not waited for yet, so the number is its own; and it dies at once.
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, None);
                Err(RpcError::io(format!("watching the process of {}", launch.shown()), error))
            }
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// How it has ended, if it has. It is reaped by that.
    pub(super) fn end(&self) -> Option<End> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            *end = ended(self.as_fd());
        }
        *end
    }
}

impl AsFd for Child {
    /// Readable once it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_ref().expect("it is taken when this is dropped").as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end().is_none()
            && let Some(pidfd) = self.pidfd.take()
        {
            reaper::adopt(pidfd);
        }
    }
}

/// Reaps a child if it has ended.
pub(super) fn ended(pidfd: BorrowedFd<'_>) -> Option<End> {
    loop {
        return match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            Ok(WaitStatus::Exited(_, status)) => Some(End::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Killed(signal)),
            Ok(_) => None,
            Err(Errno::EINTR) => continue,
            // It was reaped, and its signal has no name.
            Err(Errno::EINVAL) => Some(End::KilledBySomeSignal),
            Err(_) => Some(End::Unknown),
        };
    }
}

fn spawn(launch: &Launch, reading: OwnedFd, writing: OwnedFd) -> Result<Pid, RpcError> {
    let doing = || format!("starting the server {}", launch.shown());
    let failed = |error: io::Error| RpcError::io(doing(), error);
    let (program, args, environment) = strings(launch).map_err(|e| failed(e.into()))?;
    let ends = Ends::new(launch.stdio, reading, writing).map_err(failed)?;
    let (actions, attributes) = ends
        .actions()
        .and_then(|actions| Ok((actions, attributes()?)))
        .map_err(|e| failed(e.into()))?;
    posix_spawnp(&program, &actions, &attributes, &args, &environment)
        .map_err(|errno| explain(errno, launch).unwrap_or_else(|| failed(errno.into())))
}

/// The program, its arguments with its name, its environment.
fn strings(launch: &Launch) -> Result<(CString, Vec<CString>, Vec<CString>), NulError> {
    let string = |text: &OsStr| CString::new(text.as_bytes());
    let program = string(&launch.program)?;
    let mut args = vec![program.clone()];
    for arg in &launch.args {
        args.push(string(arg)?);
    }
    let assignment = |(name, value): (OsString, OsString)| {
        CString::new([name.into_vec(), vec![b'='], value.into_vec()].concat())
    };
    Ok((program, args, launch.environment().map(assignment).collect::<Result<_, _>>()?))
}

/// What the child gets, with the numbers under which it gets them. They are held under higher numbers
/// meanwhile, so that none is overwritten by another before it is in its place.
struct Ends([Option<(OwnedFd, RawFd)>; 3]);

impl Ends {
    fn new(stdio: bool, reading: OwnedFd, writing: OwnedFd) -> io::Result<Self> {
        Ok(Self(if stdio {
            [Some((lift(reading)?, 0)), Some((lift(writing)?, 1)), None]
        } else {
            let nothing = lift(File::open("/dev/null")?.into())?;
            [Some((nothing, 0)), Some((lift(reading)?, READING)), Some((lift(writing)?, WRITING))]
        }))
    }

    fn actions(&self) -> nix::Result<PosixSpawnFileActions> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (end, number) in self.0.iter().flatten() {
            actions.add_dup2(end.as_raw_fd(), *number)?;
        }
        Ok(actions)
    }
}

/// The same under a number that no child is given.
fn lift(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > WRITING {
        return Ok(fd);
    }
    // `fd` has its number until there is one that will do.
    lift(fd.try_clone()?)
}

/// As `std::process` has it: no signal is blocked, and `SIGPIPE`, which Rust's runtime ignores, is as it is
/// for other programs.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    let mut sigpipe = SigSet::empty();
    sigpipe.add(Signal::SIGPIPE);
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&sigpipe)?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    Ok(attributes)
}

/// What an error means that is the endpoint's fault, or the machine's.
fn explain(errno: Errno, launch: &Launch) -> Option<RpcError> {
    let program = launch.shown();
    let path = Path::new(&launch.program);
    let invalid = |reason| Some(RpcError::invalid_endpoint(reason));
    match errno {
        Errno::ENOENT if path.is_absolute() && path.exists() => invalid(format!(
            "{program} cannot be executed: the interpreter that it names, in its first line or as its \
             loader, is not there"
        )),
        Errno::ENOENT | Errno::ENOTDIR => {
            let detail = match path.is_absolute() {
                true => format!("there is no program {program}"),
                false => format!("no directory of PATH has a program {program}"),
            };
            Some(RpcError::not_executed(ErrorKind::ServerAbsent { detail }))
        }
        Errno::EACCES | Errno::EPERM => invalid(format!(
            "{program} cannot be executed by this user: it has to be a program with permission for \
             that (chmod +x), on a file system that is not mounted noexec"
        )),
        Errno::ENOEXEC => invalid(format!(
            "{program} cannot be executed: it is no program for this machine, nor a script with an \
             interpreter in its first line (#!)"
        )),
        Errno::E2BIG => invalid(format!(
            "the arguments of {program} and its environment are together larger than the system allows"
        )),
        _ => None,
    }
}
