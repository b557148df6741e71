//! Point 5: the death of the peer, by `kill -9` at any instruction, is seen at once.

use std::io;
use std::time::{Duration, Instant};

use ipcall_core::transport::Transport;

use crate::bytes::Random;
use crate::roles::Child;
use crate::subject::{Subject, accept, connect_patiently};
use crate::waiting::{fill, read_exactly, read_some, write_all, write_some};

/// How soon, where a descriptor reports it.
const SOON: Duration = Duration::from_millis(50);

/// Other tests run on the same few CPUs. A death that is seen late each time is seen late.
const ATTEMPTS: usize = 5;

/// Kills the peer that `start` starts, and measures how long `see` then takes to see the end; the best
/// of some attempts counts.
fn assert_seen_soon(mut start: impl FnMut() -> (Child, Transport), see: fn(&mut Transport)) {
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let (mut child, mut transport) = start();
        let killed = Instant::now();
        child.kill();
        see(&mut transport);
        took.push(killed.elapsed());
        // Only now collected: until then it may still be closing other descriptors.
        drop(child);
        if took.last().is_some_and(|took| *took < SOON) {
            println!("the death was seen after {took:?}");
            return;
        }
    }
    panic!("the death was seen after {took:?}, and should have been within {SOON:?}");
}

/// Reads what is still there, and then the end.
fn read_the_end(transport: &mut Transport) {
    while read_some(&mut *transport.reader, &mut Vec::new(), 64 << 10).is_ok_and(|count| count > 0)
    {
    }
}

/// Writes until that is an error.
fn write_to_the_end(transport: &mut Transport) {
    loop {
        if let Err(error) = write_some(&mut *transport.writer, &[io::IoSlice::new(&[0; 5000])]) {
            let kind = error.kind();
            assert!(
                matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
                "{error}"
            );
            return;
        }
    }
}

/// The end of a client in another process, once it has written something.
fn client(subject: &Subject, role: &str) -> (Child, Transport) {
    let (mut listener, endpoint) = subject.endpoint("death").bind_resolved().unwrap();
    let child = Child::spawn(role, endpoint.uri());
    let mut transport = accept(&mut *listener);
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
    (child, transport)
}

pub(crate) fn the_death_of_an_idle_client_is_seen(subject: &Subject) {
    assert_seen_soon(|| client(subject, "idle-client"), read_the_end);
}

pub(crate) fn the_death_of_an_idle_server_is_seen(subject: &Subject) {
    let endpoint = subject.endpoint("death");
    let start = || {
        let child = Child::spawn("idle-server", endpoint.uri());
        let mut transport = connect_patiently(&endpoint);
        write_all(&mut *transport.writer, b"?");
        assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
        (child, transport)
    };
    assert_seen_soon(start, read_the_end);
    // What it left is taken over, and then removed.
    drop(endpoint.bind_resolved().unwrap());
}

pub(crate) fn the_death_of_a_busy_client_is_seen(subject: &Subject) {
    let mut random = Random::new();
    let start = || {
        let (child, mut transport) = client(subject, "busy-client");
        // A moment that is another one each time.
        read_exactly(&mut *transport.reader, random.below(1 << 20));
        (child, transport)
    };
    assert_seen_soon(start, read_the_end);
}

pub(crate) fn the_death_of_a_client_that_does_not_read_is_seen(subject: &Subject) {
    let start = || {
        let (child, mut transport) = client(subject, "deaf-client");
        fill(&mut *transport.writer, |_| vec![0; 5000]);
        (child, transport)
    };
    assert_seen_soon(start, write_to_the_end);
}
