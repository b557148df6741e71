//! More calls than the server takes at a time: the client queues, and everyone gets a turn.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind};
use tokio::task::JoinSet;

use crate::support::serving::run;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Subject, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient, pattern};

/// A server that takes `in_flight` calls of one connection at a time.
fn serve(subject: &Subject, waits: Waits, in_flight: u32) -> (Arc<State>, Endpoint, Serving) {
    let state = State::new();
    let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = in_flight);
    let serving = Serving::start(waits, state.server(), &endpoint);
    (state, endpoint, serving)
}

#[test]
fn more_calls_than_may_be_in_flight_all_complete() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint, serving) = serve(subject, waits, 4);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let mut calls = JoinSet::new();
                for _ in 0..100 {
                    let client = client.clone();
                    calls.spawn(async move { client.wait().await.unwrap() });
                }
                until_async(|| state.running() == 4).await;
                assert_eq!(client.client().calls_in_flight(), 4);
                state.gate.add_permits(100);
                calls.join_all().await;
            });
            assert_eq!((state.started(), state.most_running()), (100, 4));
            assert_eq!(serving.stats().calls(), 100, "none was refused and made again");
        }
    });
}

#[test]
fn more_threads_than_may_be_in_flight_all_complete() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint, serving) = serve(subject, waits, 4);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            thread::scope(|scope| {
                for _ in 0..50 {
                    scope.spawn(|| client.wait().unwrap());
                }
                until(|| state.running() == 4);
                state.gate.add_permits(50);
            });
            assert_eq!((state.started(), state.most_running()), (50, 4));
            assert_eq!(serving.stats().calls(), 50, "none was refused and made again");
        }
    });
}

#[test]
fn a_thread_in_the_queue_goes_on_when_nobody_else_waits() {
    over_every_scheme(|subject| {
        let (state, endpoint, _serving) = serve(subject, Waits::CurrentThread, 1);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                // It is given up, and nobody waits for its answer, which makes room for the next.
                let error = rpc_error(client.with_deadline(Duration::from_millis(100)).wait());
                assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            });
            until(|| state.started() == 1);
            let second = scope.spawn(|| client.add(1, 1).unwrap());
            first.join().unwrap();
            assert_eq!(second.join().unwrap(), 2);
        });
    });
}

#[test]
fn threads_that_want_no_answer_do_not_wait_for_one() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint, _serving) = serve(subject, waits, 1);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            // Nothing ever comes back here, so nobody may wait for anything to come.
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            client.note_inline("").unwrap();
                        }
                    });
                }
            });
            until(|| state.noted() == 1600);
        }
    });
}

#[test]
fn threads_that_want_no_answer_wait_for_the_peer_to_read() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint, _serving) = serve(subject, waits, 1024);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            let text = "x".repeat(60_000);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            client.note_inline(&text).unwrap();
                        }
                    });
                }
            });
            until(|| state.noted() == 400);
        }
    });
}

#[test]
fn tasks_that_want_no_answer_wait_for_the_peer_to_read() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint, _serving) = serve(subject, waits, 1024);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let mut senders = JoinSet::new();
                for _ in 0..4 {
                    let client = client.clone();
                    senders.spawn(async move {
                        let text = "x".repeat(60_000);
                        for _ in 0..100 {
                            client.note_inline(&text).await.unwrap();
                        }
                    });
                }
                senders.join_all().await;
                until_async(|| state.noted() == 400).await;
            });
        }
    });
}

#[test]
fn oneway_handlers_that_wait_hold_the_client_back_and_not_up() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint, serving) = serve(subject, waits, 4);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                for _ in 0..100 {
                    client.wait_oneway().await.unwrap();
                }
                until_async(|| state.running() == 4).await;
                state.gate.add_permits(100);
                assert_eq!(client.add(1, 1).await.unwrap(), 2, "it is behind all of them");
                until_async(|| state.ended() == 100).await;
            });
            assert_eq!(serving.stats().calls(), 101);
        }
    });
}

#[test]
fn large_calls_wait_for_what_the_server_may_hold() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| settings.limits.held_bytes = 300_000);
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let mut calls = JoinSet::new();
                for _ in 0..10 {
                    let client = client.clone();
                    calls.spawn(async move {
                        let data = pattern(100_000 - 3);
                        client.wait_with(&data).await.unwrap()
                    });
                }
                until_async(|| state.running() == 3).await;
                state.gate.add_permits(10);
                while let Some(length) = calls.join_next().await {
                    assert_eq!(length.unwrap(), 100_000 - 3);
                }
            });
            assert_eq!(state.most_running(), 3);
        }
    });
}

#[test]
fn small_calls_and_cancellation_pass_while_the_server_holds_all_it_may() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| settings.limits.held_bytes = 100_000);
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let data = pattern(100_000 - 3);
                tokio::select! {
                    biased;
                    _ = client.wait_with(&data) => panic!("nobody lets it pass"),
                    () = until_async(|| state.started() == 1) => {}
                }
                until_async(|| state.ended() == 1).await;
                let mut held = std::pin::pin!(client.wait_with(&data));
                tokio::select! {
                    biased;
                    _ = &mut held => panic!("nobody lets it pass"),
                    () = until_async(|| state.started() == 2) => {}
                }
                assert_eq!(client.add(1, 1).await.unwrap(), 2);
                state.gate.add_permits(1);
                held.await.unwrap();
            });
        }
    });
}
