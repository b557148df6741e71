//! A server that its client has started: what becomes of one when the other is killed, stopped or done.

pub(crate) mod alone;

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{
    CallError, ConnectOptions, Endpoint, ErrorKind, Outcome, RpcError, ServerEnded, await_launched,
};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tokio::task::JoinSet;

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::holdings::is_there;
use crate::support::role::{Control, Process, signal, stop};
use crate::support::serving::run;
use crate::support::subject::where_clients_start_servers;
use crate::support::waiting::{patiently, timed, until};
use crate::support::{Waits, assert_kind, is_gone, rpc_error};

/// Within which a death is seen, on a machine that does other things besides.
const SOON: Duration = Duration::from_secs(2);
/// What a server may take to end when its client has, and more.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than any transport takes without a reader.
const LARGE: usize = 16 << 20;

const WAITS: [Waits; 2] = [Waits::CurrentThread, Waits::Threads];

/// What a server is told, and the endpoint of the client that starts it.
fn orders(waits: Waits) -> Orders {
    Orders::new(&Endpoint::inherited(), waits)
}

/// A client and, as its child, its server.
struct Pair {
    endpoint: Endpoint,
    client: PostBlockingClient,
    server: Control,
}

impl Pair {
    fn new(waits: Waits) -> Self {
        Self::with(&orders(waits))
    }

    fn with(orders: &Orders) -> Self {
        let summons = orders.summons();
        let endpoint = Endpoint::launching(&summons.launch()).unwrap();
        let client = PostBlockingClient::connect(&endpoint).unwrap();
        let mut server = summons.control();
        assert_eq!(server.hear().as_deref(), Some("ready"));
        Self { endpoint, client, server }
    }

    fn pid(&self) -> u32 {
        let peer = self.client.client().peer();
        assert_eq!(peer.known_by, "child process");
        peer.pid.unwrap()
    }
}

/// Waits for the end of a server whose client has gone.
fn assert_ends(mut server: Control, pid: u32) {
    assert_eq!(server.hear().as_deref(), Some("stopped"));
    drop(server);
    assert!(await_launched(PATIENCE));
    assert!(!is_there(pid), "nobody has waited for it");
}

#[track_caller]
fn assert_gone(error: &RpcError, outcome: Outcome, endpoint: &Endpoint, text: &str) {
    assert_kind!(error, ErrorKind::PeerGone { how } if how == text);
    assert_eq!(error.outcome(), outcome);
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
}

const KILLED: &str = "the server was killed by signal 9 (SIGKILL)";

fn with_pair(test: impl Fn(Pair)) {
    where_clients_start_servers(|_| {
        for waits in WAITS {
            println!("  {waits:?}");
            test(Pair::new(waits));
        }
    });
}

#[test]
fn each_side_knows_who_the_other_is() {
    with_pair(|Pair { client, server, endpoint }| {
        let peer = client.client().peer().clone();
        assert_eq!(client.pid().unwrap(), peer.pid.unwrap());
        assert_eq!(peer.uid, Some(geteuid().as_raw()));
        assert_eq!(client.client().uri(), endpoint.uri());
        drop(client);
        assert_ends(server, peer.pid.unwrap());
    });
}

#[test]
fn a_server_ends_when_its_client_is_dropped() {
    with_pair(|pair| {
        let pid = pair.pid();
        let clone = pair.client.clone();
        drop(pair.client);
        assert_eq!(clone.add(1, 1).unwrap(), 2, "its clone is still there");
        drop(clone);
        assert_ends(pair.server, pid);
    });
}

#[test]
fn a_server_ends_when_its_asynchronous_client_is_dropped() {
    where_clients_start_servers(|_| {
        for waits in WAITS {
            let summons = orders(waits).summons();
            let endpoint = Endpoint::launching(&summons.launch()).unwrap();
            run(async {
                let client = PostClient::connect(&endpoint).await.unwrap();
                let pid = client.pid().await.unwrap();
                let mut server = summons.control();
                assert_eq!(server.hear().as_deref(), Some("ready"));
                drop(client);
                // Its task, too, has to be dropped, which takes a turn of this runtime.
                tokio::task::spawn_blocking(move || assert_ends(server, pid)).await.unwrap();
            });
        }
    });
}

