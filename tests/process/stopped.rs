//! One side is stopped (SIGSTOP): deadlines hold, and when it goes on, so does everything.

use std::time::{Duration, Instant};

use ipcall::{CallError, Endpoint, ErrorKind, Outcome, RpcError};
use nix::sys::signal::Signal;

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::role::Process;
use crate::support::serving::run;
use crate::support::subject::{between_processes, with};
use crate::support::waiting::timed;
use crate::support::{Waits, assert_kind, rpc_error};

const SHORT: Duration = Duration::from_millis(60);
/// What a busy machine may add.
const LOOSE: Duration = Duration::from_secs(5);
/// More than any transport takes without a reader.
pub(crate) const LARGE: usize = 16 << 20;

pub(crate) fn with_server(test: impl Fn(&Endpoint, &Process)) {
    between_processes(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            println!("  {waits:?}");
            let endpoint = subject.endpoint();
            let mut server = Orders::new(&endpoint, waits).run();
            test(&endpoint, &server);
            server.say("end");
            assert_eq!(server.hear(), "stopped");
            assert!(server.wait().success());
        }
    });
}

#[track_caller]
fn assert_exceeded(error: &RpcError, took: Duration) {
    assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert!(took >= SHORT && took < SHORT + LOOSE, "{took:?}");
    // For those who ask how late, with --nocapture and in a release build.
    println!("    {:?} late", took - SHORT);
}

#[test]
fn the_deadline_of_a_blocking_client_holds() {
    with_server(|endpoint, server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        let hurried = client.with_deadline(SHORT);
        server.stop();
        let (result, took) = timed(|| hurried.add(1, 1));
        assert_exceeded(&rpc_error(result), took);
        // One that cannot even be written.
        let (result, took) = timed(|| hurried.echo(vec![7; LARGE]));
        assert_exceeded(&rpc_error(result), took);
        let (result, took) = timed(|| hurried.add(1, 1));
        assert_exceeded(&rpc_error(result), took);
        server.signal(Signal::SIGCONT);
        assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
        assert_eq!(client.echo(vec![7; LARGE]).unwrap().len(), LARGE);
        assert_eq!(client.client().calls_in_flight(), 0);
    });
}

#[test]
fn the_deadlines_of_several_threads_hold() {
    with_server(|endpoint, server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        let hurried = client.with_deadline(SHORT);
        server.stop();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let hurried = &hurried;
                scope.spawn(move || {
                    let (result, took) = timed(|| match thread % 2 {
                        0 => hurried.echo(vec![7; LARGE]).map(drop),
                        _ => hurried.add(1, 1).map(drop),
                    });
                    assert_exceeded(&rpc_error(result), took);
                });
            }
        });
        server.signal(Signal::SIGCONT);
        assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
    });
}

#[test]
fn the_deadline_of_an_async_client_holds() {
    with_server(|endpoint, server| {
        run(async {
            let client = PostClient::connect(endpoint).await.unwrap();
            let hurried = client.with_deadline(SHORT);
            server.stop();
            for large in [false, true, false] {
                let begun = Instant::now();
                let result = match large {
                    true => hurried.echo(vec![7; LARGE]).await.map(drop),
                    false => hurried.add(1, 1).await.map(drop),
                };
                assert_exceeded(&rpc_error(result), begun.elapsed());
            }
            server.signal(Signal::SIGCONT);
            assert_eq!(client.add(1, 1).await.unwrap(), 2, "the connection goes on");
            assert_eq!(client.echo(vec![7; LARGE]).await.unwrap().len(), LARGE);
        });
    });
}

#[test]
fn the_deadline_of_calls_without_a_reply_holds() {
    with_server(|endpoint, server| {
        let text = "x".repeat(60_000);
        let check = |error: RpcError, took: Duration| {
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted, "it was never sent");
            assert!(took < SHORT + LOOSE, "{took:?}");
        };
        let blocking = PostBlockingClient::connect(endpoint).unwrap();
        server.stop();
        let hurried = blocking.with_deadline(SHORT);
        let call = || timed(|| hurried.note(&text));
        let (result, took) = std::iter::repeat_with(call).find(|(done, _)| done.is_err()).unwrap();
        check(rpc_error(result), took);
        server.signal(Signal::SIGCONT);
        assert_eq!(blocking.add(1, 1).unwrap(), 2, "the connection goes on");
        run(async {
            let client = PostClient::connect(endpoint).await.unwrap();
            server.stop();
            let hurried = client.with_deadline(SHORT);
            loop {
                let begun = Instant::now();
                if let Err(CallError::Rpc(error)) = hurried.note(&text).await {
                    break check(error, begun.elapsed());
                }
            }
            server.signal(Signal::SIGCONT);
            assert_eq!(client.add(1, 1).await.unwrap(), 2, "the connection goes on");
        });
    });
}

#[test]
fn connecting_to_a_stopped_server_takes_no_longer_than_a_handshake_may() {
    with_server(|endpoint, server| {
        let hurried = with(endpoint, |settings| settings.limits.handshake = SHORT);
        server.stop();
        let (result, took) = timed(|| PostBlockingClient::connect(&hurried));
        assert_kind!(result.unwrap_err(), ErrorKind::PeerStalled { what: "handshake", .. });
        assert!(took >= SHORT && took < SHORT + LOOSE, "{took:?}");
        let (result, took) = timed(|| run(PostClient::connect(&hurried)));
        assert_kind!(result.unwrap_err(), ErrorKind::PeerStalled { what: "handshake", .. });
        assert!(took >= SHORT && took < SHORT + LOOSE, "{took:?}");
        server.signal(Signal::SIGCONT);
        let client = PostBlockingClient::connect(endpoint).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
    });
}

#[test]
fn a_stopped_client_does_not_hold_up_the_others() {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let mut server = Orders::new(&endpoint, Waits::CurrentThread).run();
        let mut client = Process::start("client", &format!("blocking {}", endpoint.uri()));
        assert_eq!(client.hear(), "connected");
        client.stop();
        let other = PostBlockingClient::connect(&endpoint).unwrap();
        for i in 0..100 {
            assert_eq!(other.add(i, 1).unwrap(), i + 1);
        }
        client.signal(Signal::SIGCONT);
        client.say("call");
        assert_eq!(server.hear(), "started");
        client.kill();
        assert_eq!(server.hear(), "ended");
        drop(other);
        server.say("end");
        assert_eq!(server.hear(), "stopped");
        assert!(server.wait().success());
    });
}
