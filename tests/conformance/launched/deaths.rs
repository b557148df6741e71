//! The end of a child is seen at once, and the connection's error says how it ended; the end of the client
//! is seen by its child.

use std::io::{self, IoSlice};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ipcall_core::transport::Transport;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Meeting, connect, connect_to, hear, meet, pid, say, serve};
use crate::roles::{Child, launch};
use crate::waiting::{fill, read_exactly, read_some, write_all, write_some};
use crate::watchdog::Watchdog;

/// How soon, where a descriptor reports it.
const SOON: Duration = Duration::from_millis(50);

/// As for the other transports: one that is seen late each time is seen late.
const ATTEMPTS: usize = 5;

/// Says that it is there, and waits for the end.
pub(super) fn be_idle() {
    let mut transport = serve();
    write_all(&mut *transport.writer, b"!");
    let _ = read_some(&mut *transport.reader, &mut Vec::new(), 1);
}

/// Says that it is there, and reads nothing.
pub(super) fn be_deaf() {
    let mut transport = serve();
    write_all(&mut *transport.writer, b"!");
    loop {
        std::thread::park();
    }
}

/// Ends with this status when it is asked to.
pub(super) fn exit(status: &str) {
    let mut transport = serve();
    write_all(&mut *transport.writer, b"last words");
    read_exactly(&mut *transport.reader, 1);
    std::process::exit(status.parse().unwrap());
}

/// Starts another process, before it has taken its pipes over or after.
pub(super) fn start_an_heir(when: &str) {
    let start = || drop(std::process::Command::new("sleep").arg("3").spawn().unwrap());
    if when == "before" {
        start();
    }
    let mut transport = serve();
    if when == "after" {
        start();
    }
    write_all(&mut *transport.writer, b"!");
    let _ = read_some(&mut *transport.reader, &mut Vec::new(), 1);
}

fn kill_child(transport: &Transport) {
    let pid = Pid::from_raw(i32::try_from(pid(transport)).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
}

/// Kills children that play `role`, and measures how long `see` takes to see the end.
fn assert_seen_soon(role: &str, see: fn(&mut Transport) -> io::Error) -> io::Error {
    let _watchdog = Watchdog::new(format!("the death of {role}"));
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut transport = connect(role, "");
        assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
        if role == "deaf" {
            fill(&mut *transport.writer, |_| vec![0; 5000]);
        }
        let killed = Instant::now();
        kill_child(&transport);
        let error = see(&mut transport);
        took.push(killed.elapsed());
        if took.last().is_some_and(|took| *took < SOON) {
            println!("the death was seen after {took:?}");
            return error;
        }
    }
    panic!("the death was seen after {took:?}, and should have been within {SOON:?}");
}

fn read_the_end(transport: &mut Transport) -> io::Error {
    let error = read_some(&mut *transport.reader, &mut Vec::new(), 16).unwrap_err();
    // The end stays the end.
    let again = read_some(&mut *transport.reader, &mut Vec::new(), 16).unwrap_err();
    assert_eq!(error.to_string(), again.to_string());
    error
}

fn write_the_end(transport: &mut Transport) -> io::Error {
    loop {
        if let Err(error) = write_some(&mut *transport.writer, &[IoSlice::new(&[0; 5000])]) {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            return error;
        }
    }
}

const KILLED: &str = "the server was killed by signal 9 (SIGKILL)";

#[test]
fn a_reader_learns_of_it() {
    let error = assert_seen_soon("idle", read_the_end);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(error.to_string(), KILLED);
}

#[test]
fn a_writer_learns_of_it() {
    assert_eq!(assert_seen_soon("idle", write_the_end).to_string(), KILLED);
}

#[test]
fn a_writer_that_sleeps_learns_of_it() {
    assert_eq!(assert_seen_soon("deaf", write_the_end).to_string(), KILLED);
}

#[test]
fn it_counts_although_another_process_has_the_pipe() {
    let heir = format!("{KILLED}, and left its end of the pipe to a process that it had started");
    // A shell that is not replaced by the server has its pipes, too.
    let _watchdog = Watchdog::new("the death of a parent".to_owned());
    let mut transport = connect_to(
        &ipcall_transports::Launch::new("sh").args(["-c", "sleep 3 & echo -n '!' >&4; wait"]),
    );
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
    fill(&mut *transport.writer, |_| vec![0; 5000]);
    let killed = Instant::now();
    kill_child(&transport);
    assert_eq!(read_the_end(&mut transport).to_string(), heir);
    assert_eq!(write_the_end(&mut transport).to_string(), heir);
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
}

