//! `sigaction(2)`, `pthread_sigmask(3)`, `gettid(2)`, `tgkill(2)`, `rt_sigprocmask(2)`, `pidfd_send_signal(2)`.
#![allow(unsafe_code, reason = "no dependency offers these calls for real-time signals")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;

/// The first real-time signal that the C library leaves to programs.
pub(crate) fn first_realtime() -> i32 {
    libc::SIGRTMIN()
}

/// The last one.
pub(crate) fn last_realtime() -> i32 {
    libc::SIGRTMAX()
}

/// What the process did on the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Runs on the interrupted thread's stack, anywhere in its code: it may only do what `signal-safety(7)` allows,
/// which is to load an atomic and to call a handler that was written for that.
extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(before) = BEFORE.get() else { return };
    let address = before.sa_sigaction;
    if address == libc::SIG_DFL || address == libc::SIG_IGN {
        return;
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: sigaction(2) gave this as a handler installed with SA_SIGINFO, so it is such a function, and
        // it stays one for as long as the process has it installed.
        let next = unsafe { std::mem::transmute::<usize, WithInfo>(address) };
        next(signal, info, context);
    } else {
        // SAFETY: as above, for a handler installed without SA_SIGINFO.
        let next = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(address) };
        next(signal);
    }
}

/// Installs the handler, without `SA_RESTART`. To be called once: it chains to what was there before.
///
/// # Errors
/// Those of `sigaction(2)`.
pub(crate) fn install(signal: i32) -> io::Result<()> {
    let mut action = empty_action();
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    let mut before = empty_action();
    // What was there is noted first: a signal may come as soon as the handler stands.
    // SAFETY: a null new action only asks, and `before` is ours to be written.
    Errno::result(unsafe { libc::sigaction(signal, ptr::null(), &mut before) })?;
    let _ = BEFORE.set(before);
    // SAFETY: `action` is complete, its handler is a function of the type that SA_SIGINFO promises, and does only
    // what a handler may.
    Errno::result(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })?;
    Ok(())
}

fn empty_action() -> libc::sigaction {
    // SAFETY: all its fields are integers, an empty set of signals, or an optional function, for which zero
    // bytes are valid.
    unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() }
}

/// Lets the signal through to the calling thread.
///
/// # Errors
/// Those of `pthread_sigmask(3)`.
pub(crate) fn unblock(signal: i32) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is ours to be written.
    Errno::result(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    // SAFETY: it was initialised by the call before.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: `set` is a set of signals.
    Errno::result(unsafe { libc::sigaddset(&mut set, signal) })?;
    // SAFETY: `set` is a set of signals, and the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The calling thread's number.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Sends a signal to a thread of this process.
///
/// # Errors
/// `ESRCH` when there is no such thread; `EAGAIN` when too many signals are queued.
pub(crate) fn signal_thread(thread: i32, signal: i32) -> io::Result<()> {
    let process = std::process::id() as libc::pid_t;
    // SAFETY: the call takes three numbers; a signal to a thread of ours runs our own handler.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
    Ok(Errno::result(sent).map(drop)?)
}

/// Sends a signal to the process of a pidfd.
///
/// # Errors
/// Those of `pidfd_send_signal(2)`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let (info, flags) = (ptr::null::<libc::siginfo_t>(), 0 as libc::c_uint);
    // SAFETY: the call takes numbers and a pointer that may be null, as for kill(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, flags)
    };
    Ok(Errno::result(sent).map(drop)?)
}

/// Blocks all signals in the calling thread.
#[cfg(test)]
pub(crate) fn block_all() -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is ours to be written.
    Errno::result(unsafe { libc::sigfillset(set.as_mut_ptr()) })?;
    // SAFETY: `set` was initialised by the call before, and the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Sleeps, and does not go on when interrupted.
#[cfg(test)]
pub(crate) fn sleep_once(time: std::time::Duration) -> io::Result<()> {
    let time = libc::timespec { tv_sec: time.as_secs() as libc::time_t, tv_nsec: 0 };
    // SAFETY: `time` is complete, and the rest is not asked for.
    let slept = unsafe { libc::nanosleep(&time, ptr::null_mut()) };
    Ok(Errno::result(slept).map(drop)?)
}
