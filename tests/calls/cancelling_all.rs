//! `cancel_all` of the asynchronous client: what is in flight or queued ends, what begins later goes on.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use ipcall::Outcome;
use tokio::task::JoinSet;

use crate::cancelling::against_tokio_servers;
use crate::cancelling_tokens::assert_cancelled;
use crate::support::waiting::until_async;
use crate::workshop::{WorkshopClient, pattern};

#[test]
fn calls_in_flight_and_queued_end_and_later_ones_go_on() {
    against_tokio_servers(4, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        for round in 1..=5 {
            let mut calls = JoinSet::new();
            for _ in 0..10 {
                let client = client.clone();
                calls.spawn(async move { client.never().await });
            }
            until_async(|| state.started() == 4 * round).await;
            client.client().clone().cancel_all();
            let later = tokio::spawn({
                let client = client.clone();
                async move { client.add(1, 1).await }
            });
            let mut sent = 0;
            while let Some(call) = calls.join_next().await {
                let result = call.unwrap();
                let outcome = result.as_ref().unwrap_err().rpc().unwrap().outcome();
                sent += u32::from(outcome == Outcome::MaybeExecuted);
                assert_cancelled(result, outcome);
                assert_ne!(outcome, Outcome::Executed);
            }
            assert_eq!(sent, 4);
            assert_eq!(later.await.unwrap().unwrap(), 2);
            until_async(|| state.ended() == 4 * round).await;
        }
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(client.client().late_replies(), 20);
        assert_eq!(state.started(), 20, "none of the queue was sent");
    });
}

#[test]
fn the_server_is_told_also_of_what_nobody_polls() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let mut call = pin!(client.never());
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        until_async(|| state.started() == 1).await;
        client.client().cancel_all();
        until_async(|| state.ended() == 1 && client.client().calls_in_flight() == 0).await;
        // Its slot is another's by now.
        let mut other = pin!(client.wait());
        assert!(poll_fn(|cx| Poll::Ready(other.as_mut().poll(cx).is_pending())).await);
        assert_cancelled(call.await, Outcome::MaybeExecuted);
        state.gate.add_permits(1);
        other.await.unwrap();
    });
}

#[test]
fn a_call_that_was_not_polled_has_not_begun() {
    against_tokio_servers(1024, async |_, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let call = client.add(1, 1);
        client.client().cancel_all();
        assert_eq!(call.await.unwrap(), 2);
    });
}

#[test]
fn an_answer_that_is_there_wins() {
    against_tokio_servers(1024, async |_, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let mut call = pin!(client.add(1, 1));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        until_async(|| client.client().calls_in_flight() == 0).await;
        client.client().cancel_all();
        assert_eq!(call.await.unwrap(), 2);
    });
}

#[test]
fn a_large_call_is_cancelled_while_it_is_sent() {
    against_tokio_servers(1024, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let data = pattern(32 << 20);
        let mut call = pin!(client.wait_with(&data));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        client.client().cancel_all();
        assert_cancelled(call.await, Outcome::MaybeExecuted);
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(state.running(), 0);
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
    });
}

#[test]
fn calls_that_are_made_meanwhile_end_one_way_or_the_other() {
    against_tokio_servers(8, async |_, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..16 {
            let client = client.clone();
            calls.spawn(async move {
                let (mut answered, mut cancelled) = (0, 0);
                for number in 0..100 {
                    match client.add(number, 1).await {
                        Ok(sum) => {
                            assert_eq!(sum, number + 1);
                            answered += 1;
                        }
                        Err(error) => {
                            let outcome = error.rpc().unwrap().outcome();
                            assert_cancelled(Err::<(), _>(error), outcome);
                            cancelled += 1;
                        }
                    }
                }
                assert_eq!(answered + cancelled, 100);
            });
        }
        let other = client.client().clone();
        let canceller = thread::spawn(move || {
            for _ in 0..100 {
                other.cancel_all();
                thread::yield_now();
            }
        });
        calls.join_all().await;
        canceller.join().unwrap();
        // Whatever was cancelled has been answered late, and nothing has lost its place.
        until_async(|| client.client().calls_in_flight() == 0).await;
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
    });
}

#[test]
fn the_server_is_told_also_of_calls_that_are_just_being_sent() {
    against_tokio_servers(8, async |state, endpoint| {
        let client = WorkshopClient::connect(endpoint).await.unwrap();
        let (other, done) = (client.client().clone(), Arc::new(AtomicBool::new(false)));
        let canceller = thread::spawn({
            let done = Arc::clone(&done);
            move || {
                while !done.load(Ordering::SeqCst) {
                    other.cancel_all();
                }
            }
        });
        let mut calls = JoinSet::new();
        for _ in 0..4 {
            let client = client.clone();
            calls.spawn(async move {
                for _ in 0..200 {
                    assert!(client.never().await.is_err());
                }
            });
        }
        calls.join_all().await;
        done.store(true, Ordering::SeqCst);
        canceller.join().unwrap();
        until_async(|| state.running() == 0 && client.client().calls_in_flight() == 0).await;
    });
}
