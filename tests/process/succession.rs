//! The place of a server that was killed: another takes it, and clients find that one.

use std::thread;

use ipcall::{ConnectOptions, ErrorKind, Outcome};

use crate::support::serving::multi_thread;
use crate::support::{assert_kind, rpc_error};
use crate::yard::{
    Orders, PROMPT, YardBlockingClient, YardClient, assert_gone, stop, with_both_servers,
};

#[test]
fn a_new_server_takes_the_place_of_a_killed_one() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let mut server = orders.start();
        for _ in 0..3 {
            let client = YardBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
            server.kill();
            let error = YardBlockingClient::connect(&endpoint).unwrap_err();
            assert_kind!(error, ErrorKind::ServerAbsent { .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            server = orders.start();
            // The old connection does not come to life again; a new one is another server's.
            assert_gone(&rpc_error(client.add(1, 1)), &endpoint);
        }
        assert_eq!(YardBlockingClient::connect(&endpoint).unwrap().add(1, 1).unwrap(), 2);
        stop(server);
    });
}

#[test]
fn who_waits_for_a_server_finds_the_successor_of_a_killed_one() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        orders.start().kill();
        let options = ConnectOptions::new().wait_for_server(PROMPT);
        let runtime = multi_thread();
        let (at, patient) = (endpoint.clone(), options.clone());
        let task = runtime.spawn(async move { YardClient::connect_with(&at, &patient).await });
        let server = thread::scope(|scope| {
            let waiting = scope.spawn(|| YardBlockingClient::connect_with(&endpoint, &options));
            let server = orders.start();
            assert_eq!(waiting.join().unwrap().unwrap().add(1, 1).unwrap(), 2);
            server
        });
        let client = runtime.block_on(task).unwrap().unwrap();
        assert_eq!(runtime.block_on(client.add(1, 1)).unwrap(), 2);
        drop(client);
        stop(server);
    });
}
