//! A server in threads goes on to read while a handler is busy.

use std::time::Duration;

use ipcall::{ErrorKind, Outcome};

use crate::labour::{LabourClient, State};
use crate::support::serving::run;
use crate::support::waiting::until_async;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

#[test]
fn calls_that_wait_behind_a_busy_handler_are_made_in_order_or_withdrawn() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::Threads, state.server(), &endpoint);
        run(async {
            let client = LabourClient::connect(&endpoint).await.unwrap();
            for _ in 0..2 {
                let busy = tokio::spawn({
                    let client = client.clone();
                    async move { client.stubborn(120).await }
                });
                let before = state.started();
                until_async(|| state.started() > before).await;
                let in_time = client.with_deadline(Duration::from_secs(100));
                let (first, second, third, late) = tokio::join!(
                    client.add(1, 1),
                    client.add_blocking(2, 2),
                    in_time.remaining(),
                    tokio::time::timeout(Duration::from_millis(5), client.stubborn(100_000)),
                );
                assert_eq!((first.unwrap(), second.unwrap()), (2, 4));
                let left = Duration::from_nanos(third.unwrap().unwrap());
                // The time that a call waits is taken from it, here most of 120 ms.
                assert!(left < Duration::from_millis(99_999), "{left:?}");
                assert!(late.is_err());
                assert_eq!(busy.await.unwrap().unwrap(), 120);
                assert_eq!(client.add(3, 3).await.unwrap(), 6);
                until_async(|| client.client().calls_in_flight() == 0).await;
            }
            // Had one been started that was cancelled before, it would still run.
            assert_eq!(state.started() as usize, state.ended());
        });
    });
}

#[test]
fn a_call_whose_time_runs_out_behind_a_busy_handler_is_not_started() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::Threads, state.server(), &endpoint);
        run(async {
            let client = LabourClient::connect(&endpoint).await.unwrap();
            let busy = tokio::spawn({
                let client = client.clone();
                async move { client.stubborn(60).await }
            });
            until_async(|| state.started() == 1).await;
            let error =
                rpc_error(client.with_deadline(Duration::from_millis(20)).stubborn(1).await);
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
            assert_eq!(busy.await.unwrap().unwrap(), 60);
            until_async(|| client.client().calls_in_flight() == 0).await;
            assert_eq!(state.started(), 1);
        });
    });
}

/// More than fits into any transport's own buffers, so that the client's writes are stuck.
#[test]
fn a_cancellation_gets_past_a_full_path() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let mut busy = Box::pin(client.read());
                tokio::select! {
                    biased;
                    result = &mut busy => panic!("{result:?}"),
                    () = until_async(|| state.started() == 1) => {}
                }
                // Each is small, and all together are megabytes.
                let calls: Vec<_> = (0..900)
                    .map(|number| {
                        let client = client.clone();
                        tokio::spawn(async move { client.swallow(&[7; 16 << 10], number).await })
                    })
                    .collect();
                tokio::task::yield_now().await;
                drop(busy);
                until_async(|| state.ended() == 1).await;
                for (number, call) in calls.into_iter().enumerate() {
                    assert_eq!(call.await.unwrap().unwrap(), number as u64);
                }
            });
        }
    });
}
