//! One side is killed: the other knows at once.

use std::thread;
use std::time::{Duration, Instant};

use ipcall::{Endpoint, ErrorKind, Outcome, RpcError};
use tokio::task::JoinSet;

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::holdings::Holdings;
use crate::support::role::Process;
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::until;
use crate::support::{Subject, Waits, assert_kind, rpc_error};

/// Within which a death is seen, on a machine that does other things besides.
const SOON: Duration = Duration::from_secs(5);

const WAITS: [Waits; 2] = [Waits::CurrentThread, Waits::Threads];

#[track_caller]
fn assert_gone(error: &RpcError, outcome: Outcome, endpoint: &Endpoint) {
    assert_kind!(error, ErrorKind::PeerGone { how } if !how.is_empty());
    assert_eq!(error.outcome(), outcome);
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
}

/// Lets the name of a killed server be taken over and given back, so that nothing is left.
fn clean_up(orders: &Orders) {
    let mut process = orders.run();
    process.say("end");
    assert!(process.wait().success());
}

fn with_server(test: impl Fn(&Subject, &Endpoint, Process)) {
    between_processes(|subject| {
        for waits in WAITS {
            println!("  {waits:?}");
            let endpoint = subject.endpoint();
            let orders = Orders::new(&endpoint, waits);
            test(subject, &endpoint, orders.run());
            clean_up(&orders);
            assert!(subject.entries().is_empty());
        }
    });
}

#[test]
fn a_server_killed_in_a_call_fails_it_at_once() {
    with_server(|_, endpoint, mut server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.never());
            assert_eq!(server.hear(), "started");
            let begun = Instant::now();
            server.kill();
            let error = rpc_error(call.join().unwrap());
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_gone(&error, Outcome::MaybeExecuted, endpoint);
        });
        assert_gone(&rpc_error(client.add(1, 1)), Outcome::NotExecuted, endpoint);
        let error = PostBlockingClient::connect(endpoint).unwrap_err();
        assert_kind!(error, ErrorKind::ServerAbsent { .. });
    });
}

#[test]
fn a_server_killed_in_a_call_wakes_every_task() {
    with_server(|_, endpoint, mut server| {
        run(async {
            let client = PostClient::connect(endpoint).await.unwrap();
            let mut calls = JoinSet::new();
            for _ in 0..20 {
                let client = client.clone();
                calls.spawn(async move { client.never().await });
            }
            tokio::task::yield_now().await;
            assert_eq!(server.hear(), "started");
            let begun = Instant::now();
            server.kill();
            for result in calls.join_all().await {
                assert_gone(&rpc_error(result), Outcome::MaybeExecuted, endpoint);
            }
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            let error = rpc_error(client.add(1, 1).await);
            assert_gone(&error, Outcome::NotExecuted, endpoint);
        });
    });
}

#[test]
fn a_server_killed_in_a_large_message_fails_the_call() {
    with_server(|_, endpoint, server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
        // Nobody reads while it is written.
        server.stop();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.echo(vec![7; 32 << 20]));
            until(|| client.client().calls_in_flight() == 1);
            server.kill();
            let error = rpc_error(call.join().unwrap());
            assert_gone(&error, Outcome::MaybeExecuted, endpoint);
        });
    });
}

#[test]
fn a_server_killed_in_the_handshake_is_gone() {
    with_server(|_, endpoint, server| {
        // It takes part in connecting, as far as the kernel does that for it, and in nothing else.
        server.stop();
        let connecting: [fn(&Endpoint) -> RpcError; 2] = [
            |endpoint| PostBlockingClient::connect(endpoint).unwrap_err(),
            |endpoint| run(PostClient::connect(endpoint)).unwrap_err(),
        ];
        thread::scope(|scope| {
            let clients = connecting.map(|connect| scope.spawn(move || connect(endpoint)));
            // Time to send the greeting; without it this tests less.
            thread::sleep(Duration::from_millis(50));
            let begun = Instant::now();
            server.kill();
            for client in clients {
                assert_gone(&client.join().unwrap(), Outcome::NotExecuted, endpoint);
            }
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        });
    });
}

#[test]
fn an_idle_client_finds_out_when_it_calls() {
    with_server(|_, endpoint, server| {
        let blocking = PostBlockingClient::connect(endpoint).unwrap();
        assert_eq!(blocking.add(1, 1).unwrap(), 2);
        run(async {
            let client = PostClient::connect(endpoint).await.unwrap();
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
            server.kill();
            let error = rpc_error(client.add(1, 1).await);
            assert_kind!(error, ErrorKind::PeerGone { .. });
        });
        let error = rpc_error(blocking.add(1, 1));
        assert_kind!(error, ErrorKind::PeerGone { .. });
        let begun = Instant::now();
        assert_gone(&rpc_error(blocking.add(1, 1)), Outcome::NotExecuted, endpoint);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    });
}

#[test]
fn a_client_killed_in_a_call_has_its_handler_dropped() {
    between_processes(|subject| {
        for how in ["blocking", "async"] {
            let endpoint = subject.endpoint();
            let mut server = Orders::new(&endpoint, Waits::CurrentThread).run();
            let other = PostBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(other.add(1, 1).unwrap(), 2);
            let before = Holdings::of(server.id());
            let mut client = Process::start("client", &format!("{how} {}", endpoint.uri()));
            assert_eq!(client.hear(), "connected");
            client.say("call");
            assert_eq!(server.hear(), "started");
            let begun = Instant::now();
            client.kill();
            assert_eq!(server.hear(), "ended");
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            until(|| Holdings::of(server.id()) == before);
            assert_eq!(other.add(1, 1).unwrap(), 2, "the server goes on serving the others");
            drop(other);
            server.say("end");
            assert_eq!(server.hear(), "stopped");
            assert!(server.wait().success());
        }
    });
}

#[test]
fn a_client_killed_in_a_large_result_leaves_nothing() {
    between_processes(|subject| {
        for waits in WAITS {
            let endpoint = subject.endpoint();
            let mut server = Orders::new(&endpoint, waits).run();
            let other = PostBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(other.add(1, 1).unwrap(), 2);
            let before = Holdings::of(server.id());
            for how in ["blocking-large", "async-large"] {
                let mut client = Process::start("client", &format!("{how} {}", endpoint.uri()));
                assert_eq!(client.hear(), "connected");
                client.say("call");
                assert_eq!(server.hear(), "producing");
                // It takes no more than there is room for on the way.
                client.stop();
                client.kill();
                until(|| Holdings::of(server.id()) == before);
            }
            assert_eq!(other.add(1, 1).unwrap(), 2, "the server goes on serving the others");
            drop(other);
            server.say("end");
            assert_eq!(server.hear(), "stopped");
            assert!(server.wait().success());
        }
    });
}

#[test]
fn a_client_killed_in_a_call_does_not_hold_up_the_others_of_a_thread_server() {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let mut server = Orders::new(&endpoint, Waits::Threads).run();
        let other = PostBlockingClient::connect(&endpoint).unwrap();
        let about = format!("blocking {}", endpoint.uri());
        let mut client = Process::start("client", &about);
        assert_eq!(client.hear(), "connected");
        client.say("call");
        assert_eq!(server.hear(), "started");
        client.kill();
        assert_eq!(other.add(1, 1).unwrap(), 2);
        drop(other);
        // Its handler has a thread of its own, and never looks.
        server.kill();
        clean_up(&Orders::new(&endpoint, Waits::Threads));
    });
}
