//! A server that is told to stop answers what it has accepted, within its grace time.

use std::sync::Arc;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind, Outcome, Spin};

use crate::support::frame::{Frame, GOODBYE, PING};
use crate::support::raw::{Raw, number};
use crate::support::serving::run;
use crate::support::waiting::{timed, until, until_async};
use crate::support::{Serving, Subject, Waits, assert_kind, is_gone, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient, pattern};

/// The reason of a `Goodbye` from a server that stops.
const SHUTTING_DOWN: u16 = 4;
/// The status of a reply to a call that is not taken any more.
const REFUSED: u16 = 8;

fn serve(subject: &Subject, waits: Waits, grace: Duration) -> (Arc<State>, Endpoint, Serving) {
    let (state, endpoint) = (State::new(), subject.endpoint());
    let serving = Serving::start(waits, state.server().grace(grace), &endpoint);
    (state, endpoint, serving)
}

/// Time enough for whatever is answered at all.
const GRACE: Duration = Duration::from_secs(50);

#[test]
fn accepted_calls_are_answered_and_new_ones_refused() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint, serving) = serve(subject, waits, GRACE);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let accepted = tokio::spawn({
                    let client = client.clone();
                    async move { client.wait().await }
                });
                until_async(|| state.running() == 1).await;
                serving.shutdown();
                // The name goes first, so that a successor can have it.
                let absent = |error: &ipcall::RpcError| {
                    matches!(error.kind(), ErrorKind::ServerAbsent { .. })
                };
                while !WorkshopClient::connect(&endpoint).await.is_err_and(|e| absent(&e)) {}
                let successor = State::new();
                let next = Serving::start(Waits::CurrentThread, successor.server(), &endpoint);
                let error = loop {
                    if let Err(ipcall::CallError::Rpc(error)) = client.add(1, 1).await {
                        break error;
                    }
                };
                assert_kind!(error, ErrorKind::Refused { .. });
                assert_eq!(error.outcome(), Outcome::NotExecuted);
                assert!(serving.is_running(), "one call is not answered yet");
                state.gate.add_permits(1);
                accepted.await.unwrap().unwrap();
                let error = loop {
                    let error = rpc_error(client.add(1, 1).await);
                    if is_gone(&error) {
                        break error;
                    }
                };
                assert!(error.to_string().contains("shutting down"), "{error}");
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                assert_eq!(client.add(1, 1).await.unwrap(), 2, "the successor serves");
                drop((client, next));
            });
            serving.join();
        }
    });
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (_, endpoint, serving) = serve(subject, waits, GRACE);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
            let (mut raw, _) = Raw::greeted(&endpoint);
            serving.shutdown();
            let (_, took) = timed(|| serving.join());
            assert!(took < Duration::from_secs(10), "{took:?}");
            let error = rpc_error(client.add(1, 1));
            assert!(is_gone(&error), "{error:?}");
            assert!(error.to_string().contains("shutting down"), "{error}");
            assert_eq!(raw.goodbye().0, SHUTTING_DOWN);
        }
    });
}

#[test]
fn connections_that_never_sleep_notice_the_end() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.spin = Spin::Forever);
            let state = State::new();
            let serving = Serving::start(waits, state.server().grace(GRACE), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.echo(pattern(1 << 20)).unwrap(), pattern(1 << 20));
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                assert_eq!(client.add(1, 1).await.unwrap(), 2);
                tokio::task::yield_now().await;
                serving.shutdown();
                let (_, took) = timed(|| serving.join());
                assert!(took < Duration::from_secs(10), "{took:?}");
                let error = rpc_error(client.add(1, 1).await);
                assert!(is_gone(&error), "{error:?}");
            });
            let error = rpc_error(client.add(1, 1));
            assert!(is_gone(&error), "{error:?}");
        }
    });
}

#[test]
fn connections_that_have_not_greeted_do_not_hold_up_the_end() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (
                State::new(),
                subject.endpoint_with(|settings| {
                    settings.limits.handshake = GRACE;
                }),
            );
            let serving = Serving::start(waits, state.server().grace(GRACE), &endpoint);
            let mut silent = Raw::connect(&endpoint);
            // Accepted after it.
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
            serving.shutdown();
            let (_, took) = timed(|| serving.join());
            assert!(took < Duration::from_secs(10), "{took:?}");
            assert_eq!(silent.rest(), b"", "nothing was said to it");
        }
    });
}

#[test]
fn connections_made_while_the_server_stops_do_not_hold_up_the_end() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            for _ in 0..2 {
                let (_, endpoint, serving) = serve(subject, waits, GRACE);
                let clients = std::thread::spawn({
                    let endpoint = endpoint.clone();
                    move || {
                        let connect = |_| WorkshopBlockingClient::connect(&endpoint);
                        let last = |result: &Result<_, ipcall::RpcError>| result.is_ok();
                        (0..1000).map(connect).take_while(last).collect::<Vec<_>>()
                    }
                });
                until(|| serving.stats().accepted() > 2);
                serving.shutdown();
                let (_, took) = timed(|| serving.join());
                assert!(took < Duration::from_secs(10), "{took:?}");
                drop(clients.join().unwrap());
            }
        }
    });
}

