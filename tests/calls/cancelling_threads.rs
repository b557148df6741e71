//! Cancelling a blocking client's calls from other threads, wherever theirs sleep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{BlockingClient, CallError, CancelToken, Endpoint, Outcome, Spin};

use crate::cancelling_tokens::assert_cancelled;
use crate::support::waiting::{Sleeper, until};
use crate::support::{Serving, Waits, over_every_scheme};
use crate::workshop::{State, WorkshopBlockingClient, pattern};

/// How long a cancelled call may take at the most, on a busy machine; 5 ms is what is wanted.
const LOOSE: Duration = Duration::from_secs(1);

fn against_tokio_servers(in_flight: u32, spin: Spin, test: impl Fn(&State, &Endpoint)) {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| {
                settings.limits.calls_in_flight = in_flight;
            });
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let client = crate::support::subject::with(&endpoint, |settings| settings.spin = spin);
            test(&state, &client);
        }
    });
}

/// Both ways to cancel everything: by the token, or by the connection.
fn ways(token: &CancelToken, client: &BlockingClient) -> [Box<dyn Fn() + Send + Sync>; 2] {
    let (token, client) = (token.clone(), client.clone());
    [Box::new(move || token.cancel()), Box::new(move || client.cancel_all())]
}

/// Has a call cancelled again and again; gives how long it took each time.
fn latencies(state: &State, endpoint: &Endpoint, rounds: u32) -> Vec<Duration> {
    let client = WorkshopBlockingClient::connect(endpoint).unwrap();
    let before = state.started();
    let mut took: Vec<Duration> = (1..=rounds)
        .map(|round| {
            let token = CancelToken::new();
            let tied = client.with_cancel_token(&token);
            let call = thread::spawn(move || (tied.never(), Instant::now()));
            until(|| state.started() == before + round);
            let begun = Instant::now();
            ways(&token, client.client())[round as usize % 2]();
            let (result, ended) = call.join().unwrap();
            assert_cancelled(result, Outcome::MaybeExecuted);
            until(|| state.ended() == before + round);
            ended.duration_since(begun)
        })
        .collect();
    assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
    assert_eq!(client.client().calls_in_flight(), 0);
    took.sort();
    took
}

#[test]
fn a_call_that_waits_for_its_answer_ends_at_once() {
    against_tokio_servers(1, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let took = latencies(state, endpoint, 20);
        println!("  asleep: median {:?}, longest {:?}", took[10], took[19]);
        assert!(took[19] < LOOSE, "{took:?}");
    });
}

#[test]
fn so_does_one_that_never_sleeps() {
    against_tokio_servers(1, Spin::Forever, |state, endpoint| {
        let took = latencies(state, endpoint, 4);
        println!("  spinning: median {:?}, longest {:?}", took[2], took[3]);
        assert!(took[3] < LOOSE, "{took:?}");
    });
}

#[test]
fn the_one_that_reads_is_cancelled_and_the_others_go_on() {
    against_tokio_servers(1024, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        thread::scope(|scope| {
            let token = CancelToken::new();
            let tied = client.with_cancel_token(&token);
            // The first has the reading side.
            let reader = scope.spawn(move || tied.never());
            until(|| state.started() == 1);
            let waiter = scope.spawn(|| client.wait());
            until(|| state.started() == 2);
            token.cancel();
            assert_cancelled(reader.join().unwrap(), Outcome::MaybeExecuted);
            state.gate.add_permits(1);
            waiter.join().unwrap().unwrap();
        });
    });
}

#[test]
fn one_that_waits_for_whoever_reads_is_cancelled_and_that_one_goes_on() {
    against_tokio_servers(1024, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| client.wait());
            until(|| state.started() == 1);
            let token = CancelToken::new();
            let tied = client.with_cancel_token(&token);
            let waiter = scope.spawn(move || tied.never());
            until(|| state.started() == 2);
            token.cancel();
            assert_cancelled(waiter.join().unwrap(), Outcome::MaybeExecuted);
            state.gate.add_permits(1);
            reader.join().unwrap().unwrap();
        });
    });
}

