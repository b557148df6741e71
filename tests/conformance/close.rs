//! Point 4: what was written before an orderly close arrives, then the end.

use std::io::{self, IoSlice};
use std::sync::mpsc::channel;
use std::thread;

use ipcall_core::transport::{Connector, Transport};
use ipcall_transports::Endpoint;

use crate::bytes::{assert_same, stream};
use crate::roles::Child;
use crate::subject::{Subject, accept};
use crate::waiting::{
    Want, fill, is_would_block, read_exactly, read_some, read_to_end, sleep, write_all, write_some,
};

/// The two ends of a connection, and the same the other way round.
fn both_ways(subject: &Subject) -> [(Transport, Transport); 2] {
    let (server, client) = subject.pair();
    let (other_server, other_client) = subject.pair();
    [(server, client), (other_client, other_server)]
}

/// Errors by which a writer learns that nobody reads any more.
fn says_nobody_reads(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

pub(crate) fn what_was_written_arrives_before_the_end(subject: &Subject) {
    for (mut closing, mut other) in both_ways(subject) {
        let written = fill(&mut *closing.writer, |start| stream(1, start, 5000));
        drop(closing);
        assert_same(&read_to_end(&mut *other.reader), &stream(1, 0, written));
    }
}

pub(crate) fn the_end_stays_the_end(subject: &Subject) {
    for (closing, mut other) in both_ways(subject) {
        drop(closing);
        for _ in 0..3 {
            assert_eq!(read_some(&mut *other.reader, &mut Vec::new(), 16).unwrap(), 0);
        }
    }
}

pub(crate) fn each_direction_ends_by_itself(subject: &Subject) {
    for (closing, mut other) in both_ways(subject) {
        let Transport { mut reader, mut writer, .. } = closing;
        write_all(&mut *writer, b"last words");
        drop(writer);
        assert_eq!(read_to_end(&mut *other.reader), b"last words");
        let answer = stream(1, 0, 100_000);
        thread::scope(|scope| {
            scope.spawn(|| {
                write_all(&mut *other.writer, &answer);
                drop(other);
            });
            assert_same(&read_to_end(&mut *reader), &answer);
        });
    }
}

pub(crate) fn a_sleeping_reader_sees_the_end(subject: &Subject) {
    for (closing, mut other) in both_ways(subject) {
        let (armed, is_armed) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                is_armed.recv().unwrap();
                drop(closing);
            });
            assert!(is_would_block(&other.reader.try_read(&mut Vec::with_capacity(1), 1)));
            assert!(other.reader.arm());
            armed.send(()).unwrap();
            sleep(other.reader.as_fd(), Want::Read);
            assert_eq!(read_some(&mut *other.reader, &mut Vec::new(), 1).unwrap(), 0);
        });
    }
}

pub(crate) fn a_sleeping_writer_sees_the_end(subject: &Subject) {
    for (closing, mut other) in both_ways(subject) {
        let (full, is_full) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                is_full.recv().unwrap();
                drop(closing);
            });
            fill(&mut *other.writer, |_| vec![0; 10_000]);
            full.send(()).unwrap();
            let error = loop {
                match write_some(&mut *other.writer, &[IoSlice::new(b"more")]) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(says_nobody_reads(&error), "{error:?}");
        });
    }
}

pub(crate) fn unread_input_does_not_spoil_the_end(subject: &Subject) {
    for (mut closing, mut other) in both_ways(subject) {
        write_all(&mut *other.writer, b"never read");
        // It has arrived: its end is really unread when the closing side goes.
        if closing.reader.arm() {
            sleep(closing.reader.as_fd(), Want::Read);
        }
        let sent = stream(1, 0, 10_000);
        write_all(&mut *closing.writer, &sent);
        drop(closing);
        assert_same(&read_exactly(&mut *other.reader, sent.len()), &sent);
        match read_some(&mut *other.reader, &mut Vec::new(), 16) {
            Ok(count) => assert_eq!(count, 0),
            // TCP says so with a reset, and knows no better.
            Err(error) => {
                assert_eq!(subject.scheme().name, "tcp", "{error}");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        }
    }
}

pub(crate) fn writing_to_nobody_is_an_error(subject: &Subject) {
    for (closing, mut other) in both_ways(subject) {
        drop(closing);
        let error = loop {
            match write_some(&mut *other.writer, &[IoSlice::new(b"anybody there?")]) {
                // Written before the news of the end was here.
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(says_nobody_reads(&error), "{error:?}");
    }
}

pub(crate) fn no_sigpipe_is_raised(subject: &Subject) {
    let (mut listener, endpoint) = subject.endpoint("sigpipe").bind_resolved().unwrap();
    let child = Child::spawn("sigpipe", endpoint.uri());
    drop(accept(&mut *listener));
    let (status, stderr) = child.output();
    assert!(status.success(), "{status}: {stderr}");
}

/// In a process of its own, where `SIGPIPE` would kill: writes until nobody is there.
pub(crate) fn write_with_deadly_sigpipe(uri: &str) {
    crate::roles::make_sigpipe_deadly();
    let mut transport = Endpoint::parse(uri).unwrap().try_connect().unwrap();
    loop {
        // In turn one slice and several, which go through different system calls.
        for slices in [&[IoSlice::new(b"x")][..], &[IoSlice::new(b"y"), IoSlice::new(b"z")]] {
            if let Err(error) = write_some(&mut *transport.writer, slices) {
                assert!(says_nobody_reads(&error), "{error:?}");
                return;
            }
        }
    }
}
