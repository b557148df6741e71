//! SIGTERM and SIGINT: what was accepted is answered, then the process ends in order.

use std::thread;

use ipcall::{Endpoint, ErrorKind, RpcError};
use nix::sys::signal::Signal;

use crate::server::Orders;
use crate::service::PostBlockingClient;
use crate::support::role::Process;
use crate::support::subject::between_processes;
use crate::support::waiting::until;
use crate::support::{Waits, assert_kind, is_gone, rpc_error};

fn drain(signal: Signal, change: impl Fn(&mut Orders), test: impl Fn(&Endpoint, Process, Signal)) {
    between_processes(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            println!("  {waits:?}");
            let endpoint = subject.endpoint();
            let mut orders = Orders { drain: true, ..Orders::new(&endpoint, waits) };
            change(&mut orders);
            test(&endpoint, orders.run(), signal);
            assert!(subject.entries().is_empty(), "{:?}", subject.entries());
        }
    });
}

fn answers_then_ends(endpoint: &Endpoint, mut server: Process, signal: Signal) {
    let client = PostBlockingClient::connect(endpoint).unwrap();
    let idle = PostBlockingClient::connect(endpoint).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.wait());
        assert_eq!(server.hear(), "started");
        server.signal(signal);
        // The name goes first; whoever was in the middle of connecting then sees an end of it.
        let absent = |error: &RpcError| matches!(error.kind(), ErrorKind::ServerAbsent { .. });
        until(|| PostBlockingClient::connect(endpoint).is_err_and(|error| absent(&error)));
        server.say("open");
        assert_eq!(call.join().unwrap().unwrap(), 7);
    });
    assert_eq!(server.hear(), "ended");
    assert_eq!(server.hear(), "stopped");
    for client in [client, idle] {
        let error = rpc_error(client.add(1, 1));
        assert_kind!(error, ErrorKind::PeerGone { how } if how.contains("shutting down"));
    }
    server.say("end");
    assert!(server.wait().success());
}

#[test]
fn at_sigterm_a_server_answers_what_it_has_accepted() {
    drain(Signal::SIGTERM, |_| {}, answers_then_ends);
}

#[test]
fn at_sigint_a_server_answers_what_it_has_accepted() {
    drain(Signal::SIGINT, |_| {}, answers_then_ends);
}

#[test]
fn the_grace_time_is_a_bound() {
    let change = |orders: &mut Orders| orders.grace_ms = 50;
    let test = |endpoint: &Endpoint, mut server: Process, signal| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.never());
            assert_eq!(server.hear(), "started");
            server.signal(signal);
            loop {
                match server.hear().as_str() {
                    "stopped" => break,
                    "ended" => {}
                    other => panic!("it says {other}"),
                }
            }
            server.say("end");
            assert!(server.wait().success());
            let error = rpc_error(call.join().unwrap());
            let cancelled = matches!(error.kind(), ErrorKind::Cancelled);
            assert!(is_gone(&error) || cancelled, "{error:?}");
        });
    };
    drain(Signal::SIGTERM, change, test);
}

#[test]
fn several_signals_are_as_good_as_one() {
    let test = |endpoint: &Endpoint, mut server: Process, signal| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.wait());
            assert_eq!(server.hear(), "started");
            for _ in 0..10 {
                server.signal(signal);
            }
            server.say("open");
            assert_eq!(call.join().unwrap().unwrap(), 7);
        });
        assert_eq!(server.hear(), "ended");
        assert_eq!(server.hear(), "stopped");
        server.say("end");
        assert!(server.wait().success());
    };
    drain(Signal::SIGTERM, |_| {}, test);
}

#[test]
fn the_process_s_own_handlers_go_on_being_called() {
    let test = |endpoint: &Endpoint, mut server: Process, signal| {
        let client = PostBlockingClient::connect(endpoint).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
        server.signal(signal);
        let mut said = [server.hear(), server.hear()];
        said.sort();
        assert_eq!(said, ["own handler", "stopped"]);
        server.say("end");
        assert!(server.wait().success());
    };
    drain(Signal::SIGTERM, |orders| orders.own_handler = true, test);
}

#[test]
fn without_being_asked_to_a_server_does_not_touch_signals() {
    use std::os::unix::process::ExitStatusExt;
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, Waits::CurrentThread);
        let server = orders.run();
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().signal(), Some(Signal::SIGTERM as i32));
        // What it left is taken over.
        let mut next = orders.run();
        next.say("end");
        assert_eq!(next.hear(), "stopped");
        assert!(next.wait().success());
    });
}
