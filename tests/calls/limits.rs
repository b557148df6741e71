//! Limits on calls, metadata and connections, each with an error that names it.

use std::time::Duration;

use ipcall::transport::Connector;
use ipcall::{CallOptions, Endpoint, ErrorKind, Outcome, RpcError};

use crate::support::frame::{Frame, REPLY};
use crate::support::raw::{Raw, number};
use crate::support::serving::run;
use crate::support::waiting::{patiently, until};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

/// The status of a reply to a call for which there is no room.
const OVERLOADED: u16 = 7;

#[test]
fn a_client_that_does_not_keep_to_the_limit_is_told_which() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 2);
            let serving = Serving::start(waits, state.server(), &endpoint);
            let (mut raw, hello) = Raw::greeted(&endpoint);
            assert_eq!(hello.calls_in_flight, 2);
            let wait = number(&hello, "wait");
            for id in 1..=3 {
                raw.send(&Frame::call(wait, id, &[]));
            }
            let reply = raw.frame().unwrap();
            assert_eq!((reply.kind, reply.code, reply.id), (REPLY, OVERLOADED, 3));
            assert!(reply.text().contains("calls in flight on one connection"), "{reply:?}");
            state.gate.add_permits(2);
            let mut answered = [raw.frame().unwrap().id, raw.frame().unwrap().id];
            answered.sort_unstable();
            assert_eq!(answered, [1, 2]);
            // There is room again.
            raw.send(&Frame::call(number(&hello, "answer"), 4, &[]));
            assert_eq!(raw.frame().unwrap(), Frame::reply(4, &[42]));
            assert_eq!(serving.stats().calls(), 3);
        }
    });
}

#[test]
fn metadata_over_its_limit_is_refused_where_it_is_made() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::CurrentThread, State::new().server(), &endpoint);
        // One pair: its count, the key's length, the key, and two bytes for the value's length.
        let value = "v".repeat((16 << 10) - 5);
        let most = CallOptions::new().metadata("k", value.clone());
        let over = CallOptions::new().metadata("k", value + "v");
        let check = |error: RpcError| {
            assert_kind!(error, ErrorKind::TooLarge { limit: 16_384, actual: 16_385, .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            assert!(error.to_string().contains("metadata"), "{error}");
            assert_eq!(error.endpoint(), Some(endpoint.uri()));
        };
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(client.with_options(most.clone()).seen().unwrap().metadata.len(), 1);
        check(rpc_error(client.with_options(over.clone()).seen()));
        run(async {
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            assert_eq!(client.with_options(most).seen().await.unwrap().metadata.len(), 1);
            check(rpc_error(client.with_options(over).seen().await));
        });
    });
}

fn connect(endpoint: &Endpoint, count: usize) -> Result<Vec<WorkshopBlockingClient>, RpcError> {
    (0..count).map(|_| WorkshopBlockingClient::connect(endpoint)).collect()
}

/// Checks that `count` clients are let in, and one more is not until one has gone.
fn check_connections(endpoint: &Endpoint, count: usize, limit: &str) {
    // As soon as those of before have left.
    let mut clients = patiently(|| connect(endpoint, count).ok());
    let check = |error: RpcError| {
        assert_kind!(error, ErrorKind::Refused { .. });
        assert_eq!(error.outcome(), Outcome::NotExecuted);
        assert!(error.to_string().contains(limit), "{error}");
        assert!(error.to_string().contains(&count.to_string()), "{error}");
    };
    check(WorkshopBlockingClient::connect(endpoint).unwrap_err());
    check(run(WorkshopClient::connect(endpoint)).unwrap_err());
    for client in &clients {
        assert_eq!(client.add(1, 1).unwrap(), 2, "those who are in notice nothing");
    }
    clients.pop();
    // As soon as the server has seen that.
    clients.push(patiently(|| WorkshopBlockingClient::connect(endpoint).ok()));
    assert_eq!(clients[count - 1].add(1, 1).unwrap(), 2);
}

#[test]
fn connections_over_the_limit_are_told_so() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.limits.connections = 3);
            let serving = Serving::start(waits, State::new().server(), &endpoint);
            check_connections(&endpoint, 3, "connections of the server");
            until(|| serving.stats().refused() >= 2);
        }
    });
}

#[test]
fn connections_of_one_user_over_the_limit_are_told_so() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint =
                subject.endpoint_with(|settings| settings.limits.connections_per_uid = 3);
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            if endpoint.try_connect().unwrap().peer.uid.is_some() {
                check_connections(&endpoint, 3, "connections of one user");
            } else {
                let clients = connect(&endpoint, 5).unwrap();
                assert_eq!(clients[4].add(1, 1).unwrap(), 2);
            }
        }
    });
}

#[test]
fn a_connection_that_is_turned_away_is_not_held() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| {
                settings.limits.connections = 1;
                settings.limits.handshake = Duration::from_secs(30);
            });
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            // More than wait to be told, one after the other.
            for _ in 0..200 {
                WorkshopBlockingClient::connect(&endpoint).unwrap_err();
            }
            assert_eq!(client.add(1, 1).unwrap(), 2);
        }
    });
}
