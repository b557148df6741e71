//! Dropping the client ends its child, gently at first, and leaves nothing.

use std::io::IoSlice;
use std::process::Command;
use std::time::{Duration, Instant};

use ipcall_core::transport::Transport;
use ipcall_transports::await_launched;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::{Meeting, connect, hear, meet, pid, say, serve};
use crate::leaks::Holdings;
use crate::roles::{Child, make_sigpipe_deadly};
use crate::waiting::{fill, read_exactly, read_some, read_to_end, write_all, write_some};
use crate::watchdog::Watchdog;

/// Longer than a child may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn is_there(pid: u32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap()
}

/// Does not end when its pipe does; meets the test at `about`, behind the word that says what else it does
/// not mind.
pub(super) fn be_stubborn(about: &str) {
    let (what, path) = about.split_once(' ').unwrap();
    if what == "terminated" {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.unwrap();
    }
    let mut transport = serve();
    write_all(&mut *transport.writer, b"!");
    let test = meet(path);
    assert_eq!(read_to_end(&mut *transport.reader), b"");
    say(&test, b'e');
    loop {
        std::thread::park();
    }
}

/// How long a stubborn child lives on after the end of its pipe.
fn time_to_live(what: &str) -> Duration {
    let _watchdog = Watchdog::new(format!("a child that does not mind being {what}"));
    let (meeting, path) = Meeting::new();
    let mut transport = connect("stubborn", &format!("{what} {path}"));
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
    let (child, pid) = (meeting.accept(), pid(&transport));
    let dropped = Instant::now();
    drop(transport);
    let took = dropped.elapsed();
    assert!(took < Duration::from_millis(500), "dropping a client took {took:?}");
    assert_eq!(hear(&child), Some(b'e'));
    assert_eq!(hear(&child), None);
    let lived = dropped.elapsed();
    assert!(await_launched(PATIENCE));
    assert!(!is_there(pid), "nobody has waited for it");
    lived
}

#[test]
fn a_child_that_goes_on_is_terminated() {
    let lived = time_to_live("ended");
    assert!(lived > Duration::from_millis(1900), "{lived:?}");
}

#[test]
fn a_child_that_goes_on_even_so_is_killed() {
    let lived = time_to_live("terminated");
    assert!(lived > Duration::from_millis(3900), "{lived:?}");
}

#[test]
fn a_child_ends_with_the_last_half() {
    let _watchdog = Watchdog::new("the last half".to_owned());
    for writer_first in [true, false] {
        let mut transport = connect("idle", "");
        assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
        let pid = pid(&transport);
        let Transport { reader, writer, .. } = transport;
        if writer_first {
            drop(writer);
            drop(reader);
        } else {
            drop(reader);
            assert!(is_there(pid));
            drop(writer);
        }
        assert!(await_launched(PATIENCE));
        assert!(!is_there(pid));
    }
}

#[test]
fn nothing_is_left() {
    let (status, stderr) = Child::spawn("launching-audit", "").output();
    assert!(status.success(), "{stderr}");
}

/// In a process of its own: children that end in every way, and what is there afterwards.
pub(super) fn audit() {
    // The first round may make what the process then keeps, such as a thread's memory.
    round();
    let before = Holdings::now();
    for _ in 0..3 {
        round();
    }
    assert_eq!(Holdings::now(), before);
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children, "");
}

fn round() {
    let mut kept = Vec::new();
    for role in ["idle", "echo", "exit"] {
        for _ in 0..3 {
            let mut transport = connect(role, "7");
            write_all(&mut *transport.writer, b"x");
            read_exactly(&mut *transport.reader, 1);
            kept.push(transport);
        }
    }
    // Killed, and asked or not asked how it ended.
    for asked in [true, false] {
        let mut transport = connect("idle", "");
        assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
        let pid = nix::unistd::Pid::from_raw(pid(&transport).cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        if asked {
            read_some(&mut *transport.reader, &mut Vec::new(), 1).unwrap_err();
        }
    }
    // Full in one direction, and never accepted in the other.
    let mut full = connect("deaf", "");
    assert_eq!(read_exactly(&mut *full.reader, 1), b"!");
    fill(&mut *full.writer, |_| vec![0; 10_000]);
    let pid = nix::unistd::Pid::from_raw(pid(&full).cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    drop(full);
    // A program that is none.
    ipcall_transports::Endpoint::parse("pipe:/nowhere/at/all").unwrap();
    kept.clear();
    assert!(await_launched(PATIENCE));
    // The thread that has waited for them has said so, and may still be winding down.
    while std::fs::read_dir("/proc/self/task").unwrap().count() > 3 {
        std::thread::yield_now();
    }
}

/// Drops a client whose child meets the test at `about`, and ends at once.
pub(super) fn end_without_waiting(about: &str) {
    let mut transport = connect("witness", about);
    write_all(&mut *transport.writer, b"x");
}

#[test]
fn a_child_ends_although_its_client_s_process_ends_at_once() {
    let _watchdog = Watchdog::new("a host that ends".to_owned());
    let (meeting, path) = Meeting::new();
    let host = Child::spawn("ended-host", &path);
    let child = meeting.accept();
    assert_eq!((hear(&child), hear(&child), hear(&child)), (Some(b'!'), Some(b'e'), None));
    let (status, stderr) = host.output();
    assert!(status.success(), "{stderr}");
}

#[test]
fn no_sigpipe_is_raised() {
    let (status, stderr) = Child::spawn("deadly-sigpipe", "").output();
    assert!(status.success(), "{status}: {stderr}");
}

/// In a process of its own, where `SIGPIPE` would kill: writes until nobody is there.
pub(super) fn write_with_deadly_sigpipe() {
    make_sigpipe_deadly();
    for _ in 0..3 {
        let mut transport = connect("exit", "0");
        write_all(&mut *transport.writer, b"x");
        // In turn one slice and several.
        let slices = [IoSlice::new(b"x"), IoSlice::new(b"y")];
        let mut writes =
            (1..=2).cycle().map(|count| write_some(&mut *transport.writer, &slices[..count]));
        assert!(writes.any(|result| result.is_err()));
    }
}

#[test]
fn a_child_of_a_process_that_does_not_want_to_know_ends_all_the_same() {
    let (status, stderr) = Child::spawn("ignoring", "").output();
    assert!(status.success(), "{status}: {stderr}");
}

/// In a process of its own, whose children are waited for by the kernel.
pub(super) fn ignore_children() {
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
    let mut transport = connect("exit", "3");
    write_all(&mut *transport.writer, b"x");
    assert_eq!(read_exactly(&mut *transport.reader, 10), b"last words");
    let error = read_some(&mut *transport.reader, &mut Vec::new(), 1).unwrap_err();
    assert!(error.to_string().contains("which ignores SIGCHLD"), "{error}");
    drop(connect("idle", ""));
    assert!(await_launched(PATIENCE));
}

#[test]
fn a_child_has_the_usual_disposition_of_sigpipe() {
    let _watchdog = Watchdog::new("SIGPIPE in a child".to_owned());
    let status = "sed -n 's/^SigIgn:\\s*//p' /proc/$$/status >&4";
    let launch = ipcall_transports::Launch::new("sh").args(["-c", status]);
    let ignored = read_to_end(&mut *super::connect_to(&launch).reader);
    let ignored = u64::from_str_radix(std::str::from_utf8(&ignored).unwrap().trim(), 16).unwrap();
    // Which this process ignores, because Rust's runtime does.
    assert_eq!(ignored & (1 << (Signal::SIGPIPE as u64 - 1)), 0);
    let own = Command::new("true").status().unwrap();
    assert!(own.success());
}
