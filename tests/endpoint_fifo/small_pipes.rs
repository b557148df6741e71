//! A user whose pipes hold as much as they may together gets new ones of one or two pages.

use std::fs::Permissions;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use ipcall::transport::{Binder, Connector, Interest, Transport};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::roles::Process;
use crate::support::raw::sleep;
use crate::support::scratch::Scratch;
use crate::support::{Serving, Waits};
use crate::{EchoBlockingClient, echo, endpoint};

#[test]
fn small_pipes_are_enough() {
    let scratch = Scratch::new();
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
    let directory = scratch.path().join("small");
    let about = directory.to_str().unwrap();
    // Root's pipes are as large as it likes.
    if let Some(poor) = Process::start_as_somebody_else("poor", about) {
        assert!(poor.wait().success(), "see above");
    }
    assert!(!directory.exists());
}

pub(crate) fn live_with_small_pipes(directory: &Path) {
    let _hoard = hoard();
    let place = endpoint(&directory.join("raw"));
    let mut listener = place.bind().unwrap().listener;
    let client = place.try_connect().unwrap();
    let Transport { reader, .. } = &client;
    assert!(size(reader.as_fd()) <= 8192, "{} bytes", size(reader.as_fd()));
    let server = listener.try_accept().unwrap();
    both_directions_at_once(client, server);

    for waits in Waits::ALL {
        let place = endpoint(&directory.join("served"));
        let _serving = Serving::start(waits, echo(), &place);
        let client = EchoBlockingClient::connect(&place).unwrap();
        for size in [0, 1, 4095, 4096, 4097, 64 << 10, 3 << 20] {
            let data = vec![7; size];
            assert_eq!(client.echo(data.clone()).unwrap(), data);
        }
    }
    drop(listener);
}

fn both_directions_at_once(client: Transport, server: Transport) {
    const SIZE: usize = 1 << 20;
    thread::scope(|scope| {
        for (mut writer, mut reader) in
            [(client.writer, server.reader), (server.writer, client.reader)]
        {
            scope.spawn(move || {
                let sent = vec![9; SIZE];
                let mut rest = &sent[..];
                while !rest.is_empty() {
                    match writer.try_write(&[IoSlice::new(rest)]) {
                        Ok(count) => rest = &rest[count..],
                        Err(_) => assert!(sleep(writer.as_fd(), writer.interest(), None)),
                    }
                }
            });
            scope.spawn(move || {
                let mut come = Vec::with_capacity(SIZE + 1);
                loop {
                    let limit = come.capacity() - come.len();
                    match reader.try_read(&mut come, limit) {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(_) => assert!(sleep(reader.as_fd(), Interest::Readable, None)),
                    }
                }
                assert!(come == [9; SIZE]);
            });
        }
    });
}

/// Pipes that hold all that a user's may.
fn hoard() -> Vec<(OwnedFd, OwnedFd)> {
    let mut hoard = Vec::new();
    loop {
        let pipe = pipe2(OFlag::O_CLOEXEC).unwrap();
        if size(&pipe.0) <= 8192 {
            return hoard;
        }
        // The largest that one may be is a mebibyte, as a rule.
        let _ = fcntl(&pipe.0, FcntlArg::F_SETPIPE_SZ(1 << 20));
        hoard.push(pipe);
    }
}

fn size(pipe: impl std::os::fd::AsFd) -> i32 {
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap()
}