#[test]
fn what_a_server_starts_does_not_get_the_pipes_that_were_taken_over() {
    let _watchdog = Watchdog::new("the death of a parent with heirs".to_owned());
    for (when, left) in [("before", true), ("after", false)] {
        let mut transport = connect("heir", when);
        assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
        kill_child(&transport);
        let error = read_the_end(&mut transport).to_string();
        assert!(error.starts_with(KILLED), "{error}");
        assert_eq!(error.contains("left its end of the pipe"), left, "{when}: {error}");
    }
}

#[test]
fn an_exit_status_is_told() {
    let _watchdog = Watchdog::new("exit statuses".to_owned());
    for status in [1, 3, 255] {
        let mut transport = connect("exit", &status.to_string());
        assert_eq!(read_exactly(&mut *transport.reader, 10), b"last words");
        write_all(&mut *transport.writer, b"x");
        let expected = format!("the server exited with status {status}");
        assert_eq!(read_the_end(&mut transport).to_string(), expected);
        assert_eq!(write_the_end(&mut transport).to_string(), expected);
    }
}

#[test]
fn to_exit_without_failure_is_orderly() {
    let _watchdog = Watchdog::new("an orderly exit".to_owned());
    let mut transport = connect("exit", "0");
    write_all(&mut *transport.writer, b"x");
    assert_eq!(crate::waiting::read_to_end(&mut *transport.reader), b"last words");
    let error = write_the_end(&mut transport);
    assert_eq!(error.to_string(), "the server exited with status 0");
}

/// A client in a process of its own, whose child is a witness that meets the test at `about`.
pub(super) fn be_a_client(about: &str) {
    let (path, how) = about.split_once(' ').unwrap();
    let mut transport = connect("witness", path);
    let endlessly = vec![b'x'; 5000];
    loop {
        match how {
            "busy" => drop(write_some(&mut *transport.writer, &[IoSlice::new(&endlessly)])),
            _ => drop(read_some(&mut *transport.reader, &mut Vec::new(), 1)),
        }
    }
}

/// The child of such a client.
pub(super) fn be_a_witness(about: &str) {
    let parent = std::os::unix::process::parent_id();
    let mut transport = serve();
    // A client that has ended meanwhile is not mistaken for whoever has us now.
    assert!(transport.peer.pid.is_none_or(|pid| pid == parent), "{:?}", transport.peer);
    assert_eq!(transport.peer.uid, Some(nix::unistd::geteuid().as_raw()));
    assert_eq!(transport.peer.known_by, "parent process");
    let test = meet(about);
    say(&test, b'!');
    let mut bytes = Vec::new();
    while read_some(&mut *transport.reader, &mut bytes, 1000).is_ok_and(|count| count > 0) {
        bytes.clear();
    }
    say(&test, b'e');
}

fn assert_witnessed_soon(how: &str) {
    let _watchdog = Watchdog::new(format!("the death of a client that is {how}"));
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let (meeting, path) = Meeting::new();
        let mut client = Child::spawn("launching-client", &format!("{path} {how}"));
        let witness: UnixStream = meeting.accept();
        assert_eq!(hear(&witness), Some(b'!'));
        let killed = Instant::now();
        client.kill();
        assert_eq!(hear(&witness), Some(b'e'));
        took.push(killed.elapsed());
        // It ends by itself: nobody is there to wait for it.
        assert_eq!(hear(&witness), None);
        drop(client);
        if took.last().is_some_and(|took| *took < SOON) {
            return;
        }
    }
    panic!("the death was seen after {took:?}, and should have been within {SOON:?}");
}

#[test]
fn a_child_learns_of_the_death_of_an_idle_client() {
    assert_witnessed_soon("idle");
}

#[test]
fn a_child_learns_of_the_death_of_a_busy_client() {
    assert_witnessed_soon("busy");
}

#[test]
fn a_child_that_is_named_by_a_role_is_what_it_seems() {
    // The shell in front of it has been replaced: the process that dies is the server.
    let _watchdog = Watchdog::new("what a child is".to_owned());
    let mut transport = connect_to(&launch("idle", ""));
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
    let program = std::fs::read_link(format!("/proc/{}/exe", pid(&transport))).unwrap();
    assert_eq!(program, std::env::current_exe().unwrap());
}
