//! What goes in comes out, in order, whatever its size and number.

use crate::studio::{Shot, State, StudioBlockingClient, StudioClient, all, iter, next};
use crate::support::serving::run;
use crate::support::{Serving, Waits, over_every_scheme};

/// Some of every size up to nearly a window.
const SIZES: [usize; 9] = [0, 1, 100, 5_000, 70_000, 3, 200_000, 0, 260_000];

#[test]
fn results_flow_to_an_async_client() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let (numbers, error) = all(client.numbers(5, 100_000).await.unwrap()).await;
                assert!(error.is_none(), "{error:?}");
                assert!(numbers.iter().copied().eq(5..100_005), "{}", numbers.len());
                let (shots, error) = all(client.shots("a", SIZES.to_vec()).await.unwrap()).await;
                assert!(error.is_none(), "{error:?}");
                check(&shots, "a");
                let (reels, error) = all(client.reels(30, 60_000).await.unwrap()).await;
                assert!(error.is_none(), "{error:?}");
                let wanted: Vec<_> = (0..30).map(|number| vec![number; 60_000]).collect();
                assert!(reels == wanted, "{}", reels.len());
                let (none, error) = all(client.numbers(0, 0).await.unwrap()).await;
                assert!(none.is_empty() && error.is_none());
                assert_eq!(client.client().calls_in_flight(), 0);
            });
        }
    });
}

fn check(shots: &[Shot], title: &str) {
    assert_eq!(shots.len(), SIZES.len());
    for ((number, size), shot) in (0..).zip(SIZES).zip(shots) {
        assert_eq!((shot.number, &shot.title[..]), (number, title));
        assert!(shot.data == vec![number as u8; size]);
    }
}

#[test]
fn results_flow_to_a_blocking_client() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let numbers: Result<Vec<_>, _> = client.numbers(5, 100_000).unwrap().collect();
            assert!(numbers.unwrap().into_iter().eq(5..100_005));
            let shots: Result<Vec<_>, _> = client.shots("b", SIZES.to_vec()).unwrap().collect();
            check(&shots.unwrap(), "b");
            assert_eq!(client.numbers(0, 0).unwrap().count(), 0);
            assert_eq!(client.add(1, 2).unwrap(), 3);
            assert_eq!(client.client().calls_in_flight(), 0);
        }
    });
}

#[test]
fn arguments_flow_from_an_async_client() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let sum = (0..50_000).sum::<u64>();
                assert_eq!(client.sum(3, iter(0..50_000)).await.unwrap(), 3 * sum);
                assert_eq!(client.sum_blocking(iter(0..50_000), 2).await.unwrap(), 2 * sum);
                let reels = SIZES.iter().map(|size| vec![1; *size]);
                let bytes = SIZES.iter().sum::<usize>() as u64;
                assert_eq!(client.store(iter(reels), u64::MAX).await.unwrap(), bytes);
                assert_eq!(client.sum(3, iter([])).await.unwrap(), 0);
            });
        }
    });
}

#[test]
fn arguments_flow_from_a_blocking_client() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let sum = (0..50_000).sum::<u64>();
            assert_eq!(client.sum(3, 0..50_000).unwrap(), 3 * sum);
            assert_eq!(client.sum_blocking((0..500).filter(|_| true), 2).unwrap(), 249_500);
            let reels = SIZES.iter().map(|size| vec![1; *size]);
            let bytes = SIZES.iter().sum::<usize>() as u64;
            assert_eq!(client.store(reels, u64::MAX).unwrap(), bytes);
            assert_eq!(client.sum(3, []).unwrap(), 0);
        }
    });
}

#[test]
fn a_dialogue_goes_both_ways() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let doubled: Vec<u64> = (0..20_000).map(|n| 2 * n).collect();
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let (items, error) = all(client.double(iter(0..20_000)).await.unwrap()).await;
                assert!(error.is_none() && items == doubled, "{error:?}");
                // One at a time: what is asked next depends on the answer.
                let (ask, asked) = tokio::sync::mpsc::unbounded_channel();
                let mut answers = client.double(Asked(asked)).await.unwrap();
                let mut number = 1;
                for _ in 0..20 {
                    ask.send(number).unwrap();
                    number = next(&mut answers).await.unwrap().unwrap();
                }
                assert_eq!(number, 1 << 20);
                drop(ask);
                assert!(next(&mut answers).await.is_none());
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let items: Result<Vec<_>, _> = client.double(0..20_000).unwrap().collect();
            assert!(items.unwrap() == doubled);
        }
    });
}

struct Asked(tokio::sync::mpsc::UnboundedReceiver<u64>);

impl ipcall::Stream for Asked {
    type Item = u64;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<u64>> {
        self.0.poll_recv(cx)
    }
}

#[test]
fn many_streams_share_a_connection_with_calls() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let tasks: Vec<_> = (0..20_u64)
                    .map(|n| {
                        let client = client.clone();
                        tokio::spawn(async move {
                            if n % 2 == 0 {
                                let items = client.numbers(n, 2_000).await.unwrap();
                                assert!(all(items).await.0.into_iter().eq(n..n + 2_000));
                            } else {
                                let sum = client.sum(1, iter(n..n + 2_000)).await.unwrap();
                                assert_eq!(sum, (n..n + 2_000).sum());
                            }
                        })
                    })
                    .collect();
                for n in 0..100 {
                    assert_eq!(client.add(n, 1).await.unwrap(), n + 1);
                }
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
    });
}