#[test]
fn one_in_the_queue_was_not_executed() {
    against_tokio_servers(1, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        for way in 0..2 {
            let client = WorkshopBlockingClient::connect(endpoint).unwrap();
            let (before, sleeper) = (state.started(), Sleeper::default());
            thread::scope(|scope| {
                let sleeper = &sleeper;
                let first = scope.spawn(|| client.never());
                until(|| state.started() == before + 1);
                let token = CancelToken::new();
                let tied = client.with_cancel_token(&token);
                let queued = scope.spawn(move || {
                    sleeper.note();
                    tied.never()
                });
                until(|| sleeper.is_asleep());
                ways(&token, client.client())[way]();
                assert_cancelled(queued.join().unwrap(), Outcome::NotExecuted);
                client.client().cancel_all();
                assert_cancelled(first.join().unwrap(), Outcome::MaybeExecuted);
            });
            assert_eq!(client.add(1, 1).unwrap(), 2);
            assert_eq!(state.started(), before + 1);
        }
    });
}

#[test]
fn all_threads_end_at_once_and_later_calls_go_on() {
    against_tokio_servers(4, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        for round in 1..=5 {
            let sleepers: [Sleeper; 8] = Default::default();
            thread::scope(|scope| {
                let calls: Vec<_> = (sleepers.iter())
                    .map(|sleeper| {
                        scope.spawn(|| {
                            sleeper.note();
                            client.never()
                        })
                    })
                    .collect();
                until(|| state.started() == 4 * round);
                until(|| sleepers.iter().all(Sleeper::is_asleep));
                client.client().cancel_all();
                let results = calls.into_iter().map(|call| call.join().unwrap());
                let sent = results.filter_map(|result| {
                    let outcome = result.as_ref().unwrap_err().rpc().unwrap().outcome();
                    assert_cancelled(result, outcome);
                    (outcome == Outcome::MaybeExecuted).then_some(())
                });
                assert_eq!(sent.count(), 4);
            });
            assert_eq!(client.add(1, 1).unwrap(), 2);
            until(|| state.ended() == 4 * round);
        }
        assert_eq!(client.client().calls_in_flight(), 0);
    });
}

#[test]
fn calls_that_are_made_meanwhile_end_one_way_or_the_other() {
    against_tokio_servers(4, Spin::UpTo(Duration::from_micros(20)), |_, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        let left = AtomicUsize::new(6);
        thread::scope(|scope| {
            for thread in 0..6_u64 {
                let (client, left) = (&client, &left);
                scope.spawn(move || {
                    let data = pattern(if thread == 0 { 200_000 } else { 10 });
                    for _ in 0..100 {
                        let token = CancelToken::new();
                        if thread == 1 {
                            token.cancel();
                        }
                        let tied = client.with_cancel_token(&token);
                        let result: Result<_, CallError> = tied.echo(data.clone());
                        match result {
                            Ok(echo) => assert!(echo == data),
                            Err(error) => {
                                let outcome = error.rpc().unwrap().outcome();
                                assert_cancelled(Err::<(), _>(error), outcome);
                            }
                        }
                    }
                    left.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while left.load(Ordering::SeqCst) > 0 {
                client.client().cancel_all();
                thread::yield_now();
            }
        });
        // Nobody reads on its own account, so whatever was answered late is read by this.
        until(|| client.add(1, 1).unwrap() == 2 && client.client().calls_in_flight() == 0);
    });
}

#[test]
fn a_large_call_is_cancelled_while_it_is_sent() {
    against_tokio_servers(1024, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        for way in 0..2 {
            let token = CancelToken::new();
            let tied = client.with_cancel_token(&token);
            let call = thread::spawn(move || tied.wait_with(&pattern(48 << 20)));
            until(|| client.client().calls_in_flight() > 0);
            ways(&token, client.client())[way]();
            assert_cancelled(call.join().unwrap(), Outcome::MaybeExecuted);
            until(|| client.add(1, 1).unwrap() == 2 && client.client().calls_in_flight() == 0);
            assert_eq!(state.running(), 0);
        }
    });
}

#[test]
fn the_server_is_told_also_of_calls_that_are_just_being_sent() {
    against_tokio_servers(8, Spin::UpTo(Duration::ZERO), |state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        let left = AtomicUsize::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        assert!(client.never().is_err());
                    }
                    left.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while left.load(Ordering::SeqCst) > 0 {
                client.client().cancel_all();
            }
        });
        until(|| client.add(1, 1).unwrap() == 2 && client.client().calls_in_flight() == 0);
        until(|| state.running() == 0);
    });
}
