//! Calls to a server that is stopped (SIGSTOP), and so neither reads nor answers, are cancelled at once.

use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use ipcall::{CallError, CancelToken, ErrorKind};
use nix::sys::signal::Signal;

use crate::service::{PostBlockingClient, PostClient};
use crate::stopped::{LARGE, with_server};
use crate::support::serving::run;
use crate::support::waiting::{Sleeper, until};
use crate::support::{assert_kind, rpc_error};

/// How long it may take at the most, on a busy machine; 5 ms is what is wanted.
const LOOSE: Duration = Duration::from_secs(1);

/// What is called.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A call that is written and not read.
    Small,
    /// One of which only the beginning is written.
    Large,
    /// Calls without a reply, until one has to wait.
    Notes,
}

impl What {
    const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Notes];

    fn call(self, client: &PostBlockingClient) -> Result<(), CallError> {
        match self {
            Self::Small => client.add(1, 1).map(drop),
            Self::Large => client.echo(vec![7; LARGE]).map(drop),
            Self::Notes => loop {
                client.note(&"x".repeat(60_000))?;
            },
        }
    }

    async fn call_async(self, client: &PostClient) -> Result<(), CallError> {
        match self {
            Self::Small => client.add(1, 1).await.map(drop),
            Self::Large => client.echo(vec![7; LARGE]).await.map(drop),
            Self::Notes => loop {
                client.note(&"x".repeat(60_000)).await?;
            },
        }
    }
}

/// Makes the call in a thread of its own, which is asleep in it when this returns.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    what: What,
    client: &'scope PostBlockingClient,
    sleeper: &'scope Sleeper,
) -> ScopedJoinHandle<'scope, (Result<(), CallError>, Instant)> {
    let call = scope.spawn(move || {
        sleeper.note();
        (what.call(client), Instant::now())
    });
    until(|| sleeper.is_asleep());
    call
}

#[track_caller]
fn assert_cancelled(result: Result<(), CallError>, took: Duration) {
    assert_kind!(rpc_error(result), ErrorKind::Cancelled);
    assert!(took < LOOSE, "{took:?}");
    println!("    {took:?}");
}

#[test]
fn a_thread_s_call_ends_at_once() {
    with_server(|endpoint, server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        server.stop();
        for what in What::ALL {
            for by_token in [true, false] {
                println!("   {what:?}, by its token: {by_token}");
                let (token, sleeper) = (CancelToken::new(), Sleeper::default());
                let tied = client.with_cancel_token(&token);
                thread::scope(|scope| {
                    let call = start(scope, what, &tied, &sleeper);
                    let begun = Instant::now();
                    if by_token {
                        token.cancel();
                    } else {
                        // It may have slept between two notes.
                        until(|| {
                            client.client().cancel_all();
                            call.is_finished()
                        });
                    }
                    let (result, ended) = call.join().unwrap();
                    assert_cancelled(result, ended.duration_since(begun));
                });
            }
        }
        server.signal(Signal::SIGCONT);
        assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
        assert_eq!(client.echo(vec![7; LARGE]).unwrap().len(), LARGE);
        until(|| client.add(1, 1).unwrap() == 2 && client.client().calls_in_flight() == 0);
    });
}

#[test]
fn the_calls_of_several_threads_end_at_once() {
    with_server(|endpoint, server| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        server.stop();
        let sleepers: [Sleeper; 8] = Default::default();
        thread::scope(|scope| {
            let calls: Vec<_> = (sleepers.iter().enumerate())
                .map(|(number, sleeper)| start(scope, What::ALL[number % 2], &client, sleeper))
                .collect();
            let begun = Instant::now();
            client.client().cancel_all();
            for call in calls {
                let (result, ended) = call.join().unwrap();
                assert_cancelled(result, ended.duration_since(begun));
            }
        });
        server.signal(Signal::SIGCONT);
        assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
        until(|| client.add(1, 1).unwrap() == 2 && client.client().calls_in_flight() == 0);
    });
}

#[test]
fn a_task_s_call_ends_at_once() {
    with_server(|endpoint, server| {
        run(async {
            let client = PostClient::connect(endpoint).await.unwrap();
            server.stop();
            for what in What::ALL {
                for by_token in [true, false] {
                    println!("   {what:?}, by its token: {by_token}");
                    let token = CancelToken::new();
                    let tied = client.with_cancel_token(&token);
                    let call = tokio::spawn(async move {
                        let result = what.call_async(&tied).await;
                        (result, Instant::now())
                    });
                    // It waits when it lets this go on.
                    tokio::task::yield_now().await;
                    let begun = Instant::now();
                    if by_token {
                        token.cancel();
                    } else {
                        client.client().cancel_all();
                    }
                    let (result, ended) = call.await.unwrap();
                    assert_cancelled(result, ended.duration_since(begun));
                }
            }
            server.signal(Signal::SIGCONT);
            assert_eq!(client.add(1, 1).await.unwrap(), 2, "the connection goes on");
            assert_eq!(client.echo(vec![7; LARGE]).await.unwrap().len(), LARGE);
            assert_eq!(client.client().calls_in_flight(), 0);
        });
    });
}
