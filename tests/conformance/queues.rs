//! What is special about `sysv-mq:`: clients that share queues, and queues that outlive their processes.

use std::fs;
use std::io::IoSlice;
use std::thread;

use ipcall_core::ErrorKind;
use ipcall_core::transport::{Connector, Listener, Transport};
use ipcall_transports::Endpoint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, geteuid, setresuid};

use crate::bytes::{assert_same, stream};
use crate::leaks::queues_of;
use crate::roles::{Child, idle};
use crate::subject::{Subject, accept, bind, connect_patiently};
use crate::waiting::{fill, is_would_block, read_exactly, read_some, read_to_end, write_all};

/// A process and its threads, as the kernel notes them for a queue.
fn threads_of(child: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Stops a process, and waits until none of its threads runs any more.
fn stop(child: &Child) {
    signal(child, Signal::SIGSTOP);
    let is_stopped = |task: &u32| {
        let status = fs::read_to_string(format!("/proc/{task}/stat")).unwrap();
        status.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
    };
    while !threads_of(child).iter().all(is_stopped) {
        thread::yield_now();
    }
}

/// The next client that writes, and that it has written something.
fn accept_one(listener: &mut dyn Listener) -> Transport {
    let mut transport = accept(listener);
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"!");
    transport
}

/// Writes and reads in both directions at once.
fn exchange(server: &mut Transport, client: &mut Transport, number: u64, size: usize) {
    thread::scope(|scope| {
        scope.spawn(|| write_all(&mut *client.writer, &stream(number, 0, size)));
        scope.spawn(|| write_all(&mut *server.writer, &stream(number + 1, 0, size)));
        scope.spawn(|| {
            assert_same(&read_exactly(&mut *client.reader, size), &stream(number + 1, 0, size));
        });
        assert_same(&read_exactly(&mut *server.reader, size), &stream(number, 0, size));
    });
}

/// As many as share a pair of queues, one more, and more than two pairs have place for.
pub(crate) fn many_clients_at_once(subject: &Subject) {
    for count in [16, 17, 40] {
        let endpoint = subject.endpoint("many");
        let mut listener = bind(&endpoint);
        let mut pairs = Vec::new();
        for _ in 0..count {
            let client = endpoint.try_connect().unwrap();
            pairs.push((accept(&mut *listener), client));
        }
        thread::scope(|scope| {
            for (number, (server, client)) in (0..).zip(&mut pairs) {
                scope.spawn(move || exchange(server, client, number * 2, 100_000));
            }
        });
    }
}

pub(crate) fn clients_that_do_not_read_hold_up_nobody(subject: &Subject) {
    let endpoint = subject.endpoint("deaf");
    let mut listener = bind(&endpoint);
    let mut pairs = Vec::new();
    for _ in 0..16 {
        let client = endpoint.try_connect().unwrap();
        pairs.push((accept(&mut *listener), client));
    }
    let (mut server, mut client) = pairs.pop().unwrap();
    // Each of the others has as much on its way as it may, in both directions, and nobody reads it.
    let mut written = vec![[0, 0]; pairs.len()];
    for _ in 0..3 {
        for ((server, client), written) in pairs.iter_mut().zip(&mut written) {
            let (mut to_client, mut to_server) = (written[0], written[1]);
            to_client += fill(&mut *server.writer, |more| stream(1, to_client + more, 10_000));
            to_server += fill(&mut *client.writer, |more| stream(2, to_server + more, 10_000));
            *written = [to_client, to_server];
        }
        exchange(&mut server, &mut client, 3, 1 << 20);
    }
    for ((mut server, mut client), [to_client, to_server]) in pairs.into_iter().zip(written) {
        let sent = [stream(1, 0, to_client), stream(2, 0, to_server)];
        assert_same(&read_exactly(&mut *client.reader, to_client), &sent[0]);
        assert_same(&read_exactly(&mut *server.reader, to_server), &sent[1]);
    }
}

pub(crate) fn a_stopped_client_holds_up_nobody(subject: &Subject) {
    let endpoint = subject.endpoint("stopped");
    let mut listener = bind(&endpoint);
    let stopped = Child::spawn("idle-client", endpoint.uri());
    let mut to_stopped = accept_one(&mut *listener);
    stop(&stopped);
    let mut client = endpoint.try_connect().unwrap();
    let mut server = accept(&mut *listener);
    for _ in 0..5 {
        fill(&mut *to_stopped.writer, |_| vec![0; 10_000]);
        exchange(&mut server, &mut client, 1, 200_000);
    }
    // Neither is the death of a stopped one overlooked.
    drop(stopped);
    while read_some(&mut *to_stopped.reader, &mut Vec::new(), 1).is_ok_and(|count| count > 0) {}
    exchange(&mut server, &mut client, 1, 200_000);
}