#[test]
fn a_large_answer_under_way_arrives_whole() {
    const LENGTH: usize = 16 << 20;
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (_, endpoint, serving) = serve(subject, waits, GRACE);
            let (mut raw, hello) = Raw::greeted(&endpoint);
            let arguments = crate::support::frame::varint(LENGTH as u64);
            raw.send(&Frame::call(number(&hello, "produce"), 1, &arguments));
            // The call has been handled, and nobody reads the answer yet.
            let begin = raw.frame().unwrap();
            serving.shutdown();
            // Longer than a peer that broke the protocol is given.
            assert!(!raw.closes_within_unread(Duration::from_millis(250)));
            let mut data = begin.body[8..].to_vec();
            while let Some(frame) = raw.frame() {
                if frame.kind == GOODBYE {
                    break;
                }
                data.extend_from_slice(&frame.body);
            }
            let counted = crate::support::frame::counted(&pattern(LENGTH));
            assert_eq!(data.len(), counted.len());
            assert!(data == counted);
            serving.join();
        }
    });
}

#[test]
fn the_grace_time_is_a_bound() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let grace = Duration::from_millis(100);
            let (state, endpoint, serving) = serve(subject, waits, grace);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let call = tokio::spawn(async move { client.never().await });
                until_async(|| state.running() == 1).await;
                serving.shutdown();
                let (_, took) = timed(|| serving.join());
                assert!(took >= grace && took < grace + Duration::from_secs(5), "{took:?}");
                let error = rpc_error(call.await.unwrap());
                assert!(is_gone(&error) || matches!(error.kind(), ErrorKind::Cancelled));
                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                assert_eq!(state.running(), 0, "the handler was dropped");
            });
        }
    });
}

#[test]
fn a_thread_server_stops_when_its_call_is_answered() {
    over_every_scheme(|subject| {
        let (state, endpoint, serving) = serve(subject, Waits::Threads, GRACE);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.wait());
            until(|| state.running() == 1);
            serving.shutdown();
            assert!(serving.is_running());
            state.gate.add_permits(1);
            call.join().unwrap().unwrap();
        });
        serving.join();
    });
}

#[test]
fn calls_that_come_while_the_server_stops_are_refused_one_by_one() {
    over_every_scheme(|subject| {
        let (state, endpoint, serving) = serve(subject, Waits::CurrentThread, GRACE);
        let (mut raw, hello) = Raw::greeted(&endpoint);
        raw.send(&Frame::call(number(&hello, "wait"), 1, &[]));
        until(|| state.running() == 1);
        serving.shutdown();
        let mut id = 2;
        let reply = loop {
            raw.send(&Frame::call(number(&hello, "answer"), id, &[]));
            let reply = raw.frame().unwrap();
            assert_eq!(reply.id, id);
            if reply.code != 0 {
                break reply;
            }
            id += 1;
        };
        assert_eq!(reply.code, REFUSED);
        raw.send(&Frame::new(PING, 7));
        assert_eq!(raw.frame().unwrap().kind, PING, "other frames are still answered");
        state.gate.add_permits(1);
        assert_eq!(raw.frame().unwrap(), Frame::reply(1, &[]));
        assert_eq!(raw.goodbye().0, SHUTTING_DOWN);
        serving.join();
    });
}

#[test]
fn a_server_told_to_stop_before_it_serves_does_not_begin() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let bound = State::new().server().bind([&endpoint]).unwrap();
            bound.shutdown_handle().shutdown();
            let handle = bound.shutdown_handle();
            waits.serve(bound).unwrap();
            // Too late, and harmless.
            handle.shutdown();
            let error = WorkshopBlockingClient::connect(&endpoint).unwrap_err();
            assert_kind!(error, ErrorKind::ServerAbsent { .. });
        }
    });
}

#[test]
fn dropping_what_serves_stops_at_once() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let bound = state.server().grace(GRACE).bind([&endpoint]).unwrap();
        run(async {
            let serving = tokio::spawn(bound.serve());
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            let call = tokio::spawn({
                let client = client.clone();
                async move { client.never().await }
            });
            until_async(|| state.running() == 1).await;
            serving.abort();
            let error = rpc_error(call.await.unwrap());
            assert!(is_gone(&error) || matches!(error.kind(), ErrorKind::Cancelled), "{error:?}");
            until_async(|| state.running() == 0).await;
            let error = loop {
                // Until its last word has come, too.
                if let Err(ipcall::CallError::Rpc(error)) = client.add(1, 1).await {
                    break error;
                }
            };
            assert!(is_gone(&error), "{error:?}");
            // The name is free.
            drop(State::new().server().bind([&endpoint]).unwrap());
        });
    });
}
