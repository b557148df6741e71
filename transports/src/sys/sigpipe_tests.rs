#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::{SigHandler, signal};

use super::*;

/// Asks the test of that name to die of `SIGPIPE` where it fails.
const DEADLY: &str = "IPCALL_TEST_SIGPIPE_IS_DEADLY";

fn write_to_nobody() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let error = write(writer.as_fd(), &[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

fn is_blocked() -> bool {
    SigSet::thread_get_mask().unwrap().contains(Signal::SIGPIPE)
}

fn block() {
    let mut sigpipe = SigSet::empty();
    sigpipe.add(Signal::SIGPIPE);
    sigpipe.thread_block().unwrap();
}

#[test]
fn nothing_is_left_blocked_or_pending() {
    thread::spawn(|| {
        write_to_nobody();
        assert!(!is_blocked());
        assert!(!is_pending().unwrap());
    })
    .join()
    .unwrap();
}

#[test]
fn a_signal_that_was_blocked_stays_blocked_and_is_taken() {
    thread::spawn(|| {
        block();
        write_to_nobody();
        assert!(is_blocked());
        assert!(!is_pending().unwrap());
    })
    .join()
    .unwrap();
}

#[test]
fn a_signal_that_was_pending_stays_pending() {
    thread::spawn(|| {
        block();
        // To this thread alone.
        nix::sys::signal::raise(Signal::SIGPIPE).unwrap();
        write_to_nobody();
        assert!(is_blocked());
        assert!(is_pending().unwrap());
    })
    .join()
    .unwrap();
}

/// In a process of its own, where `SIGPIPE` kills.
#[test]
fn a_broken_pipe_does_not_kill() {
    if std::env::var_os(DEADLY).is_some() {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        return write_to_nobody();
    }
    let name = "sys::sigpipe::tests::a_broken_pipe_does_not_kill";
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(DEADLY, "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
