//! Finding a server: absent, late, silent.

use std::thread;
use std::time::Duration;

use ipcall::transport::Binder;
use ipcall::{ConnectOptions, Endpoint, ErrorKind, Outcome, RpcError};

use crate::support::serving::run;
use crate::support::waiting::timed;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

/// What a busy machine may add.
const LOOSE: Duration = Duration::from_secs(5);

/// What connecting with these options says, by either client.
fn connect_by_both(
    endpoint: &Endpoint,
    options: &ConnectOptions,
    check: impl Fn(RpcError, Duration),
) {
    let (result, took) = timed(|| WorkshopBlockingClient::connect_with(endpoint, options));
    check(result.unwrap_err(), took);
    let (result, took) = timed(|| run(WorkshopClient::connect_with(endpoint, options)));
    check(result.unwrap_err(), took);
}

#[test]
fn an_absent_server_is_said_at_once_with_its_endpoint() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        connect_by_both(&endpoint, &ConnectOptions::new(), |error, took| {
            assert_kind!(error, ErrorKind::ServerAbsent { .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            assert_eq!(error.endpoint(), Some(endpoint.uri()));
            assert!(error.to_string().starts_with(endpoint.uri()), "{error}");
            assert!(took < LOOSE, "{took:?}");
        });
    });
}

#[test]
fn an_absent_server_is_waited_for_as_long_as_asked() {
    over_every_scheme(|subject| {
        let patience = Duration::from_millis(80);
        let options = ConnectOptions::new().wait_for_server(patience);
        connect_by_both(&subject.endpoint(), &options, |error, took| {
            assert_kind!(error, ErrorKind::ServerAbsent { .. });
            assert!(took >= patience && took < patience + LOOSE, "{took:?}");
        });
    });
}

#[test]
fn a_server_that_comes_up_late_is_found() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint_with(|settings| {
            settings.wait_for_server = Some(Duration::from_secs(60));
        });
        let (blocking, asynchronous) = thread::scope(|scope| {
            let blocking = scope.spawn(|| WorkshopBlockingClient::connect(&endpoint).unwrap());
            let asynchronous = scope.spawn(|| {
                run(async {
                    let client = WorkshopClient::connect(&endpoint).await.unwrap();
                    client.add(1, 1).await.unwrap()
                })
            });
            // Time for both to find nobody.
            thread::sleep(Duration::from_millis(20));
            let _serving = Serving::start(Waits::CurrentThread, State::new().server(), &endpoint);
            let client = blocking.join().unwrap();
            (client.add(1, 1).unwrap(), asynchronous.join().unwrap())
        });
        assert_eq!((blocking, asynchronous), (2, 2));
    });
}

#[test]
fn a_server_that_never_greets_costs_the_time_of_a_handshake() {
    over_every_scheme(|subject| {
        let patience = Duration::from_millis(60);
        let endpoint = subject.endpoint_with(|settings| settings.limits.handshake = patience);
        // It listens, and accepts nobody.
        let _listener = endpoint.bind().unwrap();
        connect_by_both(&endpoint, &ConnectOptions::new(), |error, took| {
            assert_kind!(error, ErrorKind::PeerStalled { what: "handshake", .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            assert!(took >= patience && took < patience + LOOSE, "{took:?}");
        });
    });
}

#[test]
fn an_async_client_can_be_connected_in_one_task_and_used_in_others() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::MultiThread, State::new().server(), &endpoint);
        let runtime = crate::support::serving::multi_thread();
        let client = runtime.block_on(WorkshopClient::connect(&endpoint)).unwrap();
        // From another runtime, too: the first one reads.
        assert_eq!(run(client.add(1, 1)).unwrap(), 2);
        let call = runtime.spawn(async move { client.add(2, 2).await.unwrap() });
        assert_eq!(runtime.block_on(call).unwrap(), 4);
    });
}
