//! A server that is killed before it has accepted: whoever is connecting knows at once.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::transport::{Binder, Connector};
use ipcall::{ErrorKind, RpcError};

use crate::roles::{Process, until_told};
use crate::support::assert_kind;
use crate::support::scratch::Scratch;
use crate::support::serving::run;
use crate::support::waiting::until;
use crate::{EchoBlockingClient, EchoClient, endpoint};

/// How soon, of which the best of some attempts counts: other tests run on the same few CPUs.
const SOON: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 5;

/// Begins to connect, and gives why that failed and when.
fn connect(path: &Path, blocking: bool) -> Receiver<(RpcError, Instant)> {
    let (failed, failure) = channel();
    let endpoint = endpoint(path);
    thread::spawn(move || {
        let error = if blocking {
            EchoBlockingClient::connect(&endpoint).map(drop).unwrap_err()
        } else {
            run(async { EchoClient::connect(&endpoint).await.map(drop).unwrap_err() })
        };
        failed.send((error, Instant::now())).unwrap();
    });
    failure
}

#[test]
fn a_server_killed_before_it_accepts_fails_the_connecting_at_once() {
    for blocking in [false, true] {
        let took: Vec<_> = (0..ATTEMPTS).map(|_| attempt(blocking)).collect();
        assert!(took.iter().any(|took| *took < SOON), "{took:?}");
    }
}

fn attempt(blocking: bool) -> Duration {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut server = Process::start("deaf", path.to_str().unwrap());
    server.wait_for("bound");
    let failure = connect(&path, blocking);
    until(|| scratch.entries().len() == 2);
    // Now it waits, as far as one can tell from here.
    thread::sleep(Duration::from_millis(20));
    let killed = Instant::now();
    drop(server);
    let (error, at) = failure.recv().unwrap();
    assert_kind!(error, ErrorKind::PeerGone { .. });
    assert!(error.to_string().contains("before it accepted"), "{error}");
    assert_eq!(scratch.entries(), ["a"], "the client has removed its pair");
    drop(endpoint(&path).bind().unwrap());
    at.saturating_duration_since(killed)
}

/// Binds, and never accepts.
pub(crate) fn be_deaf(path: &Path) {
    let listening = endpoint(path).bind().unwrap();
    println!("bound");
    until_told();
    drop(listening);
}

#[test]
fn what_clients_killed_while_connecting_leave_is_removed_by_the_next_server() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut server = Process::start("deaf", path.to_str().unwrap());
    server.wait_for("bound");
    for _ in 0..3 {
        let mut client = Process::start("half-way", path.to_str().unwrap());
        client.wait_for("announced");
        drop(client);
    }
    drop(server);
    assert_eq!(scratch.entries().len(), 4);
    let listening = endpoint(&path).bind().unwrap();
    assert_eq!(scratch.entries(), ["a"]);
    drop(listening);
}

#[test]
fn what_clients_killed_while_connecting_leave_is_removed_by_a_living_server() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut listening = endpoint(&path).bind().unwrap();
    for _ in 0..3 {
        let mut client = Process::start("half-way", path.to_str().unwrap());
        client.wait_for("announced");
        drop(client);
    }
    let nobody = listening.listener.try_accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(scratch.entries(), ["a"]);
}

/// Begins to connect, and waits for its end.
pub(crate) fn go_half_way(path: &Path) {
    let client = endpoint(path).try_connect().unwrap();
    println!("announced");
    until_told();
    drop(client);
}
