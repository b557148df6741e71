//! Many clients at once, and a server that does not keep up.

use std::io::Write;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ipcall::transport::{Binder, Connector, Listener};
use ipcall::{ConnectOptions, ErrorKind};
use nix::libc::O_NONBLOCK;

use crate::support::scratch::Scratch;
use crate::support::{Serving, Subject, Waits, Watchdog, assert_kind};
use crate::{EchoBlockingClient, echo, endpoint};

const CLIENTS: usize = 64;

#[test]
fn sixty_four_clients_come_at_once() {
    let _watchdog = Watchdog::new("64 clients".to_owned());
    for waits in Waits::ALL {
        let subject = Subject::named("fifo");
        let endpoint = subject.endpoint();
        let serving = Serving::start(waits, echo(), &endpoint);
        let start = Barrier::new(CLIENTS);
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (endpoint, start) = (&endpoint, &start);
                scope.spawn(move || {
                    start.wait();
                    let client = EchoBlockingClient::connect(endpoint).unwrap();
                    for size in [0, 1, 100, 100_000] {
                        let data = vec![number as u8; size];
                        assert_eq!(client.echo(data.clone()).unwrap(), data);
                    }
                    // All are there at the same time.
                    start.wait();
                });
            }
        });
        assert_eq!(serving.stats().accepted(), CLIENTS as u64);
    }
}

#[test]
fn a_full_rendezvous_is_a_full_backlog() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut listener = endpoint(&path).bind().unwrap().listener;
    let mut rendezvous = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut rendezvous, O_NONBLOCK);
    let mut rendezvous = rendezvous.write(true).open(&path).unwrap();
    while rendezvous.write(&[b'x'; 32]).is_ok() {}

    let begun = Instant::now();
    let error = endpoint(&path).try_connect().unwrap_err();
    assert_kind!(error, ErrorKind::ServerAbsent { .. });
    assert!(error.to_string().contains("its backlog is full"), "{error}");
    let options = ConnectOptions::new().wait_for_server(Duration::from_millis(100));
    let error = EchoBlockingClient::connect_with(&endpoint(&path), &options).map(drop).unwrap_err();
    assert_kind!(error, ErrorKind::ServerAbsent { .. });
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let error = endpoint(&path).bind().map(drop).unwrap_err();
    assert_kind!(error, ErrorKind::AddressInUse { .. });
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "no pair is left");

    skip_all(&mut *listener);
    let _client = endpoint(&path).try_connect().unwrap();
    listener.try_accept().unwrap();
}

fn skip_all(listener: &mut dyn Listener) {
    while let Err(error) = listener.try_accept() {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            return;
        }
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "{error}");
    }
}
