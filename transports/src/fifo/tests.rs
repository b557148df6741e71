#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, DirBuilder};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcall_core::Settings;
use ipcall_core::transport::Listener as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

/// A private directory. Dropping it removes it, and finds what was left in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipcall-fifo-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn entries(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }

    fn address(&self) -> Address {
        let path = self.0.join("name");
        Address { path, directory: self.0.clone(), name: OsString::from("name") }
    }

    fn bind(&self) -> Listener {
        Listener::bind(&self.address(), &Settings::default()).unwrap()
    }

    fn connect(&self) -> Transport {
        connect(&self.address()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let left = self.entries();
        fs::remove_dir_all(&self.0).unwrap();
        if !std::thread::panicking() {
            assert_eq!(left, 0, "left behind in {}", self.0.display());
        }
    }
}

fn is_quiet(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 0
}

fn wait(fd: BorrowedFd<'_>) {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
}

fn read(end: &mut Transport) -> io::Result<usize> {
    end.reader.try_read(&mut Vec::with_capacity(16), 16)
}

fn write(end: &mut Transport) -> io::Result<usize> {
    end.writer.try_write(&[IoSlice::new(b"hello")])
}

fn kind(result: io::Result<usize>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_client_not_yet_accepted_waits_quietly() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let mut client = scratch.connect();
    for _ in 0..3 {
        assert_eq!(kind(read(&mut client)), io::ErrorKind::WouldBlock);
        assert_eq!(kind(write(&mut client)), io::ErrorKind::WouldBlock);
        assert!(client.reader.arm() && is_quiet(client.reader.as_fd()));
        assert!(client.writer.arm() && is_quiet(client.writer.as_fd()));
    }
    assert_eq!(scratch.entries(), 2);
    let mut server = listener.try_accept().unwrap();
    assert_eq!(scratch.entries(), 1, "the pair has no names any more");
    wait(client.reader.as_fd());
    wait(client.writer.as_fd());
    assert_eq!(kind(read(&mut client)), io::ErrorKind::WouldBlock);
    assert_eq!(write(&mut client).unwrap(), 5);
    assert_eq!(read(&mut server).unwrap(), 5);
    assert!(is_quiet(client.reader.as_fd()) && is_quiet(server.reader.as_fd()));
    assert!(is_quiet(listener.as_fd()));
}

#[test]
fn either_half_finds_out_for_both() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    for reader_first in [true, false] {
        let mut client = scratch.connect();
        let mut server = listener.try_accept().unwrap();
        if reader_first {
            assert_eq!(kind(read(&mut client)), io::ErrorKind::WouldBlock);
        }
        assert_eq!(write(&mut client).unwrap(), 5);
        assert_eq!(write(&mut server).unwrap(), 5);
        assert_eq!(read(&mut client).unwrap(), 5);
    }
}

/// What is left of a listener whose process was killed.
fn kill(listener: Listener) {
    listener.close_without_a_trace();
}

#[test]
fn a_server_killed_before_it_accepts_is_seen_by_the_writing_half() {
    let scratch = Scratch::new();
    let listener = scratch.bind();
    let mut client = scratch.connect();
    assert_eq!(kind(write(&mut client)), io::ErrorKind::WouldBlock);
    kill(listener);
    wait(client.writer.as_fd());
    assert!(is_quiet(client.reader.as_fd()));
    for _ in 0..3 {
        assert_eq!(kind(write(&mut client)), io::ErrorKind::ConnectionReset);
    }
    // And now also by the other.
    wait(client.reader.as_fd());
    assert_eq!(kind(read(&mut client)), io::ErrorKind::ConnectionReset);
    assert_eq!(scratch.entries(), 1, "the client has removed its pair");
    drop(scratch.bind());
}