#[test]
fn a_server_killed_in_a_call_fails_it_and_says_how() {
    with_pair(|mut pair| {
        let (client, endpoint) = (&pair.client, &pair.endpoint);
        thread::scope(|scope| {
            let call = scope.spawn(|| client.never());
            assert_eq!(pair.server.hear().as_deref(), Some("started"));
            let begun = Instant::now();
            signal(client.client().peer().pid.unwrap(), Signal::SIGKILL);
            let error = rpc_error(call.join().unwrap());
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_gone(&error, Outcome::MaybeExecuted, endpoint, KILLED);
            let status = ServerEnded::of(&error).unwrap().status().unwrap();
            assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        });
        let error = rpc_error(client.add(1, 1));
        assert_gone(&error, Outcome::NotExecuted, endpoint, KILLED);
        assert!(ServerEnded::of(&error).is_some(), "later calls know, too");
    });
}

#[test]
fn a_server_killed_in_a_call_wakes_every_task() {
    where_clients_start_servers(|_| {
        for waits in WAITS {
            let summons = orders(waits).summons();
            let endpoint = Endpoint::launching(&summons.launch()).unwrap();
            run(async {
                let client = PostClient::connect(&endpoint).await.unwrap();
                let mut server = summons.control();
                assert_eq!(server.hear().as_deref(), Some("ready"));
                let mut calls = JoinSet::new();
                for _ in 0..20 {
                    let client = client.clone();
                    calls.spawn(async move { client.never().await });
                }
                tokio::task::yield_now().await;
                assert_eq!(server.hear().as_deref(), Some("started"));
                signal(client.client().peer().pid.unwrap(), Signal::SIGKILL);
                for result in calls.join_all().await {
                    let error = rpc_error(result);
                    assert_gone(&error, Outcome::MaybeExecuted, &endpoint, KILLED);
                }
                let error = rpc_error(client.add(1, 1).await);
                assert_gone(&error, Outcome::NotExecuted, &endpoint, KILLED);
            });
        }
    });
}

#[test]
fn a_server_killed_while_a_large_message_is_sent_says_how() {
    with_pair(|pair| {
        let client = &pair.client;
        stop(pair.pid());
        thread::scope(|scope| {
            let call = scope.spawn(|| client.echo(vec![7; LARGE]));
            until(|| client.client().calls_in_flight() == 1);
            signal(pair.pid(), Signal::SIGKILL);
            let error = rpc_error(call.join().unwrap());
            assert_gone(&error, Outcome::MaybeExecuted, &pair.endpoint, KILLED);
        });
    });
}

#[test]
fn an_idle_client_finds_out_how_when_it_calls() {
    with_pair(|pair| {
        assert_eq!(pair.client.add(1, 1).unwrap(), 2);
        signal(pair.pid(), Signal::SIGTERM);
        // Whether the call is written before or after.
        let error = rpc_error(pair.client.add(1, 1));
        assert_kind!(error, ErrorKind::PeerGone { how } if how.ends_with("signal 15 (SIGTERM)"));
        let error = loop {
            // A call without a reply can be written before the news is there.
            if let Err(error) = pair.client.note("x") {
                break error;
            }
        };
        assert!(error.to_string().ends_with("signal 15 (SIGTERM)"), "{error}");
    });
}

#[test]
fn a_server_that_ends_at_once_is_not_started_again_and_again() {
    where_clients_start_servers(|_| {
        let options = ConnectOptions::new().wait_for_server(PATIENCE);
        for (script, text, code) in [
            ("exit 3", "the server exited with status 3", Some(3)),
            ("kill -6 $$", "the server was killed by signal 6 (SIGABRT)", None),
            ("exit 0", "it closed the connection in the handshake", None),
            ("exec 4>&-; sleep 1", "it closed the connection in the handshake", None),
        ] {
            let launch = ipcall::Launch::new("sh").args(["-c", script]);
            let endpoint = Endpoint::launching(&launch).unwrap();
            let connecting: [fn(&Endpoint, &ConnectOptions) -> RpcError; 2] = [
                |endpoint, options| {
                    PostBlockingClient::connect_with(endpoint, options).unwrap_err()
                },
                |endpoint, options| run(PostClient::connect_with(endpoint, options)).unwrap_err(),
            ];
            for connect in connecting {
                let (error, took) = timed(|| connect(&endpoint, &options));
                assert_gone(&error, Outcome::NotExecuted, &endpoint, text);
                let status = ServerEnded::of(&error).map(|ended| ended.status().unwrap());
                assert_eq!(status.and_then(|status| status.code()), code, "{error}");
                assert!(took < PATIENCE / 2, "{took:?}");
            }
        }
        let nowhere = Endpoint::parse("pipe:/nowhere/at-all").unwrap();
        let (error, took) =
            timed(|| PostBlockingClient::connect_with(&nowhere, &options).unwrap_err());
        assert_kind!(error, ErrorKind::ServerAbsent { .. });
        assert!(took < PATIENCE / 2, "{took:?}");
    });
}