pub(crate) fn a_stopped_server_goes_on_where_it_was(subject: &Subject) {
    let endpoint = subject.endpoint("stopped");
    let child = Child::spawn("idle-server", endpoint.uri());
    let mut client = connect_patiently(&endpoint);
    write_all(&mut *client.writer, b"?");
    assert_eq!(read_exactly(&mut *client.reader, 1), b"!");
    stop(&child);
    // Those who come meanwhile wait, as far as there is place for them, or go again.
    let mut others: Vec<_> = (0..10).map(|_| endpoint.try_connect().unwrap()).collect();
    for other in &mut others {
        assert!(is_would_block(&other.writer.try_write(&[IoSlice::new(b"?")])));
    }
    drop(others.split_off(5));
    signal(&child, Signal::SIGCONT);
    for other in &mut others {
        write_all(&mut *other.writer, b"?");
    }
    drop(child);
    for mut client in others.into_iter().chain([client]) {
        assert!(read_some(&mut *client.reader, &mut Vec::new(), 1).is_err());
    }
    drop(bind(&endpoint));
}

pub(crate) fn a_killed_server_leaves_no_queue_to_the_next(subject: &Subject) {
    let endpoint = subject.endpoint("killed");
    let child = Child::spawn("idle-server", endpoint.uri());
    let mut client = connect_patiently(&endpoint);
    write_all(&mut *client.writer, b"?");
    assert_eq!(read_exactly(&mut *client.reader, 1), b"!");
    let processes = threads_of(&child);
    assert_eq!(queues_of(&processes).len(), 2);
    drop(child);
    // The client does not even notice.
    drop(bind(&endpoint));
    assert_eq!(queues_of(&processes), []);
    drop(client);
    assert_eq!(queues_of(&processes), []);
}

/// A server that has given up its name, and serves what it has.
pub(crate) fn serve_without_a_name(uri: &str) {
    let mut listener = bind(&Endpoint::parse(uri).unwrap());
    let transport = accept_one(&mut *listener);
    drop(listener);
    idle(transport);
}

pub(crate) fn a_server_killed_without_its_name_leaves_no_queue_to_the_next(subject: &Subject) {
    let endpoint = subject.endpoint("nameless");
    let server = Child::spawn("nameless-server", endpoint.uri());
    let mut client = connect_patiently(&endpoint);
    write_all(&mut *client.writer, b"!");
    assert_eq!(read_exactly(&mut *client.reader, 1), b"!");
    assert!(subject.scratch().entries().is_empty());
    let processes = threads_of(&server);
    assert_eq!(queues_of(&processes).len(), 2);
    // As if the client had been killed at the same time: it cleans nothing up.
    std::mem::forget(client);
    drop(server);
    drop(bind(&subject.endpoint("any other")));
    assert_eq!(queues_of(&processes), []);
}

pub(crate) fn clients_remove_the_queues_of_a_killed_server(subject: &Subject) {
    let endpoint = subject.endpoint("cleaning");
    let server = Child::spawn("nameless-server", endpoint.uri());
    let mut client = connect_patiently(&endpoint);
    write_all(&mut *client.writer, b"!");
    assert_eq!(read_exactly(&mut *client.reader, 1), b"!");
    let processes = threads_of(&server);
    assert_eq!(queues_of(&processes).len(), 2);
    drop(server);
    drop(client);
    assert_eq!(queues_of(&processes), []);
}

/// As much as a client takes without reading it.
const LAST_WORDS: usize = 100_000;

/// Writes a lot, closes, and is gone.
pub(crate) fn say_last_words(uri: &str) {
    let mut listener = bind(&Endpoint::parse(uri).unwrap());
    let mut transport = accept_one(&mut *listener);
    write_all(&mut *transport.writer, &stream(1, 0, LAST_WORDS));
    drop((listener, transport));
}

pub(crate) fn the_last_words_of_a_server_arrive_after_it_has_ended(subject: &Subject) {
    for _ in 0..20 {
        let endpoint = subject.endpoint("words");
        let server = Child::spawn("last-words", endpoint.uri());
        let mut client = connect_patiently(&endpoint);
        let processes = threads_of(&server);
        write_all(&mut *client.writer, b"!");
        let (status, stderr) = server.output();
        assert!(status.success(), "{stderr}");
        assert_same(&read_to_end(&mut *client.reader), &stream(1, 0, LAST_WORDS));
        drop(client);
        assert_eq!(queues_of(&processes), []);
    }
}

/// Another user, who cannot even see where the server is.
pub(crate) fn another_user_is_refused(subject: &Subject) {
    if !geteuid().is_root() {
        println!("left out: only root can become somebody else");
        return;
    }
    let endpoint = subject.endpoint("stranger");
    let mut listener = bind(&endpoint);
    let (status, stderr) = Child::spawn("stranger", endpoint.uri()).output();
    assert!(status.success(), "{stderr}");
    // Nothing has come of it.
    assert!(is_would_block(&listener.try_accept()));
    let mut client = endpoint.try_connect().unwrap();
    exchange(&mut accept(&mut *listener), &mut client, 1, 1000);
}

pub(crate) fn be_a_stranger(uri: &str) {
    let nobody = Uid::from_raw(65_534);
    setresuid(nobody, nobody, nobody).unwrap();
    let endpoint = Endpoint::parse(uri).unwrap();
    let error = endpoint.try_connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    let error = endpoint.bind_resolved().map(drop).unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error:?}");
    // Nor is there another way in: the queues are listed for all to see.
    let list = fs::read_to_string("/proc/sysvipc/msg").unwrap();
    for line in list.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (mode, owner) = (fields[2], fields[7]);
        assert!(owner != "0" || !mode.ends_with(['2', '4', '6']), "{line}");
    }
}
