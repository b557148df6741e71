//! What a killed server and killed clients leave, and who removes it.

use std::path::Path;
use std::{fs, io};

use ipcall::transport::{Binder, Connector, Interest, Transport};
use ipcall::{Endpoint, ErrorKind};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, mq_close, mq_open};
use nix::sys::stat::Mode;

use crate::support::role::{Control, Process};
use crate::support::scratch::Scratch;
use crate::support::{assert_kind, raw};
use crate::{assert_works, begin, connect, endpoint, read, write};

/// A server that accepts when it is told to.
pub(crate) fn serve(about: &str, mut control: Control) {
    let mut listener = Endpoint::parse(about).unwrap().bind().unwrap().listener;
    control.say("listening");
    let mut clients = Vec::new();
    while control.hear().is_some() {
        clients.push(listener.try_accept().unwrap());
        control.say("accepted");
    }
}

/// A client that writes when it is told to, and stays until it is killed.
pub(crate) fn call(about: &str, mut control: Control) {
    let mut transport = Endpoint::parse(about).unwrap().try_connect().unwrap();
    control.say("connected");
    while control.hear().is_some() {
        write(&mut transport, b"last");
        write(&mut transport, b"words");
        control.say("written");
    }
}

/// The names of the queues that the key file knows of.
pub(crate) fn names_in(key: &Path) -> Vec<String> {
    let bytes = fs::read(key).unwrap();
    let (header, table) = bytes.split_at(128);
    let nonce = std::str::from_utf8(header).unwrap().split(' ').nth(3).unwrap();
    let ids = table.chunks(8).map(|id| u64::from_le_bytes(id.try_into().unwrap()));
    let pairs = ids
        .filter(|id| *id != 0)
        .flat_map(|id| [format!("/ipcall-{id:016x}-up"), format!("/ipcall-{id:016x}-down")]);
    std::iter::once(format!("/ipcall-{nonce}")).chain(pairs).collect()
}

pub(crate) fn open(name: &str, flag: MQ_OFlag) -> nix::Result<()> {
    mq_open(name, flag | MQ_OFlag::O_NONBLOCK | MQ_OFlag::O_CLOEXEC, Mode::empty(), None)
        .map(|queue| mq_close(queue).unwrap())
}

fn is_there(name: &str) -> bool {
    open(name, MQ_OFlag::O_RDONLY) != Err(Errno::ENOENT)
}

#[test]
fn what_a_killed_client_has_written_arrives_before_the_error() {
    let _held = begin("killed client");
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    let mut client = Process::start("client", at.uri());
    assert_eq!(client.hear(), "connected");
    let mut server = listener.try_accept().unwrap();
    assert_eq!(server.peer.pid, Some(client.id()));
    client.say("write");
    assert_eq!(client.hear(), "written");
    assert_eq!(read(&mut server).unwrap(), b"last");
    let id = client.id();
    client.kill();
    assert_eq!(read(&mut server).unwrap(), b"words");
    for _ in 0..3 {
        sleep(&mut server);
        let error = read(&mut server).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains(&format!("process {id}, has ended")), "{error}");
    }
}

#[test]
fn a_client_killed_before_it_is_accepted_is_cleaned_up() {
    let _held = begin("killed early");
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    let mut client = Process::start("client", at.uri());
    assert_eq!(client.hear(), "connected");
    client.kill();
    let names = names_in(&scratch.path().join("queue"));
    assert_eq!(names.iter().filter(|name| is_there(name)).count(), 3);
    let error = listener.try_accept().map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(names.iter().filter(|name| is_there(name)).count(), 1);
    drop(listener);
    assert!(!names.iter().any(|name| is_there(name)));
}

#[test]
fn the_next_server_removes_what_a_dead_one_and_its_clients_have_left() {
    let _held = begin("killed server");
    let scratch = Scratch::new();
    let key = scratch.path().join("queue");
    let at = endpoint(&key);
    let mut server = Process::start("server", at.uri());
    assert_eq!(server.hear(), "listening");
    let start_client = || {
        let mut client = Process::start("client", at.uri());
        assert_eq!(client.hear(), "connected");
        client
    };
    let accepted = start_client();
    server.say("accept");
    assert_eq!(server.hear(), "accepted");
    let waiting = [start_client(), start_client()];
    server.kill();
    waiting.into_iter().for_each(Process::kill);

    assert_kind!(at.try_connect().unwrap_err(), ErrorKind::ServerAbsent { .. });
    let names = names_in(&key);
    assert_eq!(names.len(), 1 + 3 * 2);
    assert_eq!(names.iter().filter(|name| is_there(name)).count(), 1 + 2 * 2);
    let mut listener = at.bind().unwrap().listener;
    assert!(!names.iter().any(|name| is_there(name)));
    // The client of the dead server keeps its slot, and nobody is disturbed by that.
    assert_works(&mut connect(&mut *listener, &at));
    assert_ne!(names_in(&key)[0], names[0]);
    drop(accepted);
    drop(listener);
    assert!(!key.exists());
}

fn sleep(transport: &mut Transport) {
    if transport.reader.arm() {
        raw::sleep(transport.reader.as_fd(), Interest::Readable, None);
    }
}
