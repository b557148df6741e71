//! Point 3: between any two calls a read or write may be abandoned, and nothing is lost or doubled.

use std::io::IoSlice;

use ipcall_core::transport::{ReadHalf, Transport, WriteHalf};

use crate::bytes::{Random, assert_same, stream};
use crate::subject::Subject;
use crate::waiting::{is_would_block, read_exactly, write_all};

/// One direction, and how far it is.
struct Direction {
    writer: Box<dyn WriteHalf>,
    reader: Box<dyn ReadHalf>,
    number: u64,
    written: usize,
    read: usize,
}

impl Direction {
    /// Tries to write some bytes in some slices; what did not go is tried again another time, maybe
    /// cut differently.
    fn write(&mut self, random: &mut Random) {
        let bytes = stream(self.number, self.written, 1 << random.below(18));
        let mut slices = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() && slices.len() < 20 {
            let (slice, after) = rest.split_at(random.below(rest.len()) + 1);
            slices.push(IoSlice::new(slice));
            rest = after;
        }
        match self.writer.try_write(&slices) {
            Ok(count) => self.written += count,
            Err(error) => assert!(is_would_block(&Err::<(), _>(error))),
        }
    }

    fn read(&mut self, random: &mut Random) {
        let limit = 1 << random.below(18);
        let mut buffer = Vec::with_capacity(limit + random.below(100));
        match self.reader.try_read(&mut buffer, limit) {
            Ok(count) => {
                assert!(count > 0 && count <= limit, "{count} of at most {limit}");
                assert_same(&buffer, &stream(self.number, self.read, count));
                self.read += count;
            }
            Err(error) => {
                assert!(is_would_block(&Err::<(), _>(error)));
                assert!(buffer.is_empty());
            }
        }
    }

    fn drain(&mut self) {
        let missing = self.written - self.read;
        assert_same(
            &read_exactly(&mut *self.reader, missing),
            &stream(self.number, self.read, missing),
        );
        self.read = self.written;
    }
}

pub(crate) fn reads_and_writes_may_be_abandoned_anywhere(subject: &Subject) {
    let mut random = Random::new();
    let (server, client) = subject.pair();
    let direction =
        |writer, reader, number| Direction { writer, reader, number, written: 0, read: 0 };
    let mut directions =
        [direction(server.writer, client.reader, 1), direction(client.writer, server.reader, 2)];
    for _ in 0..3000 {
        let direction = &mut directions[random.below(2)];
        match random.below(10) {
            0..4 => direction.write(&mut random),
            4..8 => direction.read(&mut random),
            // Says that it will sleep, and then does something else.
            8 => drop(direction.reader.arm()),
            _ => drop(direction.writer.arm()),
        }
    }
    directions.iter_mut().for_each(Direction::drain);
}

pub(crate) fn an_abandoned_sleep_loses_nothing(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    for round in 0..100 {
        let sent = stream(1, round, 10);
        let Transport { reader, writer, .. } = &mut server;
        let _ = (reader.arm(), writer.arm());
        write_all(&mut *client.writer, &sent);
        let _ = (reader.arm(), writer.arm());
        assert_same(&read_exactly(&mut **reader, 10), &sent);
    }
}
