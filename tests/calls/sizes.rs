//! Messages of every size, up to the limit and one over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ipcall::{Endpoint, ErrorKind, Outcome};
use tokio::task::JoinSet;

use crate::support::serving::run;
use crate::support::subject::with;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient, pattern};

/// The largest message, in bytes.
const LIMIT: usize = (64 << 20) + (4 << 10);
/// What the length of a list costs in a message of that size.
const OVERHEAD: usize = 4;
/// The largest payload of one frame, in bytes; the length of a list of that size takes three of them.
const FRAGMENT: usize = 65_536;

/// Lengths at which something changes.
const LENGTHS: [usize; 9] =
    [0, 1, FRAGMENT - 4, FRAGMENT - 3, FRAGMENT - 2, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 1 << 20];

fn against_two_servers(test: impl Fn(&Endpoint)) {
    over_every_scheme(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            println!("  {waits:?}");
            let endpoint = subject.endpoint();
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            test(&endpoint);
        }
    });
}

/// Not by `assert_eq!`, which would print megabytes.
#[track_caller]
fn assert_pattern(got: &[u8], length: usize) {
    assert_eq!(got.len(), length);
    assert!(got == pattern(length), "{length} other bytes");
}

#[test]
fn messages_of_every_size_come_back_to_an_async_client() {
    against_two_servers(|endpoint| {
        run(async {
            let client = WorkshopClient::connect(endpoint).await.unwrap();
            for length in LENGTHS.into_iter().chain([LIMIT - OVERHEAD]) {
                assert_pattern(&client.echo(pattern(length)).await.unwrap(), length);
            }
        });
    });
}

#[test]
fn messages_of_every_size_come_back_to_a_blocking_client() {
    against_two_servers(|endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        for length in LENGTHS.into_iter().chain([LIMIT - OVERHEAD]) {
            assert_pattern(&client.echo(pattern(length)).unwrap(), length);
        }
    });
}

#[test]
fn a_huge_text_is_lent_to_the_handler() {
    against_two_servers(|endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        let text = "ä".repeat((LIMIT - OVERHEAD) / 2);
        assert_eq!(client.length(&text).unwrap(), text.len() as u64);
    });
}

/// Checks what says that something of one byte more than `limit` is too large.
macro_rules! assert_too_large {
    ($result:expr, $limit:expr, $outcome:expr) => {{
        let error = rpc_error($result);
        let bytes = $limit as u64;
        assert_kind!(error, ErrorKind::TooLarge { limit, actual, .. }
            if (*limit, *actual) == (bytes, bytes + 1));
        assert_eq!(error.outcome(), $outcome);
        let text = error.to_string();
        assert!(text.contains(&bytes.to_string()), "{text}");
    }};
}

#[test]
fn a_message_of_one_byte_too_many_is_refused_where_it_is_made() {
    against_two_servers(|endpoint| {
        let one_over = LIMIT - OVERHEAD + 1;
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        assert_too_large!(client.echo(vec![1; one_over]), LIMIT, Outcome::NotExecuted);
        let text = "x".repeat(one_over);
        assert_too_large!(client.length(&text), LIMIT, Outcome::NotExecuted);
        let result = client.produce(one_over as u64);
        assert_too_large!(result.map(|data| data.len()), LIMIT, Outcome::Executed);
        assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
        run(async {
            let client = WorkshopClient::connect(endpoint).await.unwrap();
            let result = client.echo(vec![1; one_over]).await;
            assert_too_large!(result, LIMIT, Outcome::NotExecuted);
            let result = client.produce(one_over as u64).await;
            assert_too_large!(result.map(|data| data.len()), LIMIT, Outcome::Executed);
            assert_eq!(client.add(1, 1).await.unwrap(), 2, "the connection goes on");
        });
    });
}

#[test]
fn the_smaller_limit_of_the_two_sides_counts() {
    over_every_scheme(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            let endpoint = subject.endpoint_with(|settings| settings.limits.message = 100_000);
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            let larger = with(&endpoint, |settings| settings.limits.message = 200_000);
            let client = WorkshopBlockingClient::connect(&larger).unwrap();
            assert_too_large!(client.echo(vec![1; 99_998]), 100_000, Outcome::NotExecuted);
            assert_pattern(&client.produce(199_997).unwrap(), 199_997);
            let result = client.produce(199_998);
            assert_too_large!(result.map(|data| data.len()), 200_000, Outcome::Executed);
            let smaller = with(&endpoint, |settings| settings.limits.message = 50_000);
            let client = WorkshopBlockingClient::connect(&smaller).unwrap();
            assert_too_large!(client.echo(vec![1; 49_998]), 50_000, Outcome::NotExecuted);
            let result = client.produce(49_998);
            assert_too_large!(result.map(|data| data.len()), 50_000, Outcome::Executed);
        }
    });
}

#[test]
fn what_may_be_held_limits_a_message_too() {
    over_every_scheme(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            let endpoint = subject.endpoint_with(|settings| settings.limits.held_bytes = 100_000);
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_too_large!(client.echo(vec![1; 99_998]), 100_000, Outcome::NotExecuted);
            let result = client.produce(99_998);
            assert_too_large!(result.map(|data| data.len()), 100_000, Outcome::Executed);
            assert_pattern(&client.echo(pattern(99_997)).unwrap(), 99_997);
        }
    });
}

const LARGE: usize = 8 << 20;

#[test]
fn small_calls_go_between_many_large_ones_of_an_async_client() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let endpoint = subject.endpoint();
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let mut large = JoinSet::new();
                for _ in 0..10 {
                    let client = client.clone();
                    large.spawn(async move { client.echo(pattern(LARGE)).await.unwrap() });
                }
                let mut between = 0;
                while !large.is_empty() {
                    assert_eq!(client.add(between, 1).await.unwrap(), between + 1);
                    between += 1;
                    if let Some(done) = large.try_join_next() {
                        assert_pattern(&done.unwrap(), LARGE);
                    }
                }
                // The large ones take a thousand fragments and more.
                assert!(between > 20, "only {between} small calls went between");
            });
        }
    });
}

#[test]
fn small_calls_go_between_many_large_ones_of_a_blocking_client() {
    over_every_scheme(|subject| {
        for waits in [Waits::MultiThread, Waits::Threads] {
            // Less than all of them together: some have to wait for others.
            let endpoint = subject.endpoint_with(|settings| settings.limits.held_bytes = 3 * LARGE);
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let small = scope.spawn(|| {
                    let mut between = 0;
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(client.add(between, 1).unwrap(), between + 1);
                        between += 1;
                    }
                    between
                });
                let large: Vec<_> =
                    (0..10).map(|_| scope.spawn(|| client.echo(pattern(LARGE)).unwrap())).collect();
                for thread in large {
                    assert_pattern(&thread.join().unwrap(), LARGE);
                }
                done.store(true, Ordering::Relaxed);
                assert!(small.join().unwrap() > 0);
            });
        }
    });
}
