//! Where the client starts the server: real children, in whose place some tests hold the other end.

mod collisions;
mod deaths;
mod endings;
pub(crate) mod lending;
mod starting;
mod stdio;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use ipcall_core::transport::{Connector, Transport};
use ipcall_transports::{Endpoint, Launch};

use crate::roles::launch;
use crate::scratch::Scratch;
use crate::subject::{accept, bind};
use crate::waiting::{read_some, write_all};

/// Connects to a child that plays `role`.
fn connect(role: &str, about: &str) -> Transport {
    connect_to(&launch(role, about))
}

fn connect_to(launch: &Launch) -> Transport {
    Endpoint::launching(launch).unwrap().try_connect().unwrap()
}

/// The child's end of its connection.
fn serve() -> Transport {
    let mut listener = bind(&Endpoint::inherited());
    accept(&mut *listener)
}

/// Gives back what comes, until the end.
fn echo(mut transport: Transport) {
    let mut bytes = Vec::new();
    while read_some(&mut *transport.reader, &mut bytes, 64 << 10).is_ok_and(|count| count > 0) {
        write_all(&mut *transport.writer, &bytes);
        bytes.clear();
    }
}

/// The pid of the child at the other end.
fn pid(transport: &Transport) -> u32 {
    assert_eq!(transport.peer.known_by, "child process");
    transport.peer.pid.unwrap()
}

/// A word between a test and a process that is not its child, over a socket.
struct Meeting {
    _scratch: Scratch,
    listener: UnixListener,
}

impl Meeting {
    fn new() -> (Self, String) {
        let scratch = Scratch::new();
        let path = scratch.path().join("meeting");
        let listener = UnixListener::bind(&path).unwrap();
        (Self { _scratch: scratch, listener }, path.to_str().unwrap().to_owned())
    }

    /// The process that has come.
    fn accept(self) -> UnixStream {
        let (stream, _) = self.listener.accept().unwrap();
        std::fs::remove_file(self.listener.local_addr().unwrap().as_pathname().unwrap()).unwrap();
        stream
    }
}

fn meet(path: &str) -> UnixStream {
    UnixStream::connect(Path::new(path)).unwrap()
}

/// The next byte that the other side says; `None` when it has gone.
fn hear(mut stream: &UnixStream) -> Option<u8> {
    let mut byte = [0];
    matches!(stream.read(&mut byte), Ok(1)).then_some(byte[0])
}

fn say(mut stream: &UnixStream, byte: u8) {
    stream.write_all(&[byte]).unwrap();
}

/// Plays a role in a process of its own.
pub(crate) fn play(role: &str, about: &str) {
    match role {
        "lender" => lending::lend(about),
        "echo" => echo(serve()),
        "idle" => deaths::be_idle(),
        "deaf" => deaths::be_deaf(),
        "exit" => deaths::exit(about),
        "heir" => deaths::start_an_heir(about),
        "launching-client" => deaths::be_a_client(about),
        "witness" => deaths::be_a_witness(about),
        "stubborn" => endings::be_stubborn(about),
        "launching-audit" => endings::audit(),
        "ended-host" => endings::end_without_waiting(about),
        "deadly-sigpipe" => endings::write_with_deadly_sigpipe(),
        "ignoring" => endings::ignore_children(),
        "collisions" => collisions::connect_with_taken_numbers(),
        "report" => starting::report(),
        "not-started" => starting::bind_without_a_client(about),
        "twice" => starting::bind_twice(),
        "stdio-echo" => stdio::be_an_echo(),
        "stdio-misled" => stdio::bind_what_is_no_client(about),
        other => panic!("nobody has written the role {other}"),
    }
}
