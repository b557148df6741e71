//! Dropping a call's future cancels the call.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ipcall::{Endpoint, Outcome};

use crate::support::serving::run;
use crate::support::waiting::until_async;
use crate::support::{Serving, Waits, is_gone, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopClient, pattern};

pub(crate) fn against_tokio_servers(in_flight: u32, test: impl AsyncFn(&State, &Endpoint)) {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            println!("  {waits:?}");
            let state = State::new();
            let endpoint =
                subject.endpoint_with(|settings| settings.limits.calls_in_flight = in_flight);
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(test(&state, &endpoint));
        }
    });
}

#[test]
fn a_dropped_call_drops_its_handler_and_frees_its_slot() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        for round in 1..=10 {
            tokio::select! {
                biased;
                _ = client.never() => panic!("it is never ready"),
                () = until_async(|| state.started() == round) => {}
            }
            until_async(|| state.ended() == round).await;
            // There is one slot, so it must be free.
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
        }
        assert_eq!(client.client().late_replies(), 10);
        assert_eq!(client.client().calls_in_flight(), 0);
    });
}

#[test]
fn a_call_dropped_before_it_was_polled_was_never_sent() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        drop(client.never());
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
        assert_eq!(state.started(), 0);
    });
}

#[test]
fn a_call_dropped_in_the_queue_lets_the_next_one_pass() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let mut first = pin!(client.wait());
        let mut last = pin!(client.add(1, 1));
        {
            let mut queued = pin!(client.never());
            std::future::poll_fn(|cx| {
                assert!(first.as_mut().poll(cx).is_pending());
                assert!(last.as_mut().poll(cx).is_pending());
                assert!(queued.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            // `queued` goes here, after `last` was polled by the same task.
        }
        state.gate.add_permits(1);
        let (first, last) = tokio::join!(first, last);
        first.unwrap();
        assert_eq!(last.unwrap(), 2);
        assert_eq!(state.started(), 1, "the one in the middle was never sent");
    });
}

#[test]
fn a_queued_call_may_move_to_another_task() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let first = tokio::spawn({
            let client = client.clone();
            async move { client.wait().await }
        });
        until_async(|| state.started() == 1).await;
        let other = client.clone();
        let mut second = Box::pin(async move { other.add(1, 1).await });
        assert!(
            std::future::poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await
        );
        let second = tokio::spawn(second);
        // It has been polled there before there is a slot.
        tokio::task::yield_now().await;
        state.gate.add_permits(1);
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 2);
    });
}

#[test]
fn a_large_call_dropped_while_it_is_sent_is_cancelled() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let data = pattern(32 << 20);
        // One poll sends as much as the transport takes, which is not all of it.
        let sending = tokio::time::timeout(Duration::ZERO, client.wait_with(&data)).await;
        assert!(sending.is_err());
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(state.running(), 0);
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
    });
}

#[test]
fn a_large_call_dropped_behind_another_is_cancelled() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let (data, other) = (pattern(1 << 20), pattern(32 << 20));
        let large = tokio::spawn({
            let client = client.clone();
            async move { client.echo(other).await.unwrap().len() }
        });
        tokio::task::yield_now().await;
        let sending = tokio::time::timeout(Duration::ZERO, client.wait_with(&data)).await;
        assert!(sending.is_err());
        assert_eq!(large.await.unwrap(), 32 << 20);
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(state.running(), 0);
    });
}

#[test]
fn the_last_client_dropped_takes_its_calls_along() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let other = client.clone();
        tokio::select! {
            biased;
            _ = client.never() => panic!("it is never ready"),
            () = until_async(|| state.started() == 1) => {}
        }
        let call = tokio::spawn(async move { other.never().await });
        until_async(|| state.started() == 2).await;
        drop(client);
        // Its clone is still there, and its call with it.
        assert_eq!(state.ended(), 1);
        call.abort();
        until_async(|| state.ended() == 2).await;
    });
}

#[test]
fn the_end_of_the_runtime_ends_the_calls_made_elsewhere() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::CurrentThread, state.server(), &endpoint);
        let reading = crate::support::serving::multi_thread();
        let client = reading.block_on(WorkshopClient::connect(&endpoint)).unwrap();
        let error = run(async {
            let call = tokio::spawn({
                let client = client.clone();
                async move { client.never().await }
            });
            until_async(|| state.started() == 1).await;
            reading.shutdown_background();
            rpc_error(call.await.unwrap())
        });
        assert!(is_gone(&error), "{error:?}");
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        let error = rpc_error(run(client.add(1, 1)));
        assert!(is_gone(&error), "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotExecuted);
    });
}
