//! Whoever drops an end of a stream stops the other, and nothing is left of it.

use std::sync::Arc;

use crate::studio::{State, StudioBlockingClient, StudioClient, iter, next, told};
use crate::support::random::Random;
use crate::support::serving::run;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, over_every_scheme};

#[test]
fn a_dropped_stream_drops_the_handler_s() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                drop(client.silent().await.unwrap());
                let mut endless = client.endless().await.unwrap();
                for n in 0..1000 {
                    assert_eq!(next(&mut endless).await.unwrap().unwrap(), n);
                }
                drop(endless);
                until_async(|| state.dropped() == 2).await;
                until_async(|| client.client().calls_in_flight() == 0).await;
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            assert!(client.endless().unwrap().take(10).map(Result::unwrap).eq(0..10));
            drop(client.silent().unwrap());
            until(|| state.dropped() == 4);
            assert_eq!(client.add(1, 2).unwrap(), 3);
        }
    });
}

#[test]
fn a_dropped_call_breaks_its_argument_off() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let sent = Arc::new(State::default());
                tokio::select! {
                    biased;
                    result = client.starve(told(&sent, 0..)) => panic!("{result:?}"),
                    () = until_async(|| state.made() > 0) => {}
                }
                until_async(|| state.dropped() == 1).await;
                assert_eq!(sent.dropped(), 1);
                tokio::select! {
                    biased;
                    result = client.sum_blocking(told(&sent, 0..), 1) => panic!("{result:?}"),
                    () = until_async(|| sent.made() > 100_000) => {}
                }
                until_async(|| state.broken() == 1).await;
                until_async(|| client.client().calls_in_flight() == 0).await;
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
        }
    });
}

#[test]
fn a_handler_that_wants_no_more_stops_the_argument_and_goes_on() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let sent = Arc::new(State::default());
                tokio::select! {
                    biased;
                    result = client.decline(told(&sent, 0..)) => panic!("{result:?}"),
                    () = until_async(|| sent.dropped() == 1) => {}
                }
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
        }
    });
}

#[test]
fn of_a_thousand_streams_half_are_dropped_at_any_moment() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 50);
            let state = State::default().into();
            let serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let mut random = Random(7);
                let mut tasks = tokio::task::JoinSet::new();
                for n in 0..1000_u64 {
                    let (client, count) = (client.clone(), random.below(3_000));
                    let drop_after = (n % 2 == 0).then(|| random.below(1 + count));
                    tasks.spawn(async move {
                        let mut items = client.numbers(n, count).await.unwrap();
                        for item in 0..drop_after.unwrap_or(count) {
                            assert_eq!(next(&mut items).await.unwrap().unwrap(), n + item);
                        }
                        if drop_after.is_none() {
                            assert!(next(&mut items).await.is_none());
                        }
                    });
                }
                while let Some(ended) = tasks.join_next().await {
                    ended.unwrap();
                }
                until_async(|| client.client().calls_in_flight() == 0).await;
                assert_eq!(client.sum(1, iter(0..10)).await.unwrap(), 45);
            });
            until(|| state.dropped() == 1000);
            drop(serving);
            assert_eq!(Arc::strong_count(&state), 1, "something is left");
        }
    });
}
