#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::*;

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap()
}

/// A pipe of one page, as a user with many gets it.
fn small_pipe() -> (Reader, Writer) {
    let (reading, writing) = pipe();
    assert_eq!(fcntl(&writing, FcntlArg::F_SETPIPE_SZ(1)).unwrap(), 4096);
    (Reader::new(reading), Writer::with_fixed_size(writing))
}

fn wait(half: &impl AsFd, flags: PollFlags) -> PollFlags {
    let mut polled = [PollFd::new(half.as_fd(), flags)];
    poll(&mut polled, PollTimeout::NONE).unwrap();
    polled[0].revents().unwrap()
}

fn is_quiet(half: &impl AsFd, flags: PollFlags) -> bool {
    poll(&mut [PollFd::new(half.as_fd(), flags)], PollTimeout::ZERO).unwrap() == 0
}

fn is_would_block(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn send(writer: &mut Writer, mut bytes: &[u8], chunk: usize) {
    while !bytes.is_empty() {
        match writer.try_write(&[IoSlice::new(&bytes[..chunk.min(bytes.len())])]) {
            Ok(count) => bytes = &bytes[count..],
            result => {
                assert!(is_would_block(&result), "{result:?}");
                wait(writer, PollFlags::POLLOUT);
            }
        }
    }
}

fn receive(reader: &mut Reader, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(limit);
        match reader.try_read(&mut bytes, limit) {
            Ok(0) => return bytes,
            Ok(count) if count == limit => {}
            // Short: nothing more was there.
            result => {
                assert!(result.is_ok() || is_would_block(&result), "{result:?}");
                wait(reader, PollFlags::POLLIN);
            }
        }
    }
}

#[test]
fn a_pipe_of_one_page_carries_any_stream() {
    let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for (chunk, limit) in [(4096, 4096), (4000, 1000), (100_000, 50_000), (5000, 4097), (3, 70_000)]
    {
        let (mut reader, mut writer) = small_pipe();
        let sent = if chunk < 100 { &sent[..50_000] } else { &sent[..] };
        thread::scope(|scope| {
            scope.spawn(move || send(&mut writer, sent, chunk));
            assert!(receive(&mut reader, limit) == sent, "chunk {chunk}, limit {limit}");
        });
    }
}

#[test]
fn a_pipe_that_was_full_is_enlarged() {
    let (reading, writing) = pipe();
    let (mut reader, mut writer) = (Reader::new(reading), Writer::new(writing));
    assert_eq!(writer.try_write(&[IoSlice::new(&[1; 1000])]).unwrap(), 1000);
    assert_eq!(fcntl(&writer, FcntlArg::F_GETPIPE_SZ).unwrap(), 64 << 10);
    let mut written = 1000;
    while let Ok(count) = writer.try_write(&[IoSlice::new(&[1; 10_000])]) {
        written += count;
    }
    assert_eq!(fcntl(&writer, FcntlArg::F_GETPIPE_SZ).unwrap(), ENLARGED);
    assert!(written > 200_000, "{written}");
    drop(writer);
    assert_eq!(receive(&mut reader, 10_000).len(), written);
}

#[test]
fn the_end_behind_the_last_bytes_is_shown_after_a_short_read() {
    let (mut reader, mut writer) = small_pipe();
    assert!(is_quiet(&reader, PollFlags::POLLIN));
    assert!(is_would_block(&reader.try_read(&mut Vec::with_capacity(1), 1)));
    writer.try_write(&[IoSlice::new(b"last words")]).unwrap();
    drop(writer);
    let mut bytes = Vec::with_capacity(100);
    assert_eq!(reader.try_read(&mut bytes, 100).unwrap(), 10);
    assert!(wait(&reader, PollFlags::POLLIN).contains(PollFlags::POLLHUP));
    for _ in 0..3 {
        assert_eq!(reader.try_read(&mut bytes, 50).unwrap(), 0);
    }
}

#[test]
fn a_full_writer_is_told_that_nobody_reads_any_more() {
    let (reader, mut writer) = small_pipe();
    assert_eq!(writer.try_write(&[IoSlice::new(&[0; 5000])]).unwrap(), 4096);
    assert!(is_would_block(&writer.try_write(&[IoSlice::new(&[0; 5000])])));
    assert!(is_quiet(&writer, PollFlags::POLLOUT));
    drop(reader);
    assert!(wait(&writer, PollFlags::POLLOUT).contains(PollFlags::POLLERR));
    let error = writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
