//! A deadline is one budget over waiting for a turn, writing, the handler and the reply.

use std::time::Duration;

use ipcall::{ConnectOptions, ErrorKind, Outcome, RpcError};

use crate::support::serving::run;
use crate::support::subject::with;
use crate::support::waiting::{timed, until, until_async};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{Seen, State, WorkshopBlockingClient, WorkshopClient};

const SHORT: Duration = Duration::from_millis(100);
/// What a busy machine may add.
const LOOSE: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_exceeded(error: &RpcError, took: Duration, outcome: Outcome) {
    assert_kind!(error, ErrorKind::DeadlineExceeded { deadline } if *deadline <= SHORT);
    assert_eq!(error.outcome(), outcome);
    assert!(took >= SHORT && took < SHORT + LOOSE, "{took:?}");
}

#[test]
fn a_handler_that_never_answers_costs_an_async_client_its_deadline() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let begun = std::time::Instant::now();
                let result = client.with_deadline(SHORT).never().await;
                assert_exceeded(&rpc_error(result), begun.elapsed(), Outcome::MaybeExecuted);
                assert_eq!(client.add(1, 1).await.unwrap(), 2, "the connection goes on");
                // The server has dropped the handler, too.
                until_async(|| state.ended() == 1 && client.client().calls_in_flight() == 0).await;
            });
        }
    });
}

#[test]
fn a_handler_that_never_answers_costs_a_blocking_client_its_deadline() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            let (result, took) = timed(|| client.with_deadline(SHORT).never());
            assert_exceeded(&rpc_error(result), took, Outcome::MaybeExecuted);
            let (result, took) = timed(|| client.never_for_long());
            assert_exceeded(&rpc_error(result), took, Outcome::MaybeExecuted);
            assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
            until(|| state.ended() == 2);
        }
    });
}

#[test]
fn a_call_that_expires_in_the_queue_was_not_executed() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 1);
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let first = tokio::spawn({
                    let client = client.clone();
                    async move { client.wait().await }
                });
                until_async(|| state.started() == 1).await;
                let begun = std::time::Instant::now();
                let result = client.with_deadline(SHORT).add(1, 1).await;
                assert_exceeded(&rpc_error(result), begun.elapsed(), Outcome::NotExecuted);
                state.gate.add_permits(1);
                first.await.unwrap().unwrap();
                assert_eq!(client.add(1, 1).await.unwrap(), 2);
            });
            // The one that waits, and the one after it.
            assert_eq!(serving.stats().calls(), 2);
        }
    });
}

#[test]
fn a_blocking_call_that_expires_in_the_queue_was_not_executed() {
    over_every_scheme(|subject| {
        let state = State::new();
        let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 1);
        let serving = Serving::start(Waits::CurrentThread, state.server(), &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| client.wait());
            until(|| state.started() == 1);
            let (result, took) = timed(|| client.with_deadline(SHORT).add(1, 1));
            assert_exceeded(&rpc_error(result), took, Outcome::NotExecuted);
            state.gate.add_permits(1);
            first.join().unwrap().unwrap();
        });
        assert_eq!(client.add(1, 1).unwrap(), 2);
        assert_eq!(serving.stats().calls(), 2);
    });
}

/// Whether this is what a call with a budget of `seconds` sees, a little after it was made.
fn has_budget(seen: &Seen, seconds: u64) -> bool {
    let budget = Duration::from_secs(seconds);
    seen.remaining.is_some_and(|left| left <= budget && left + Duration::from_secs(30) > budget)
}

#[test]
fn the_call_decides_over_the_method_and_the_method_over_the_default() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            let configured =
                with(&endpoint, |settings| settings.deadline = Some(Duration::from_secs(400)));
            let client = WorkshopBlockingClient::connect(&configured).unwrap();
            assert!(has_budget(&client.seen().unwrap(), 400));
            assert!(has_budget(&client.seen_in_time().unwrap(), 200));
            let options = ConnectOptions::new().deadline(Duration::from_secs(300));
            let client = WorkshopBlockingClient::connect_with(&configured, &options).unwrap();
            assert!(has_budget(&client.seen().unwrap(), 300));
            let hurried = client.with_deadline(Duration::from_secs(100));
            assert!(has_budget(&hurried.seen().unwrap(), 100));
            assert!(has_budget(&hurried.seen_in_time().unwrap(), 100));
            let patient = client.with_deadline(Duration::from_secs(500));
            assert!(has_budget(&patient.seen_in_time().unwrap(), 500));
            run(async {
                let client = WorkshopClient::connect_with(&configured, &options).await.unwrap();
                assert!(has_budget(&client.seen().await.unwrap(), 300));
                assert!(has_budget(&client.seen_in_time().await.unwrap(), 200));
                let hurried = client.with_deadline(Duration::from_secs(100));
                assert!(has_budget(&hurried.seen_in_time().await.unwrap(), 100));
            });
        }
    });
}

#[test]
fn a_deadline_of_nothing_is_exceeded_at_once() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::CurrentThread, State::new().server(), &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        let error = rpc_error(client.with_deadline(Duration::ZERO).never());
        assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
        let error = run(async {
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            rpc_error(client.with_deadline(Duration::ZERO).never().await)
        });
        assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
    });
}

#[test]
fn the_longest_deadline_is_no_deadline() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::CurrentThread, State::new().server(), &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(client.with_deadline(Duration::MAX).add(1, 1).unwrap(), 2);
        run(async {
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            assert_eq!(client.with_deadline(Duration::MAX).add(1, 1).await.unwrap(), 2);
        });
    });
}
