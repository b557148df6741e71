//! An end, an error and a cancellation are three things, and none is taken for another.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipcall::{CallError, CancelToken, Endpoint, ErrorKind, Outcome};

use crate::studio::{Mishap, State, StudioBlockingClient, StudioClient, all, iter, next};
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, assert_kind, is_gone, over_every_scheme, rpc_error};

#[test]
fn a_stream_s_own_error_comes_last() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                for fail_at in [0, 1, 10_000] {
                    let (items, error) = all(client.fragile(fail_at).await.unwrap()).await;
                    assert!(items.into_iter().eq(0..fail_at));
                    let Some(CallError::Method(mishap)) = error else { panic!("{error:?}") };
                    assert_eq!(mishap, Mishap::FilmIsOut(fail_at));
                }
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let mut items = client.fragile(100).unwrap();
            assert!(items.by_ref().take(100).map(Result::unwrap).eq(0..100));
            assert!(matches!(items.next(), Some(Err(CallError::Method(Mishap::FilmIsOut(100))))));
            assert!(items.next().is_none());
        }
    });
}

#[test]
fn an_answer_before_the_end_stops_the_sender() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let (sent, endless) = (Arc::new(State::default()), || (0..).map(|_| vec![1; 1000]));
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let reels = crate::studio::told(&sent, endless());
                let error = client.store(reels, 1_000_000).await.unwrap_err();
                let CallError::Method(mishap) = error else { panic!("{error:?}") };
                assert_eq!(mishap, Mishap::FilmIsOut(1_001_000));
                assert_eq!(sent.dropped(), 1);
                let numbers = crate::studio::told(&sent, 0..);
                assert_eq!(client.taste(5, numbers).await.unwrap(), 10);
                assert_eq!(sent.dropped(), 2);
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let error = client.store(endless(), 1_000_000).unwrap_err();
            assert!(matches!(error, CallError::Method(Mishap::FilmIsOut(_))), "{error:?}");
            assert_eq!(client.taste(5, 0..).unwrap(), 10);
            assert_eq!(client.add(1, 2).unwrap(), 3);
        }
    });
}

#[test]
fn a_deadline_holds_until_the_end_of_a_stream() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let soon = Duration::from_millis(30);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap().with_deadline(soon);
                let (_, error) = all(client.endless().await.unwrap()).await;
                assert_kind!(late(error), ErrorKind::DeadlineExceeded { .. });
                let (items, error) = all(client.silent().await.unwrap()).await;
                assert!(items.is_empty());
                assert_kind!(late(error), ErrorKind::DeadlineExceeded { .. });
                let error = rpc_error(client.starve(iter(0..)).await);
                assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
                until_async(|| state.dropped() == 3).await;
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap().with_deadline(soon);
            let error = client.silent().unwrap().next().unwrap().map_err(Some);
            assert_kind!(late(error.unwrap_err()), ErrorKind::DeadlineExceeded { .. });
            let error = rpc_error(client.starve(0..));
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            // A handler that waits in a thread of its own.
            let error = rpc_error(client.sum_blocking(slowly(0..), 1));
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            until(|| state.dropped() == 5 && state.broken() == 1);
        }
    });
}

/// So slowly that a deadline comes between.
fn slowly(items: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    items.inspect(|_| thread::sleep(Duration::from_millis(5)))
}

fn late<E: std::fmt::Debug>(error: Option<CallError<E>>) -> ipcall::RpcError {
    rpc_error::<(), E>(Err(error.expect("it has no end of its own")))
}

#[test]
fn a_token_cancels_a_stream_that_is_waited_for() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let token = CancelToken::new();
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let client = client.with_cancel_token(&token);
            thread::scope(|scope| {
                let reader = scope.spawn(|| client.silent().unwrap().next());
                until(|| state.made() > 0);
                token.cancel();
                let error = reader.join().unwrap().unwrap().map_err(Some).unwrap_err();
                assert_kind!(late(error), ErrorKind::Cancelled);
            });
            until(|| state.dropped() == 1);
        }
    });
}

