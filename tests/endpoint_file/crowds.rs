//! Many clients at once, with one inotify instance and one thread more in each process.

use std::fs;
use std::sync::Barrier;
use std::thread;

use ipcall::Endpoint;

use crate::support::holdings::Holdings;
use crate::support::role::Process;
use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits};
use crate::{EchoBlockingClient, echo};

const CLIENTS: usize = 64;

#[test]
fn sixty_four_clients_come_at_once() {
    let subject = Subject::named("file");
    for waits in Waits::ALL {
        let endpoint = subject.endpoint();
        let serving = Serving::start(waits, echo(), &endpoint);
        assert!(Process::start("crowd", endpoint.uri()).wait().success(), "see above");
        assert_eq!(serving.stats().accepted(), CLIENTS as u64);
    }
}

/// In a process of its own, so that what it holds is the clients'.
pub(crate) fn come_and_go(uri: &str) {
    let endpoint = Endpoint::parse(uri).unwrap();
    let before = Holdings::now();
    let start = Barrier::new(CLIENTS + 1);
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
                // All are there at the same time, and then are counted.
                start.wait();
                start.wait();
            });
        }
        start.wait();
        start.wait();
        assert_eq!(inotify_instances(), 1);
        assert_eq!(Holdings::now().threads, before.threads + CLIENTS + 1);
        start.wait();
    });
    // A thread that has ended may be listed for a moment longer.
    until(|| Holdings::now() == before);
}

fn inotify_instances() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("inotify")).count()
}
