//! Pairs whose client's end is a connection to a child, and whose server's end is in this process: the
//! child lets this process open its two pipes, and closes them.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use ipcall_core::transport::{Peer, ReadHalf, Transport, WriteHalf};
use nix::fcntl::OFlag;

use super::{Meeting, connect, hear, meet, pid, say};
/// What the tables call it.
pub(crate) const SUBJECT: &str = "pipe to a child";
pub(crate) const SCHEME: &str = "pipe";

/// The server's end, and the client's.
pub(crate) fn pair() -> (Transport, Transport) {
    let (meeting, path) = Meeting::new();
    let client = connect("lender", &path);
    let control = meeting.accept();
    let end = |number: u32, reads: bool| {
        OpenOptions::new()
            .read(reads)
            .write(!reads)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(format!("/proc/{}/fd/{number}", pid(&client)))
            .unwrap()
    };
    let (reader, writer) = (end(3, true), end(4, false));
    say(&control, b't');
    assert_eq!(hear(&control), Some(b'c'));
    // The child lives until both halves have gone.
    let control = Arc::new(control);
    let server = Transport {
        reader: Box::new(Half(reader, Arc::clone(&control))),
        writer: Box::new(Half(writer, control)),
        peer: Peer::default(),
    };
    (server, client)
}

/// The child: has its pipes until they are taken.
pub(super) fn lend(about: &str) {
    let control = meet(about);
    assert_eq!(hear(&control), Some(b't'));
    for number in [3, 4] {
        nix::unistd::close(number).unwrap();
    }
    say(&control, b'c');
    assert_eq!(hear(&control), None);
    // A server ends after its pipe. Here the end of the pipe may take a moment, when other threads of the
    // test are just starting processes, which then have its descriptors until they are what they should be.
    std::thread::sleep(Duration::from_millis(200));
}

/// An end of a pipe, without anything to it.
struct Half(File, #[expect(dead_code, reason = "its end is a sign")] Arc<UnixStream>);

impl ReadHalf for Half {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let mut bytes = vec![0; limit];
        let count = self.0.read(&mut bytes)?;
        buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

impl WriteHalf for Half {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }
}

impl AsFd for Half {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
