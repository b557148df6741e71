//! Point 7: a name in use, a stale name and a name of somebody else are three different things.

use std::fs;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use ipcall_core::ErrorKind;
use ipcall_core::transport::{Connector, Listener};
use ipcall_transports::Endpoint;

use crate::roles::Child;
use crate::subject::{Subject, accept, bind, connect_patiently};
use crate::waiting::{Want, is_ready, is_would_block, read_exactly, read_some, write_all};

/// Servers that start at the same time.
const AT_ONCE: usize = 8;

pub(crate) fn nobody_there_is_server_absent(subject: &Subject) {
    let endpoint = subject.endpoint("nobody");
    let error = endpoint.try_connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
}

pub(crate) fn a_living_server_keeps_its_name(subject: &Subject) {
    let endpoint = subject.endpoint("living");
    let mut listener = bind(&endpoint);
    for _ in 0..3 {
        let error = endpoint.bind_resolved().map(drop).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
        assert_eq!(error.endpoint(), Some(endpoint.uri()));
    }
    // And goes on serving.
    let mut client = endpoint.try_connect().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| write_all(&mut *client.writer, b"x"));
        serve_until(&mut *listener, b"x");
    });
}

/// Accepts until a client has written this; others only asked whether anybody is there.
fn serve_until(listener: &mut dyn Listener, expected: &[u8]) {
    loop {
        let mut client = accept(listener);
        let mut bytes = Vec::new();
        match read_some(&mut *client.reader, &mut bytes, 16) {
            Ok(count) if count > 0 => return assert_eq!(bytes, expected),
            _ => {}
        }
    }
}

pub(crate) fn a_dropped_name_is_free(subject: &Subject) {
    let endpoint = subject.endpoint("again");
    for _ in 0..5 {
        let mut listener = bind(&endpoint);
        let _client = endpoint.try_connect().unwrap();
        let _server = accept(&mut *listener);
        drop(listener);
        let error = endpoint.try_connect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
        assert!(subject.scratch().entries().is_empty());
    }
}

pub(crate) fn of_servers_starting_at_once_one_wins(subject: &Subject) {
    for _ in 0..20 {
        assert_one_wins(&subject.endpoint("race"));
    }
}

/// Lets servers start at once; the one that wins is gone again afterwards.
fn assert_one_wins(endpoint: &Endpoint) {
    let start = Barrier::new(AT_ONCE);
    let listeners: Vec<_> = thread::scope(|scope| {
        let bind = || {
            start.wait();
            endpoint.bind_resolved().map(|(listener, _)| listener)
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(bind)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners = listeners.iter().filter(|listener| listener.is_ok()).count();
    assert_eq!(winners, 1);
    for error in listeners.into_iter().filter_map(Result::err) {
        assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
    }
}

/// Their names stand beside each other, so that each comes upon the lock of another.
pub(crate) fn servers_stopping_at_once_leave_nothing(subject: &Subject) {
    for _ in 0..20 {
        let endpoints = (0..AT_ONCE).map(|number| subject.endpoint(&format!("neighbour{number}")));
        let listeners: Vec<_> = endpoints.map(|endpoint| bind(&endpoint)).collect();
        let stop = Barrier::new(AT_ONCE);
        thread::scope(|scope| {
            for listener in listeners {
                scope.spawn(|| {
                    stop.wait();
                    drop(listener);
                });
            }
        });
        assert_eq!(subject.scratch().entries(), [""; 0]);
    }
}

pub(crate) fn clients_are_accepted_one_by_one(subject: &Subject) {
    let endpoint = subject.endpoint("many");
    let mut listener = bind(&endpoint);
    assert!(is_would_block(&listener.try_accept()));
    assert!(!is_ready(listener.as_fd(), Want::Read));
    let mut clients: Vec<_> = (0..20).map(|_| endpoint.try_connect().unwrap()).collect();
    // Some mechanisms take bytes only once there is someone to keep them for.
    let mut late = Vec::new();
    for (number, client) in (0..).zip(&mut clients) {
        match client.writer.try_write(&[IoSlice::new(&[number])]) {
            Ok(count) => assert_eq!(count, 1),
            refused => {
                assert!(is_would_block(&refused));
                late.push((number, client));
            }
        }
    }
    let mut servers: Vec<_> = (0..20).map(|_| accept(&mut *listener)).collect();
    assert!(is_would_block(&listener.try_accept()));
    assert!(!is_ready(listener.as_fd(), Want::Read));
    for (number, client) in late {
        write_all(&mut *client.writer, &[number]);
    }
    let mut seen: Vec<u8> =
        servers.iter_mut().map(|server| read_exactly(&mut *server.reader, 1)[0]).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
}

pub(crate) fn connections_outlive_their_listener(subject: &Subject) {
    let endpoint = subject.endpoint("outlived");
    let mut listener = bind(&endpoint);
    let mut client = endpoint.try_connect().unwrap();
    let mut server = accept(&mut *listener);
    drop(listener);
    write_all(&mut *client.writer, b"still here");
    assert_eq!(read_exactly(&mut *server.reader, 10), b"still here");
}

pub(crate) fn clients_not_accepted_see_the_end(subject: &Subject) {
    let endpoint = subject.endpoint("unaccepted");
    let listener = bind(&endpoint);
    let mut client = endpoint.try_connect().unwrap();
    let _ = client.writer.try_write(&[IoSlice::new(b"x")]);
    drop(listener);
    // Ended or reset, whichever its transport says.
    let end = read_some(&mut *client.reader, &mut Vec::new(), 1);
    assert!(!matches!(end, Ok(count) if count > 0), "{end:?}");
}

pub(crate) fn a_killed_server_leaves_its_name_to_the_next(subject: &Subject) {
    let endpoint = subject.endpoint("killed");
    for _ in 0..2 {
        kill_a_server(&endpoint);
        drop(bind(&endpoint));
        assert!(subject.scratch().entries().is_empty());
    }
}

/// A server of `endpoint`, killed in the middle of a connection.
fn kill_a_server(endpoint: &Endpoint) {
    let mut child = Child::spawn("idle-server", endpoint.uri());
    let mut client = connect_patiently(endpoint);
    write_all(&mut *client.writer, b"?");
    assert_eq!(read_exactly(&mut *client.reader, 1), b"!");
    child.kill();
    let _ = read_some(&mut *client.reader, &mut Vec::new(), 1);
    drop(child);
}

/// Where an endpoint's name lies in the file system.
fn path(endpoint: &Endpoint) -> PathBuf {
    PathBuf::from(endpoint.uri().split_once(':').unwrap().1)
}

pub(crate) fn a_foreign_file_is_refused(subject: &Subject) {
    let endpoint = subject.endpoint("foreign");
    fs::write(path(&endpoint), "precious").unwrap();
    let error = endpoint.bind_resolved().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(&path(&endpoint).display().to_string()), "{error}");
    assert_eq!(fs::read(path(&endpoint)).unwrap(), b"precious");
    fs::remove_file(path(&endpoint)).unwrap();
}

pub(crate) fn of_servers_starting_at_once_one_takes_a_stale_name(subject: &Subject) {
    for _ in 0..3 {
        let endpoint = subject.endpoint("stale-race");
        kill_a_server(&endpoint);
        assert_one_wins(&endpoint);
    }
}