#[test]
fn an_item_larger_than_the_window_is_an_error_that_says_so() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.limits.stream.bytes = 10_004);
            let state = State::default().into();
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let (items, error) = all(client.large(10_000 - 2).await.unwrap()).await;
                assert!(error.is_none() && items.len() == 3, "{error:?}");
                let (items, error) = all(client.large(10_000).await.unwrap()).await;
                assert_eq!(items.len(), 1);
                let too_large = |error: &ErrorKind| {
                    matches!(error, ErrorKind::TooLarge { limit: 10_000, actual: 10_002, .. })
                };
                assert!(too_large(late(error).kind()));
                let error = rpc_error(client.store(iter([vec![0; 10_000]]), 0).await);
                assert!(too_large(error.kind()), "{error:?}");
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let error = rpc_error(client.store([vec![0; 10_000]], 0));
            assert_kind!(error, ErrorKind::TooLarge { limit: 10_000, actual: 10_002, .. });
            assert_eq!(client.add(1, 2).unwrap(), 3);
        }
    });
}

#[test]
fn a_server_that_stops_tells_who_reads_a_stream() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let server = State::server(&state).grace(Duration::ZERO);
            let serving = Serving::start(waits, server, &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let mut silent = client.silent().await.unwrap();
                until_async(|| state.made() > 0).await;
                serving.shutdown();
                let error = next(&mut silent).await.expect("no end").map_err(Some).unwrap_err();
                late(error);
            });
            serving.join();
            assert_eq!(state.dropped(), 1);
        }
    });
}

/// The server of the tests of deaths.
pub(crate) fn serve(about: &str, mut control: Control) {
    let (index, uri) = about.split_once(' ').unwrap();
    let endpoint: Endpoint = uri.parse().unwrap();
    let state = Arc::new(State::default());
    let serving =
        Serving::start(Waits::ALL[index.parse::<usize>().unwrap()], state.server(), &endpoint);
    control.say("serving");
    control.hear();
    drop(serving);
}

/// The client of the tests of deaths.
pub(crate) fn call(uri: &str, mut control: Control) {
    let endpoint: Endpoint = uri.parse().unwrap();
    let client = StudioBlockingClient::connect(&endpoint).unwrap();
    let mut endless = client.endless().unwrap();
    endless.next().unwrap().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| client.sum_blocking(slowly(0..), 1));
        control.say("busy");
        endless.for_each(drop);
    });
}

#[test]
fn a_server_that_is_killed_never_ends_a_stream() {
    between_processes(|subject| {
        for index in 0..Waits::ALL.len() {
            let endpoint = subject.endpoint();
            let mut server = Process::start("studio", &format!("{index} {}", endpoint.uri()));
            assert_eq!(server.hear(), "serving");
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let mut silent = client.silent().unwrap();
            let mut endless = client.endless().unwrap();
            assert_eq!(endless.next().unwrap().unwrap(), 0);
            thread::scope(|scope| {
                let uploading = scope.spawn(|| client.sum(1, slowly(0..)));
                endless.by_ref().take(100_000).for_each(drop);
                server.kill();
                let error = endless.find_map(Result::err);
                assert!(is_gone(&late(error)));
                let error = silent.next().unwrap().map_err(Some).unwrap_err();
                assert!(is_gone(&late(error)));
                let error = rpc_error(uploading.join().unwrap());
                assert!(is_gone(&error));
                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
            });
            // What it has left behind goes with its successor.
            let state = Arc::new(State::default());
            drop(Serving::start(Waits::Threads, state.server(), &endpoint));
        }
    });
}

#[test]
fn a_client_that_is_killed_never_ends_its_arguments() {
    between_processes(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let mut client = Process::start("caller", endpoint.uri());
            assert_eq!(client.hear(), "busy");
            until(|| state.made() > 50_000);
            client.kill();
            until(|| state.dropped() == 1 && state.broken() == 1);
            let (_, broken) = &*state.broken.lock().unwrap();
            assert!(is_gone(broken.as_ref().unwrap()), "{broken:?}");
        }
    });
}
