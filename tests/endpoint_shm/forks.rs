//! Children that are forked: a connection is not theirs, and they can have their own.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

use ipcall::transport::{Connector, Transport};

use crate::support::{Subject, Watchdog};
use crate::turn;

/// The two ends of a connection.
fn connected(subject: &Subject) -> (Transport, Transport) {
    let (mut listener, endpoint) = subject.endpoint().bind_resolved().unwrap();
    let client = endpoint.try_connect().unwrap();
    (listener.try_accept().unwrap(), client)
}

fn read(transport: &mut Transport) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(64);
    transport.reader.try_read(&mut buffer, 64).map(|_| buffer)
}

#[test]
fn a_forked_child_cannot_use_the_connection_and_does_not_end_it() {
    let _turn = turn();
    let _watchdog = Watchdog::new("a forked child".to_owned());
    let subject = Subject::named("shm");
    let (mut server, mut client) = connected(&subject);
    assert_eq!(read(&mut client).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let mut command = Command::new("true");
    let halves = Mutex::new((client.reader, client.writer));
    let in_child = move || {
        let (reader, writer) = &mut *halves.lock().unwrap();
        let mut buffer = Vec::with_capacity(64);
        let read = reader.try_read(&mut buffer, 64).unwrap_err();
        let written = writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
        assert!(!reader.arm() && !writer.arm());
        writeln!(there, "{read}\n{written}")
    };
    // SAFETY: between fork and exec the child uses the connection, writes a line, and allocates, which glibc
    // makes safe after a fork.
    unsafe { command.pre_exec(in_child) };
    assert!(command.spawn().unwrap().wait().unwrap().success());
    // The parent still has the halves, in `command`.
    server.writer.try_write(&[IoSlice::new(b"still here")]).unwrap();
    assert_eq!(read(&mut server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(command);
    let mut said = String::new();
    here.read_to_string(&mut said).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.contains("forked")), "{said}");
    // Dropped here, it is over.
    assert_eq!(read(&mut server).unwrap(), b"");
}

#[test]
fn a_child_connects_anew() {
    let _turn = turn();
    let _watchdog = Watchdog::new("a child that connects".to_owned());
    let subject = Subject::named("shm");
    let (mut listener, endpoint) = subject.endpoint().bind_resolved().unwrap();
    let _parents = endpoint.try_connect().unwrap();
    let mut parents = listener.try_accept().unwrap();
    let mut command = Command::new("true");
    let again = endpoint.clone();
    let in_child = move || {
        let mut client = again.try_connect().map_err(io::Error::other)?;
        // Left to the kernel to close, as by a process that is killed.
        let _ = client.writer.try_write(&[IoSlice::new(b"x")]);
        std::mem::forget(client);
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(in_child) };
    assert!(command.spawn().unwrap().wait().unwrap().success());
    // It has gone before it could be accepted, which concerns nobody else.
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    let _next = endpoint.try_connect().unwrap();
    listener.try_accept().unwrap();
    assert_eq!(read(&mut parents).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
