//! Point 1: bytes arrive in order, exactly once.

use std::io::IoSlice;
use std::thread;

use ipcall_core::transport::{ReadHalf, WriteHalf};

use crate::bytes::{assert_same, stream};
use crate::subject::Subject;
use crate::waiting::{fill, read_exactly, read_some, read_to_end, write_all, write_some};

pub(crate) fn bytes_arrive_in_order_exactly_once(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    // Chunks of all sizes, each written and read before the next.
    for size in (0..4096).step_by(61).chain([4095, 4096, 4097, 65_535, 65_536]) {
        let sent = stream(1, size, size);
        assert_same(&pass(&mut *client.writer, &mut *server.reader, &sent), &sent);
        assert_same(&pass(&mut *server.writer, &mut *client.reader, &sent), &sent);
    }
}

/// Writes all of `bytes`, and reads them at the other side, in turn where there is no room for all.
fn pass(writer: &mut dyn WriteHalf, reader: &mut dyn ReadHalf, bytes: &[u8]) -> Vec<u8> {
    let (mut written, mut read) = (0, Vec::with_capacity(bytes.len()));
    while read.len() < bytes.len() {
        // Nothing is on its way, so there is room for some.
        written += write_some(writer, &[IoSlice::new(&bytes[written..])]).unwrap();
        read.extend(read_exactly(reader, written - read.len()));
    }
    read
}

pub(crate) fn any_amount_arrives_whole(subject: &Subject) {
    for size in [0, 1, 64 << 10, 16 << 20] {
        let (server, client) = subject.pair();
        for (writer, mut reader) in [(client.writer, server.reader), (server.writer, client.reader)]
        {
            thread::scope(|scope| {
                scope.spawn(|| send(writer, size));
                assert_same(&read_to_end(&mut *reader), &stream(size as u64, 0, size));
            });
        }
    }
}

/// Writes `size` bytes, and ends.
fn send(mut writer: Box<dyn WriteHalf>, size: usize) {
    write_all(&mut *writer, &stream(size as u64, 0, size));
}

pub(crate) fn both_sides_write_at_once(subject: &Subject) {
    const SIZE: usize = 4 << 20;
    let (server, client) = subject.pair();
    thread::scope(|scope| {
        for (mut writer, number) in [(server.writer, 1), (client.writer, 2)] {
            scope.spawn(move || write_all(&mut *writer, &stream(number, 0, SIZE)));
        }
        for (mut reader, number) in [(client.reader, 1), (server.reader, 2)] {
            scope.spawn(move || assert_same(&read_to_end(&mut *reader), &stream(number, 0, SIZE)));
        }
    });
}

pub(crate) fn many_slices_are_one_stream(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    // More slices than one system call takes, some of them empty.
    let sent = stream(1, 0, 3 * 3000);
    let slices: Vec<_> =
        sent.chunks(3).flat_map(|chunk| [IoSlice::new(chunk), IoSlice::new(&[])]).collect();
    let mut written = 0;
    while written < sent.len() {
        let done = written / 3;
        let rest = &sent[written..(done + 1) * 3];
        let mut next = vec![IoSlice::new(rest)];
        next.extend_from_slice(&slices[(done + 1) * 2..]);
        written += write_some(&mut *client.writer, &next).unwrap();
    }
    assert_same(&read_exactly(&mut *server.reader, sent.len()), &sent);

    assert_eq!(client.writer.try_write(&[]).unwrap(), 0);
    assert_eq!(client.writer.try_write(&[IoSlice::new(&[])]).unwrap(), 0);
    assert_eq!(client.writer.try_write(&[IoSlice::new(&[]), IoSlice::new(&[])]).unwrap(), 0);
}

pub(crate) fn a_read_appends_and_keeps_to_its_limit(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    let mut written = 0;
    // Each time, because it may be full with less than is read. One that has only just been emptied may
    // still look full, and then this waits.
    let mut refill = |read| {
        written += fill(&mut *client.writer, |more| stream(1, written + more, 4096));
        if written == read {
            write_all(&mut *client.writer, &stream(1, written, 100));
            written += 100;
        }
    };
    let mut buffer = b"before".to_vec();
    for limit in [1, 7, 4096, 10_000] {
        let before = buffer.len();
        refill(before - 6);
        let count = read_some(&mut *server.reader, &mut buffer, limit).unwrap();
        assert!(count > 0 && count <= limit, "{count} of at most {limit}");
        assert_eq!(buffer.len(), before + count);
    }
    refill(buffer.len() - 6);
    assert!(buffer.len() - 6 <= written);
    assert_eq!(&buffer[..6], b"before");
    assert_same(&buffer[6..], &stream(1, 0, buffer.len() - 6));
    exact_capacity_is_enough(&mut *server.reader);
}

/// A vector with room for one byte more is not moved to read one byte.
fn exact_capacity_is_enough(reader: &mut dyn ReadHalf) {
    let mut buffer = Vec::with_capacity(1);
    let (start, capacity) = (buffer.as_ptr(), buffer.capacity());
    // Room for one is all that this asks for.
    assert_eq!(read_some(reader, &mut buffer, 1).unwrap(), 1);
    assert_eq!((buffer.as_ptr(), buffer.capacity()), (start, capacity));
}
