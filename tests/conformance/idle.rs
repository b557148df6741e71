//! Who waits takes no time: nothing ticks, and nothing spins.

use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use crate::roles::Child;
use crate::subject::Subject;
use crate::waiting::{fill, is_would_block, read_exactly, write_all};

pub(crate) fn an_idle_connection_takes_no_time(subject: &Subject) {
    let (status, stderr) = Child::spawn("asleep", subject.scheme().name).output();
    assert!(status.success(), "{stderr}");
}

/// In a process of its own: both ends of a connection, asleep for two seconds as readers, and as writers whose
/// peer is full.
pub(crate) fn measure(scheme: &str) {
    let subject = Subject::new(scheme);
    let (mut server, mut client) = subject.pair();
    write_all(&mut *client.writer, b"x");
    assert_eq!(read_exactly(&mut *server.reader, 1), b"x");
    for end in [&mut server, &mut client] {
        assert!(is_would_block(&end.reader.try_read(&mut Vec::with_capacity(1), 1)));
        assert!(end.reader.arm());
    }
    let reading = [&server, &client].map(|end| PollFd::new(end.reader.as_fd(), PollFlags::POLLIN));
    assert_takes_no_time(reading);
    // Room that is just being made has been made by the second time.
    for _ in 0..2 {
        fill(&mut *server.writer, |_| vec![0; 10_000]);
        fill(&mut *client.writer, |_| vec![0; 10_000]);
        std::thread::sleep(Duration::from_millis(50));
    }
    let quiet = |fd| PollFd::new(fd, PollFlags::empty());
    assert_takes_no_time([&server, &client].map(|end| quiet(end.writer.as_fd())));
}

fn assert_takes_no_time(mut asleep: [PollFd<'_>; 2]) {
    let before = ticks();
    assert_eq!(poll(&mut asleep, 1000_u16).unwrap(), 0);
    let took = ticks() - before;
    // One tick is 10 ms.
    assert!(took <= 1, "{took} ticks of CPU in a second of doing nothing");
}

/// The CPU time of this process, in ticks.
fn ticks() -> u64 {
    let status = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = status.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // utime and stime are the fields 14 and 15; these begin with the third.
    [11, 12].map(|place| fields[place].parse::<u64>().unwrap()).iter().sum()
}
