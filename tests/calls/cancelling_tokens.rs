//! A token cancels the asynchronous calls that were made with it, wherever they are.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use ipcall::{CallError, CallOptions, CancelToken, ErrorKind, Outcome};
use tokio::task::JoinSet;

use crate::cancelling::against_tokio_servers;
use crate::support::waiting::until_async;
use crate::support::{assert_kind, rpc_error};
use crate::workshop::{WorkshopBlockingClient, WorkshopClient, pattern};

/// Checks that a call was cancelled, and in which state.
#[track_caller]
pub(crate) fn assert_cancelled<T: std::fmt::Debug>(result: Result<T, CallError>, outcome: Outcome) {
    let error = rpc_error(result);
    assert_kind!(error, ErrorKind::Cancelled);
    assert_eq!(error.outcome(), outcome);
    let text = error.to_string();
    assert!(text.contains(':'), "it names the endpoint: {text}");
}

#[test]
fn a_call_that_is_sent_ends_at_once_and_its_handler_with_it() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        for round in 1..=5 {
            let token = CancelToken::new();
            let call = tokio::spawn({
                let client = client.with_cancel_token(&token);
                async move { client.never().await }
            });
            until_async(|| state.started() == round).await;
            token.cancel();
            assert_cancelled(call.await.unwrap(), Outcome::MaybeExecuted);
            until_async(|| state.ended() == round).await;
            // There is one slot, so it must be free.
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
        }
        assert_eq!(client.client().late_replies(), 5);
        assert_eq!(client.client().calls_in_flight(), 0);
    });
}

#[test]
fn a_call_in_the_queue_was_not_executed_and_the_next_passes() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_cancel_token(&token);
        let (mut first, mut queued) = (pin!(client.wait()), pin!(tied.never()));
        let mut last = pin!(client.add(1, 1));
        poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            assert!(queued.as_mut().poll(cx).is_pending());
            assert!(last.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        token.cancel();
        assert_cancelled(queued.await, Outcome::NotExecuted);
        state.gate.add_permits(1);
        let (first, last) = tokio::join!(first, last);
        first.unwrap();
        assert_eq!(last.unwrap(), 2);
        assert_eq!(state.started(), 1, "the one in the middle was never sent");
    });
}

#[test]
fn with_a_token_that_is_cancelled_before_nothing_is_sent() {
    against_tokio_servers(1, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_options(CallOptions::new().cancel_token(&token));
        // Made before, but not begun.
        let made = tied.wait_oneway();
        token.cancel();
        assert_cancelled(made.await, Outcome::NotExecuted);
        assert_cancelled(tied.never().await, Outcome::NotExecuted);
        let threads = WorkshopBlockingClient::connect(endpoint).unwrap();
        let tied = threads.with_cancel_token(&token);
        assert_cancelled(tied.never(), Outcome::NotExecuted);
        assert_cancelled(tied.wait_oneway(), Outcome::NotExecuted);
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
        assert_eq!(threads.add(1, 1).unwrap(), 2);
        assert_eq!(state.started(), 0);
    });
}

#[test]
fn ten_calls_share_a_token_and_the_others_go_on() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            let client = client.with_cancel_token(&token);
            calls.spawn(async move { client.never().await });
        }
        let other = tokio::spawn({
            let client = client.clone();
            async move { client.wait().await }
        });
        until_async(|| state.started() == 11).await;
        token.cancel();
        while let Some(call) = calls.join_next().await {
            assert_cancelled(call.unwrap(), Outcome::MaybeExecuted);
        }
        until_async(|| state.ended() == 10).await;
        state.gate.add_permits(1);
        other.await.unwrap().unwrap();
        assert_eq!(client.client().calls_in_flight(), 0);
    });
}

#[test]
fn an_answer_that_is_there_wins() {
    against_tokio_servers(1024, async |_, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_cancel_token(&token);
        let mut call = pin!(tied.add(1, 1));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        until_async(|| client.client().calls_in_flight() == 0).await;
        token.cancel();
        assert_eq!(call.await.unwrap(), 2);
    });
}

#[test]
fn a_call_that_has_ended_leaves_its_token_alone() {
    against_tokio_servers(1024, async |_, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_cancel_token(&token);
        for _ in 0..100 {
            assert_eq!(tied.add(1, 1).await.unwrap(), 2);
        }
        drop(tied.never());
        token.cancel();
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
    });
}

#[test]
fn a_large_call_is_cancelled_while_it_is_sent() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_cancel_token(&token);
        let data = pattern(32 << 20);
        let mut call = pin!(tied.wait_with(&data));
        // One poll sends as much as the transport takes, which is not all of it.
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        token.cancel();
        assert_cancelled(call.await, Outcome::MaybeExecuted);
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(state.running(), 0);
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
    });
}

#[test]
fn a_call_may_move_to_another_task_and_is_cancelled_there() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let token = CancelToken::new();
        let tied = client.with_cancel_token(&token);
        let mut call = Box::pin(async move { tied.never().await });
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        let call = tokio::spawn(call);
        until_async(|| state.started() == 1).await;
        token.cancel();
        assert_cancelled(call.await.unwrap(), Outcome::MaybeExecuted);
    });
}

#[test]
fn the_earlier_of_two_deadlines_counts() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let (soon, late) = (Duration::from_millis(50), Duration::from_secs(3600));
        let now = Instant::now();
        for options in [
            CallOptions::new().deadline(late).deadline_at(now + soon),
            CallOptions::new().deadline(soon).deadline_at(now + late),
            CallOptions::new().deadline_at(now + soon),
        ] {
            let begun = Instant::now();
            let late = options.clone().deadline_at(now);
            let error = rpc_error(client.with_options(options).never().await);
            assert_kind!(error, ErrorKind::DeadlineExceeded { deadline } if *deadline <= soon);
            assert!(begun.elapsed() < Duration::from_secs(60));
            // What comes too late is not sent.
            let error = rpc_error(client.with_options(late).never().await);
            assert_kind!(error, ErrorKind::DeadlineExceeded { deadline } if deadline.is_zero());
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        }
        let seen = client.with_options(CallOptions::new().deadline_at(Instant::now() + late));
        let remaining = seen.seen_in_time().await.unwrap().remaining.unwrap();
        assert!(remaining <= Duration::from_secs(200), "{remaining:?} is not the method's");
        let soon = CallOptions::new().deadline_at(Instant::now() + Duration::from_secs(100));
        let seen = client.with_options(soon).seen_in_time().await.unwrap().remaining.unwrap();
        assert!(seen <= Duration::from_secs(100), "{seen:?} is not the call's");
        assert!(state.started() <= 3);
    });
}