#[test]
fn a_client_killed_in_a_call_takes_its_server_along() {
    where_clients_start_servers(|_| {
        for (waits, how) in [
            (Waits::CurrentThread, "blocking"),
            (Waits::CurrentThread, "async"),
            (Waits::CurrentThread, "blocking-large"),
            (Waits::Threads, "async-large"),
        ] {
            println!("  {waits:?}, {how}");
            let summons = orders(waits).summons();
            let endpoint = Endpoint::launching(&summons.launch()).unwrap();
            let mut client = Process::start("client", &format!("{how} {}", endpoint.uri()));
            assert_eq!(client.hear(), "connected");
            let mut server = summons.control();
            assert_eq!(server.hear().as_deref(), Some("ready"));
            client.say("call");
            if how.ends_with("large") {
                assert_eq!(server.hear().as_deref(), Some("producing"));
                // It takes no more than there is room for on the way.
                client.stop();
            } else {
                assert_eq!(server.hear().as_deref(), Some("started"));
            }
            let begun = Instant::now();
            client.kill();
            if !how.ends_with("large") {
                assert_eq!(server.hear().as_deref(), Some("ended"));
            }
            assert_eq!(server.hear().as_deref(), Some("stopped"));
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
    });
}

#[test]
fn the_deadline_holds_when_the_server_is_stopped() {
    const SHORT: Duration = Duration::from_millis(60);
    with_pair(|pair| {
        let hurried = pair.client.with_deadline(SHORT);
        stop(pair.pid());
        for large in [false, true, false] {
            let (result, took) = timed(|| match large {
                true => hurried.echo(vec![7; LARGE]).map(drop),
                false => hurried.add(1, 1).map(drop),
            });
            assert_kind!(rpc_error(result), ErrorKind::DeadlineExceeded { .. });
            assert!(took >= SHORT && took < SHORT + SOON, "{took:?}");
        }
        signal(pair.pid(), Signal::SIGCONT);
        assert_eq!(pair.client.add(1, 1).unwrap(), 2, "the connection goes on");
        assert_eq!(pair.client.echo(vec![7; LARGE]).unwrap().len(), LARGE);
    });
}

#[test]
fn a_stopped_server_is_killed_when_its_client_has_gone() {
    where_clients_start_servers(|_| {
        let pair = Pair::new(Waits::Threads);
        let pid = pair.pid();
        stop(pid);
        let (_, took) = timed(|| drop(pair.client));
        assert!(took < SOON, "{took:?}");
        assert!(!await_launched(Duration::from_millis(1)), "it cannot have ended yet");
        assert!(await_launched(PATIENCE));
        assert!(!is_there(pid));
    });
}

#[test]
fn at_sigterm_a_server_answers_what_it_has_accepted() {
    where_clients_start_servers(|_| {
        for waits in WAITS {
            let mut pair = Pair::with(&Orders { drain: true, ..orders(waits) });
            let pid = pair.pid();
            thread::scope(|scope| {
                let call = scope.spawn(|| pair.client.wait());
                assert_eq!(pair.server.hear().as_deref(), Some("started"));
                signal(pid, Signal::SIGTERM);
                pair.server.say("open");
                assert_eq!(call.join().unwrap().unwrap(), 7);
            });
            assert_eq!(pair.server.hear().as_deref(), Some("ended"));
            // The signal may be dealt with later than what it was told, and calls be refused at first.
            let error = patiently(|| match pair.client.add(1, 1) {
                Err(CallError::Rpc(error)) if is_gone(&error) => Some(error),
                _ => None,
            });
            assert!(error.to_string().contains("shutting down"), "{error}");
            drop(pair.client);
            assert_ends(pair.server, pid);
        }
    });
}
