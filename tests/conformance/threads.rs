//! Point 8: the two halves may live in different threads.

use std::thread;

use crate::bytes::{assert_same, stream};
use crate::subject::Subject;
use crate::waiting::{read_exactly, read_some, read_to_end, write_all};

/// One side echoes with a thread for each half, the other writes and reads in one thread each.
pub(crate) fn halves_work_in_four_threads(subject: &Subject) {
    const SIZE: usize = 4 << 20;
    let (mut server, client) = subject.pair();
    let (to_writer, from_reader) = std::sync::mpsc::sync_channel::<Vec<u8>>(4);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = Vec::new();
            while read_some(&mut *server.reader, &mut buffer, 30_000).unwrap() > 0 {
                to_writer.send(std::mem::take(&mut buffer)).unwrap();
            }
        });
        scope.spawn(move || {
            for bytes in from_reader {
                write_all(&mut *server.writer, &bytes);
            }
        });
        let (mut reader, mut writer) = (client.reader, client.writer);
        scope.spawn(move || write_all(&mut *writer, &stream(1, 0, SIZE)));
        assert_same(&read_to_end(&mut *reader), &stream(1, 0, SIZE));
    });
}

pub(crate) fn halves_move_between_threads(subject: &Subject) {
    let (mut server, mut client) = subject.pair();
    for round in 0..20 {
        let sent = stream(1, round, 1000);
        let bytes = sent.clone();
        client = thread::spawn(move || {
            write_all(&mut *client.writer, &bytes);
            client
        })
        .join()
        .unwrap();
        assert_same(&read_exactly(&mut *server.reader, 1000), &sent);
    }
}