#[test]
fn a_server_closed_before_it_accepts_is_seen_by_both_halves() {
    let scratch = Scratch::new();
    let listener = scratch.bind();
    let mut clients = [scratch.connect(), scratch.connect()];
    drop(listener);
    assert_eq!(scratch.entries(), 0);
    let [one, other] = &mut clients;
    wait(one.reader.as_fd());
    assert_eq!(kind(read(one)), io::ErrorKind::ConnectionReset);
    wait(other.writer.as_fd());
    assert_eq!(kind(write(other)), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_has_gone_before_it_is_accepted_is_passed_over() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    for _ in 0..10 {
        drop(scratch.connect());
    }
    assert_eq!(scratch.entries(), 1);
    let mut client = scratch.connect();
    let mut server = listener.try_accept().unwrap();
    assert_eq!(write(&mut client).unwrap(), 5);
    assert_eq!(read(&mut server).unwrap(), 5);
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(is_quiet(listener.as_fd()));
}

#[test]
fn halves_closed_before_they_are_accepted_are_seen_afterwards() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let Transport { reader, writer, .. } = scratch.connect();
    drop(writer);
    let mut server = listener.try_accept().unwrap();
    wait(server.reader.as_fd());
    assert_eq!(read(&mut server).unwrap(), 0);
    assert_eq!(write(&mut server).unwrap(), 5);
    drop(reader);
    assert_eq!(kind(write(&mut server)), io::ErrorKind::BrokenPipe);

    let Transport { reader, mut writer, .. } = scratch.connect();
    drop(reader);
    let mut server = listener.try_accept().unwrap();
    assert_eq!(writer.try_write(&[IoSlice::new(b"hello")]).unwrap(), 5);
    assert_eq!(kind(write(&mut server)), io::ErrorKind::BrokenPipe);
    assert_eq!(read(&mut server).unwrap(), 5);
}

/// The end that was there before the server opened its end must be shown behind a read that was short.
#[test]
fn the_end_of_a_client_that_closed_early_is_shown() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let Transport { reader, writer, .. } = scratch.connect();
    drop(writer);
    let server = listener.try_accept().unwrap();
    assert!(!is_quiet(server.reader.as_fd()));
    drop(reader);
}

#[test]
fn garbage_in_the_rendezvous_is_read_past() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let rendezvous = fs::OpenOptions::new().write(true).open(scratch.path().join("name")).unwrap();
    for garbage in [&b"hello\n"[..], b"ipcfifo\x01", &[0; 3000], b"ipcf"] {
        let mut rendezvous = &rendezvous;
        io::Write::write_all(&mut rendezvous, garbage).unwrap();
        let mut client = scratch.connect();
        let mut server = loop {
            match listener.try_accept() {
                Ok(server) => break server,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted),
            }
        };
        assert_eq!(write(&mut client).unwrap(), 5);
        assert_eq!(read(&mut server).unwrap(), 5);
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(is_quiet(listener.as_fd()));
    }
    drop(rendezvous);
    assert!(is_quiet(listener.as_fd()), "the last writer but the server's own has gone");
}

/// Locks are between processes; see the tests with two.
#[test]
fn within_one_process_the_user_is_known() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let client = scratch.connect();
    let server = listener.try_accept().unwrap();
    for end in [client, server] {
        assert_eq!(end.peer.uid, Some(geteuid().as_raw()));
        assert_eq!((end.peer.pid, end.peer.known_by), (None, "owner of its FIFO"));
    }
}

#[test]
fn a_server_that_answers_something_else_is_not_believed() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let mut client = scratch.connect();
    listener.answer_with(b"\x02");
    assert_eq!(kind(read(&mut client)), io::ErrorKind::ConnectionReset);
    assert_eq!(kind(write(&mut client)), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_server_that_dies_between_opening_and_accepting_is_seen() {
    let scratch = Scratch::new();
    let mut listener = scratch.bind();
    let mut client = scratch.connect();
    listener.answer_with(b"");
    wait(client.reader.as_fd());
    assert_eq!(kind(read(&mut client)), io::ErrorKind::ConnectionReset);
    wait(client.writer.as_fd());
    assert_eq!(kind(write(&mut client)), io::ErrorKind::ConnectionReset);
}
