//! Children that are forked: they cannot use the connection, do not end it, and may make their own. In a
//! process where nobody else holds a lock while it forks.

use std::io::{self, IoSlice};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use ipcall::transport::{Binder, Connector, Listening, Transport};

use crate::endpoint;
use crate::support::role::Process;
use crate::support::scratch::Scratch;

#[test]
fn a_forked_child_has_no_part_in_the_connection() {
    let scratch = Scratch::new();
    let place = scratch.path().join("a");
    assert!(Process::start("forker", place.to_str().unwrap()).wait().success(), "see above");
}

pub(crate) fn fork(place: &Path) {
    let Listening { mut listener, .. } = endpoint(place).bind().unwrap();
    let client = endpoint(place).try_connect().unwrap();
    let mut server = listener.try_accept().unwrap();

    let client = use_in_a_child(client);
    assert_eq!(server.writer.try_write(&[IoSlice::new(b"still here")]).unwrap(), 10);
    assert_eq!(read(&mut server).unwrap_err().kind(), io::ErrorKind::WouldBlock);

    connect_in_a_child(place);
    // It has gone before it could be accepted, which concerns nobody else.
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(place.exists());
    let mut next = endpoint(place).try_connect().unwrap();
    let mut accepted = listener.try_accept().unwrap();
    assert_eq!(next.writer.try_write(&[IoSlice::new(b"next")]).unwrap(), 4);
    assert_eq!(read(&mut accepted).unwrap(), b"next");

    assert_eq!(read(&mut server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(client);
    // Here it is over; that is told by the thread of this process, as ever.
    while server.reader.arm() {}
    assert_eq!(read(&mut server).unwrap(), b"");
}

/// Uses and drops it in a child. What is given still has the parent's halves.
fn use_in_a_child(client: Transport) -> Command {
    let mut command = Command::new("true");
    let halves = Mutex::new(Some((client.reader, client.writer)));
    let in_child = move || {
        let Some((mut reader, mut writer)) = halves.lock().unwrap().take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let read = reader.try_read(&mut Vec::with_capacity(64), 64).unwrap_err();
        let written = writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
        assert!(!reader.arm() && !writer.arm());
        assert!([read, written].iter().all(|error| error.to_string().contains("forked")));
        drop((reader, writer));
        Ok(())
    };
    // SAFETY: between fork and exec the child uses and drops the connection, and allocates, which glibc makes
    // safe after a fork.
    unsafe { command.pre_exec(in_child) };
    assert!(command.spawn().unwrap().wait().unwrap().success());
    command
}

/// Connects in a child, and leaves it to the kernel to close that.
fn connect_in_a_child(place: &Path) {
    let endpoint = endpoint(place);
    let mut command = Command::new("true");
    let in_child = move || {
        let mut client = endpoint.try_connect().map_err(io::Error::other)?;
        client.writer.try_write(&[IoSlice::new(b"x")])?;
        std::mem::forget(client);
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(in_child) };
    assert!(command.spawn().unwrap().wait().unwrap().success());
}

fn read(transport: &mut Transport) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(64);
    transport.reader.try_read(&mut buffer, 64).map(|_| buffer)
}
