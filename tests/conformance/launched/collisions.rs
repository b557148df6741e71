//! The numbers 3 and 4 may be taken in the client, by anything, or be those of the pipes themselves.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ipcall_transports::{Launch, await_launched};

use super::connect_to;
use crate::bytes::{assert_same, stream};
use crate::roles::Child;
use crate::waiting::{read_exactly, write_all};

#[test]
fn a_child_gets_its_pipes_whatever_numbers_they_have() {
    let (status, stderr) = Child::spawn("collisions", "").output();
    assert!(status.success(), "{stderr}");
}

/// In a process of its own, where numbers are as free as they can be.
pub(super) fn connect_with_taken_numbers() {
    talk();
    for free in 0..=6 {
        // The pipes' ends then have numbers from 0, 1, 2, ... on, as far as those are free.
        let files: Vec<_> = std::iter::repeat_with(|| File::open("/dev/null").unwrap())
            .take_while(|file| file.as_raw_fd() < free)
            .collect();
        talk();
        drop(files);
    }
    // Standard input and output closed, as some daemons are started.
    for number in [0, 1] {
        // SAFETY: nothing in this process uses the standard input or output.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    for _ in 0..3 {
        talk();
    }
    assert!(await_launched(std::time::Duration::from_secs(60)));
    // The test harness will want to print something.
    let nothing = File::open("/dev/null").unwrap();
    nix::unistd::dup2_stdin(&nothing).unwrap();
    nix::unistd::dup2_stdout(&nothing).unwrap();
}

fn talk() {
    let mut transport = connect_to(&Launch::new("sh").args(["-c", "cat <&3 >&4"]));
    let sent = stream(1, 0, 10_000);
    write_all(&mut *transport.writer, &sent);
    assert_same(&read_exactly(&mut *transport.reader, sent.len()), &sent);
}
