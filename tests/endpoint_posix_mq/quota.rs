//! How many clients fit, and what the one hears that does not.

use std::fs;
use std::io::{self, IoSlice};

use ipcall::ErrorKind;
use ipcall::transport::{Binder, Connector, Transport};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::support::assert_kind;
use crate::support::scratch::Scratch;
use crate::{assert_works, become_nobody, begin, connect, endpoint, read, run};

/// What a user may take for queues by default, in bytes.
const DEFAULT_QUOTA: u64 = 819_200;

#[test]
fn the_client_that_does_not_fit_learns_why_and_nobody_else_does() {
    let _held = begin("quota");
    run("quota", "");
}

pub(crate) fn fill_the_quota() {
    become_nobody();
    let (_, hard) = getrlimit(Resource::RLIMIT_MSGQUEUE).unwrap();
    setrlimit(Resource::RLIMIT_MSGQUEUE, DEFAULT_QUOTA.min(hard), hard).unwrap();
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    let mut pairs = Vec::new();
    let error = loop {
        match at.try_connect() {
            Ok(client) => pairs.push([listener.try_accept().unwrap(), client]),
            Err(error) => break error,
        }
    };
    if hard >= DEFAULT_QUOTA {
        assert!(pairs.len() >= 16, "{} clients fit", pairs.len());
        let told = |what: &str, limit, needed| {
            what.contains("RLIMIT_MSGQUEUE") && limit == DEFAULT_QUOTA && needed == 33_152
        };
        assert_kind!(
            error,
            ErrorKind::QuotaExceeded { what, limit, needed } if told(what, *limit, *needed)
        );
    }
    assert_eq!(error.endpoint(), Some(at.uri()));
    let is_would_block = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    assert!(listener.try_accept().map(drop).is_err_and(is_would_block));
    pairs.iter_mut().for_each(assert_works);
    // One goes, and the next one fits.
    drop(pairs.pop());
    pairs.push(connect(&mut *listener, &at));
    pairs.iter_mut().for_each(assert_works);
}

/// A machine that allows only this much, as far as this process sees: the limits belong to the IPC
/// namespace. `false` if this process may not make one.
fn on_a_machine_with(limits: &[(&str, u32)]) -> bool {
    if unshare(CloneFlags::CLONE_NEWIPC).is_err() {
        return false;
    }
    for (name, value) in limits {
        fs::write(format!("/proc/sys/fs/mqueue/{name}"), value.to_string()).unwrap();
    }
    // Root may go beyond some of them.
    become_nobody();
    true
}

#[test]
fn queues_are_as_large_as_the_machine_allows() {
    let _held = begin("small");
    run("small", "1 128");
    run("small", "3 1000");
}

pub(crate) fn pass_through_small_queues(about: &str) {
    let (messages, size) = about.split_once(' ').unwrap();
    let limits = [("msg_max", messages.parse().unwrap()), ("msgsize_max", size.parse().unwrap())];
    if !on_a_machine_with(&limits) {
        return;
    }
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    // More than the rendezvous has room for.
    let clients: Vec<_> = (0..5).map(|_| at.try_connect().unwrap()).collect();
    let mut servers: Vec<_> = clients.iter().map(|_| listener.try_accept().unwrap()).collect();
    drop(clients);
    servers.iter_mut().for_each(|server| assert_eq!(read(server).unwrap(), b""));

    let [mut server, client] = connect(&mut *listener, &at);
    let sent: Vec<u8> = (0..20_000_u32).map(|number| (number / 7) as u8).collect();
    let Transport { mut writer, reader: _reader, .. } = client;
    let (mut written, mut came) = (0, Vec::new());
    while came.len() < sent.len() {
        written += writer.try_write(&[IoSlice::new(&sent[written..])]).unwrap_or(0);
        came.extend(read(&mut server).unwrap());
    }
    assert_eq!(came, sent);
    drop(writer);
    assert_eq!(read(&mut server).unwrap(), b"");
}

#[test]
fn a_machine_without_room_for_a_queue_is_told_from_a_user_without() {
    let _held = begin("few");
    run("few", "");
}

pub(crate) fn run_out_of_queues() {
    if !on_a_machine_with(&[("queues_max", 3)]) {
        return;
    }
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    let mut pair = connect(&mut *listener, &at);
    let error = at.try_connect().unwrap_err();
    let told = |what: &str| what.contains("fs.mqueue.queues_max");
    assert_kind!(
        error,
        ErrorKind::QuotaExceeded { what, limit: 3, needed: 2 } if told(what)
    );
    assert_works(&mut pair);
    // Of the half pair that fitted, nothing is left.
    drop(pair);
    assert_works(&mut connect(&mut *listener, &at));
}

#[test]
fn the_umask_does_not_matter() {
    let _held = begin("umask");
    run("umask", "");
}

pub(crate) fn connect_under_a_umask() {
    become_nobody();
    let scratch = Scratch::new();
    umask(Mode::from_bits_truncate(0o777));
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    assert_works(&mut connect(&mut *listener, &at));
}
