//! A server whose connections one thread serves that never sleeps.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind, Server};
use nix::sched::CpuSet;

use crate::support::frame::Frame;
use crate::support::raw::{Raw, number};
use crate::support::serving::{cpu, run};
use crate::support::waiting::until;
use crate::support::{Serving, Waits, assert_kind, is_gone, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient, pattern};

/// How servers are served by such a thread: from a runtime, or without one.
const WAYS: [Waits; 2] = [Waits::CurrentThread, Waits::Threads];

fn client(endpoint: &Endpoint) -> WorkshopBlockingClient {
    WorkshopBlockingClient::connect(endpoint).unwrap()
}

/// The states of the threads in this process that never sleep, as `proc(5)` writes them.
fn states() -> Vec<char> {
    let mut states = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // One that has ended meanwhile is none.
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.split_once(") ").unwrap();
        if name.ends_with("(ipcall-busy") {
            states.extend(rest.chars().next());
        }
    }
    states
}

#[test]
fn one_thread_serves_them_all() {
    over_every_scheme(|subject| {
        for way in WAYS {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let serving = Serving::start(way, state.server().busy_poll(cpu()), &endpoint);
            let clients = if subject.scheme().starts_server { 1 } else { 4 };
            let threads = thread::scope(|scope| {
                let calling = (0..clients).map(|_| {
                    scope.spawn(|| {
                        let client = client(&endpoint);
                        assert_eq!(client.echo(pattern(300_000)).unwrap(), pattern(300_000));
                        (0..50).for_each(|n| assert_eq!(client.add(n, 1).unwrap(), n + 1));
                        assert_eq!(client.add_inline(1, 1).unwrap(), 2);
                        client.note("a word").unwrap();
                        client.add_blocking(1, 1).unwrap().1
                    })
                });
                let calling: Vec<_> = calling.collect();
                calling.into_iter().map(|calling| calling.join().unwrap()).collect::<HashSet<_>>()
            });
            assert_eq!(threads.len(), 1, "{threads:?}");
            assert_eq!(state.noted(), clients);
            assert_eq!(serving.stats().accepted(), clients as u64);
        }
    });
}

#[test]
fn it_drains() {
    over_every_scheme(|subject| {
        for way in WAYS {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let serving = Serving::start(way, state.server().busy_poll(cpu()), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let waiting = client.wait();
                let stopping = async {
                    crate::support::waiting::until_async(|| state.running() == 1).await;
                    serving.shutdown();
                    state.gate.add_permits(1);
                };
                tokio::join!(waiting, stopping).0.unwrap();
                let error = loop {
                    if let Err(error) = client.add(1, 1).await {
                        let error = rpc_error::<(), _>(Err(error));
                        if is_gone(&error) {
                            break error;
                        }
                    }
                };
                assert!(error.to_string().contains("shutting down"), "{error}");
            });
            serving.join();
        }
    });
}

#[test]
fn who_floods_it_does_not_keep_it_from_others() {
    over_every_scheme(|subject| {
        if subject.scheme().starts_server {
            return;
        }
        let (state, endpoint) = (State::new(), subject.endpoint());
        let serving = Serving::start(Waits::Threads, state.server().busy_poll(cpu()), &endpoint);
        let (mut raw, hello) = Raw::greeted(&endpoint);
        let frame = Frame::call(number(&hello, "add"), 1, &[1, 1]).to_bytes();
        let flood = frame.repeat(100_000);
        raw.write_until_full(&flood, Duration::from_millis(50));
        let client = client(&endpoint);
        (0..50).for_each(|n| assert_eq!(client.add(n, 1).unwrap(), n + 1));
        // Nor does who breaks the protocol, and is listened to for a while.
        let mut wrong = Raw::greeted(&endpoint).0;
        wrong.write(&[0xff; 64]);
        (0..50).for_each(|n| assert_eq!(client.add(n, 1).unwrap(), n + 1));
        wrong.rest();
        until(|| serving.stats().violations() == 1);
        drop(raw);
    });
}

#[test]
fn it_sleeps_while_there_is_nobody() {
    // Over one transport, as all such threads of this process are looked at.
    let subject = crate::support::Subject::named("unix");
    let (state, endpoint) = (State::new(), subject.endpoint());
    let serving = Serving::start(Waits::Threads, state.server().busy_poll(cpu()), &endpoint);
    let client = client(&endpoint);
    assert_eq!(client.add(1, 1).unwrap(), 2);
    drop(client);
    let _watchdog = crate::support::Watchdog::new("going to sleep".to_owned());
    until(|| states().contains(&'S'));
    drop(serving);
}

#[test]
fn a_cpu_that_is_not_there_is_an_error() {
    over_every_scheme(|subject| {
        for way in WAYS {
            let server = Server::new().busy_poll(CpuSet::count() - 1);
            let bound = server.bind([&subject.endpoint()]).unwrap();
            let error = way.serve(bound).unwrap_err();
            assert_kind!(error, ErrorKind::Io { .. });
            assert!(error.to_string().contains("CPU 1023"), "{error}");
        }
    });
}
