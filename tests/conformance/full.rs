//! Point 2: nothing blocks; a full peer is `WouldBlock`, and who sleeps is woken.

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::thread;

use ipcall_core::transport::{ReadHalf, Transport, WriteHalf};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::bytes::{assert_same, stream};
use crate::subject::Subject;
use crate::waiting::{
    Want, fill, is_ready, is_would_block, read_exactly, sleep, write_all, write_some,
};

pub(crate) fn a_full_peer_is_would_block_and_recovers(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    let mut read = 0;
    let mut written = 0;
    for _ in 0..3 {
        written += fill(&mut *client.writer, |more| stream(1, written + more, 10_000));
        assert_same(
            &read_exactly(&mut *server.reader, written - read),
            &stream(1, read, written - read),
        );
        read = written;
        // There is room again: this would sleep for ever if nothing said so.
        written +=
            write_some(&mut *client.writer, &[IoSlice::new(&stream(1, written, 100))]).unwrap();
    }
}

pub(crate) fn an_empty_pipe_is_would_block(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    for end in [&mut server, &mut client] {
        let mut buffer = Vec::with_capacity(16);
        assert!(is_would_block(&end.reader.try_read(&mut buffer, 16)));
        assert!(buffer.is_empty());
        assert!(end.reader.arm());
        assert!(!is_ready(end.reader.as_fd(), Want::Read));
    }
}

pub(crate) fn a_sleeping_reader_is_woken(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    // Each byte is written only once its reader is about to sleep, or sleeps already.
    let (armed, is_armed) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in is_armed {
                write_all(&mut *client.writer, &[number]);
            }
        });
        for number in 0..=255 {
            let mut buffer = Vec::with_capacity(1);
            assert!(is_would_block(&server.reader.try_read(&mut buffer, 1)));
            assert!(server.reader.arm());
            // Nothing of the last time is left that would wake it again and again.
            assert!(!is_ready(server.reader.as_fd(), Want::Read));
            armed.send(number).unwrap();
            sleep(server.reader.as_fd(), Want::Read);
            assert_eq!(read_exactly(&mut *server.reader, 1), [number]);
        }
        drop(armed);
    });
}

pub(crate) fn a_sleeping_writer_is_woken(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    let (armed, is_armed) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for count in is_armed {
                read_exactly(&mut *server.reader, count);
            }
        });
        for _ in 0..20 {
            let written = fill(&mut *client.writer, |_| vec![0; 10_000]);
            armed.send(written).unwrap();
            sleep(client.writer.as_fd(), client.writer.interest().into());
        }
        drop(armed);
    });
}

pub(crate) fn arming_notices_what_has_come_meanwhile(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    let mut buffer = Vec::with_capacity(16);
    for _ in 0..100 {
        assert!(is_would_block(&server.reader.try_read(&mut buffer, 16)));
        write_all(&mut *client.writer, b"x");
        if server.reader.arm() {
            sleep(server.reader.as_fd(), Want::Read);
        }
        assert_eq!(read_exactly(&mut *server.reader, 1), b"x");

        let written = fill(&mut *client.writer, |_| vec![0; 100_000]);
        read_exactly(&mut *server.reader, written);
        if client.writer.arm() {
            sleep(client.writer.as_fd(), client.writer.interest().into());
        }
        let written = client.writer.try_write(&[IoSlice::new(b"y")]).unwrap();
        assert_eq!(read_exactly(&mut *server.reader, written), b"y");
    }
}

/// An event loop over both halves of both ends, edge-triggered, as `AsyncFd` has it.
pub(crate) fn both_halves_sleep_in_one_epoll(subject: &Subject) {
    const SIZE: usize = 2 << 20;
    let (server, client) = subject.pair();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let Transport { reader: mut server_reader, writer: mut server_writer, .. } = server;
    let Transport { reader: mut client_reader, writer: mut client_writer, .. } = client;
    let mut flows = [
        Flow::new(&mut *server_writer, &mut *client_reader, SIZE),
        Flow::new(&mut *client_writer, &mut *server_reader, SIZE),
    ];
    for flow in &flows {
        let edge = EpollFlags::EPOLLET | EpollFlags::EPOLLRDHUP;
        let wanted = match Want::from(flow.writer.interest()) {
            Want::Read => EpollFlags::EPOLLIN,
            Want::Write => EpollFlags::EPOLLOUT,
        };
        epoll.add(flow.writer.as_fd(), EpollEvent::new(edge | wanted, 0)).unwrap();
        epoll.add(flow.reader.as_fd(), EpollEvent::new(edge | EpollFlags::EPOLLIN, 0)).unwrap();
    }
    while flows.iter().any(|flow| flow.read < SIZE) {
        // Not short-circuiting: both have to arm.
        let may_sleep = flows.iter_mut().fold(true, |quiet, flow| flow.advance() & quiet);
        if may_sleep && flows.iter().any(|flow| flow.read < SIZE) {
            epoll.wait(&mut [EpollEvent::empty(); 4], EpollTimeout::NONE).unwrap();
        }
    }
}

/// One direction of the event loop.
struct Flow<'a> {
    writer: &'a mut dyn WriteHalf,
    reader: &'a mut dyn ReadHalf,
    bytes: Vec<u8>,
    written: usize,
    read: usize,
}

impl<'a> Flow<'a> {
    fn new(writer: &'a mut dyn WriteHalf, reader: &'a mut dyn ReadHalf, size: usize) -> Self {
        Self { writer, reader, bytes: stream(1, 0, size), written: 0, read: 0 }
    }

    /// Writes and reads as far as it goes, and says whether both halves may sleep.
    fn advance(&mut self) -> bool {
        let mut quiet = true;
        if self.written < self.bytes.len() {
            match self.writer.try_write(&[IoSlice::new(&self.bytes[self.written..])]) {
                Ok(count) => {
                    self.written += count;
                    quiet = false;
                }
                Err(error) => {
                    assert!(is_would_block(&Err::<(), _>(error)));
                    quiet &= self.writer.arm();
                }
            }
        }
        const LIMIT: usize = 50_000;
        let mut buffer = Vec::with_capacity(LIMIT);
        match self.reader.try_read(&mut buffer, LIMIT) {
            Ok(count) => {
                assert!(count > 0, "it ended");
                assert_same(&buffer, &self.bytes[self.read..self.read + count]);
                self.read += count;
                let drained = self.reader.short_read_drains() && count < LIMIT;
                quiet &= drained && self.reader.arm();
            }
            Err(error) => {
                assert!(is_would_block(&Err::<(), _>(error)));
                quiet &= self.reader.arm();
            }
        }
        quiet
    }
}
