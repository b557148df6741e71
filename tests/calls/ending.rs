//! Ends of connections: the last client, and everybody who waits.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ipcall::{ErrorKind, Outcome, RpcError};
use tokio::task::JoinSet;

use crate::support::serving::run;
use crate::support::waiting::{patiently, until, until_async};
use crate::support::{Serving, Waits, assert_kind, is_gone, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

#[test]
fn the_last_client_dropped_closes_the_connection() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            // With room for one, the next is let in when the one before has gone.
            let endpoint = subject.endpoint_with(|settings| settings.limits.connections = 1);
            let ends = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&ends);
            let hook = move |_: &_, error: &RpcError| {
                if !matches!(error.kind(), ErrorKind::Overloaded { .. }) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            };
            let server = State::new().server().on_disconnect(hook);
            let serving = Serving::start(waits, server, &endpoint);
            let first = WorkshopBlockingClient::connect(&endpoint).unwrap();
            let clone = first.clone();
            drop(first);
            WorkshopBlockingClient::connect(&endpoint).unwrap_err();
            assert_eq!(clone.add(1, 1).unwrap(), 2);
            drop(clone);
            run(async {
                let second = patiently_async(&endpoint).await;
                let connection = second.client().clone();
                drop(second);
                // The connection is still there for other services.
                let second = WorkshopClient::from_client(&connection).unwrap();
                drop(connection);
                assert_eq!(second.add(1, 1).await.unwrap(), 2);
            });
            drop(patiently(|| WorkshopBlockingClient::connect(&endpoint).ok()));
            // Counted after it was greeted.
            until(|| serving.stats().accepted() == 3);
            drop(serving);
            assert_eq!(ends.load(Ordering::SeqCst), 0, "orderly ends are not reported");
        }
    });
}

async fn patiently_async(endpoint: &ipcall::Endpoint) -> WorkshopClient {
    loop {
        if let Ok(client) = WorkshopClient::connect(endpoint).await {
            return client;
        }
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn assert_gone(error: &RpcError, outcome: Outcome, uri: &str) {
    assert!(is_gone(error), "{error:?}");
    assert_eq!(error.outcome(), outcome);
    assert_eq!(error.endpoint(), Some(uri));
    let ErrorKind::PeerGone { how } = error.kind() else { unreachable!() };
    assert!(!how.is_empty());
}

#[test]
fn the_end_of_the_server_wakes_every_task() {
    over_every_scheme(|subject| {
        let state = State::new();
        let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 10);
        let server = state.server().grace(std::time::Duration::ZERO);
        let serving = Serving::start(Waits::CurrentThread, server, &endpoint);
        run(async {
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            let mut calls = JoinSet::new();
            for _ in 0..20 {
                let client = client.clone();
                calls.spawn(async move { client.never().await });
            }
            until_async(|| state.running() == 10).await;
            serving.shutdown();
            let errors: Vec<_> = calls.join_all().await.into_iter().map(rpc_error).collect();
            for error in &errors {
                // Those that ran may have been told that they were cancelled.
                let cancelled = matches!(error.kind(), ErrorKind::Cancelled);
                assert!(cancelled || is_gone(error), "{error:?}");
            }
            let queued = errors.iter().filter(|error| error.outcome() == Outcome::NotExecuted);
            assert!(queued.count() <= 10);
            until_async(|| state.running() == 0).await;
            let error = rpc_error(client.add(1, 1).await);
            assert_gone(&error, Outcome::NotExecuted, endpoint.uri());
        });
        serving.join();
    });
}

#[test]
fn the_end_of_the_server_wakes_every_thread() {
    over_every_scheme(|subject| {
        let state = State::new();
        let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 10);
        let server = state.server().grace(std::time::Duration::ZERO);
        let serving = Serving::start(Waits::CurrentThread, server, &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        let errors = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let result = client.never();
                    errors.lock().unwrap().push(result);
                });
            }
            // Half of them are in flight, the others in the queue.
            until(|| state.running() == 10);
            serving.shutdown();
        });
        for error in errors.into_inner().unwrap().into_iter().map(rpc_error) {
            let cancelled = matches!(error.kind(), ErrorKind::Cancelled);
            assert!(cancelled || is_gone(&error), "{error:?}");
        }
        let error = rpc_error(client.add(1, 1));
        assert_gone(&error, Outcome::NotExecuted, endpoint.uri());
        serving.join();
    });
}

#[test]
fn the_handlers_of_a_client_that_has_gone_are_dropped() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                for _ in 0..10 {
                    let client = client.clone();
                    tokio::spawn(async move { client.never().await });
                }
                until_async(|| state.running() == 10).await;
            });
            // The end of the runtime is the end of its tasks, and so of the last client.
            until(|| state.ended() == 10);
        }
    });
}

#[test]
fn calls_without_a_reply_outlive_their_client() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                for _ in 0..10 {
                    client.wait_oneway().await.unwrap();
                }
                until_async(|| state.running() == 10).await;
            });
            // Others come and go meanwhile.
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
            assert_eq!(state.ended(), 0);
            state.gate.add_permits(10);
            until(|| state.ended() == 10);
            assert_eq!(serving.stats().calls(), 11);
        }
    });
}

#[test]
fn an_error_of_a_connection_names_its_method_and_endpoint() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let serving = Serving::start(Waits::Threads, State::new().server(), &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
        serving.shutdown();
        serving.join();
        let error = patiently(|| client.add(1, 1).err());
        let ipcall::CallError::Rpc(error) = error;
        assert_eq!(error.method(), Some("add"));
        assert_kind!(error, ErrorKind::PeerGone { .. });
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}: add: ", endpoint.uri())), "{text}");
    });
}
