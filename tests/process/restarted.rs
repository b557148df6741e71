//! A server's name, when the server is killed and another one comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipcall::{ConnectOptions, ErrorKind};

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::{Waits, assert_kind, rpc_error};

#[test]
fn a_server_takes_over_the_name_of_a_killed_one() {
    between_processes(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            let endpoint = subject.endpoint();
            let orders = Orders::new(&endpoint, waits);
            let mut last = None;
            for _ in 0..5 {
                let server = orders.run();
                let client = PostBlockingClient::connect(&endpoint).unwrap();
                assert_eq!(client.pid().unwrap(), server.id());
                server.kill();
                rpc_error(client.add(1, 1));
                last = Some(client);
            }
            let mut server = orders.run();
            // The connection to the one before does not lead to this one.
            assert_kind!(
                rpc_error(last.expect("there were some").add(1, 1)),
                ErrorKind::PeerGone { .. }
            );
            server.say("end");
            assert_eq!(server.hear(), "stopped");
            assert!(server.wait().success());
            assert!(subject.entries().is_empty(), "{:?}", subject.entries());
        }
    });
}

#[test]
fn a_client_that_waits_finds_the_restarted_server() {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, Waits::CurrentThread);
        orders.run().kill();
        let patient = ConnectOptions::new().wait_for_server(Duration::from_secs(60));
        let mut server = thread::scope(|scope| {
            let client = scope.spawn(|| {
                let client = PostBlockingClient::connect_with(&endpoint, &patient).unwrap();
                client.pid().unwrap()
            });
            let server = orders.run();
            assert_eq!(client.join().unwrap(), server.id());
            server
        });
        server.say("end");
        assert_eq!(server.hear(), "stopped");
        assert!(server.wait().success());
    });
}

#[test]
fn clients_that_wait_are_not_put_off_by_servers_that_go() {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, Waits::CurrentThread);
        let patient = ConnectOptions::new().wait_for_server(Duration::from_secs(60));
        let done = AtomicBool::new(false);
        let mut last = thread::scope(|scope| {
            for blocking in [true, false] {
                let (done, endpoint, patient) = (&done, &endpoint, &patient);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        if blocking {
                            PostBlockingClient::connect_with(endpoint, patient).unwrap();
                        } else {
                            run(PostClient::connect_with(endpoint, patient)).unwrap();
                        }
                    }
                });
            }
            for round in 0..6 {
                let mut server = orders.run();
                // It serves some of them.
                PostBlockingClient::connect(&endpoint).unwrap().pid().unwrap();
                if round % 2 == 0 {
                    server.kill();
                } else {
                    server.say("end");
                    assert!(server.wait().success());
                }
            }
            // The last ones get in, too.
            done.store(true, Ordering::Relaxed);
            orders.run()
        });
        last.say("end");
        assert!(last.wait().success());
    });
}

#[test]
fn a_living_server_keeps_its_name() {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, Waits::CurrentThread);
        let mut server = orders.run();
        let client = PostBlockingClient::connect(&endpoint).unwrap();
        for _ in 0..3 {
            let (second, said) = orders.start();
            assert_eq!(said, "in use");
            assert!(second.wait().success());
        }
        assert_eq!(client.add(1, 1).unwrap(), 2);
        assert_eq!(PostBlockingClient::connect(&endpoint).unwrap().pid().unwrap(), server.id());
        drop(client);
        server.say("end");
        assert_eq!(server.hear(), "stopped");
        assert!(server.wait().success());
    });
}
