//! Servers that are killed: in the middle of calls, of messages, and while nothing goes on.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{ErrorKind, Outcome, RpcError, Spin};
use nix::sys::signal::Signal;

use crate::stopped::halt;
use crate::support::holdings::is_there;
use crate::support::role::Process;
use crate::support::serving::multi_thread;
use crate::support::subject::with;
use crate::support::waiting::{timed, until};
use crate::support::{is_gone, rpc_error};
use crate::yard::{
    LARGE, Orders, PROMPT, YardBlockingClient, YardClient, assert_gone, clean_up, with_both_servers,
};

/// Calls that are in flight when the server is killed. Those of a server in threads are not all started.
const CALLS: usize = 5;

#[track_caller]
fn kill_promptly(server: Process, errors: impl FnOnce() -> Vec<RpcError>) -> Vec<RpcError> {
    server.kill();
    let (errors, taken) = timed(errors);
    assert!(taken < PROMPT, "{taken:?}");
    errors
}

#[test]
fn a_server_killed_in_the_middle_of_calls_is_gone_for_every_task() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let mut server = orders.start();
        let runtime = multi_thread();
        let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
        let calls: Vec<_> = (0..CALLS)
            .map(|_| client.clone())
            .map(|client| runtime.spawn(async move { client.stay().await }))
            .collect();
        until(|| client.client().calls_in_flight() == CALLS);
        assert_eq!(server.hear(), "started");
        let errors = kill_promptly(server, || {
            calls.into_iter().map(|call| rpc_error(runtime.block_on(call).unwrap())).collect()
        });
        for error in &errors {
            assert_gone(error, &endpoint);
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
            assert_eq!(error.method(), Some("stay"));
        }
        let error = rpc_error(runtime.block_on(client.add(1, 1)));
        assert_gone(&error, &endpoint);
        assert_eq!(error.outcome(), Outcome::NotExecuted);
        clean_up(&orders);
    });
}

#[test]
fn a_server_killed_in_the_middle_of_calls_is_gone_for_every_thread() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let mut server = orders.start();
        let client = YardBlockingClient::connect(&endpoint).unwrap();
        let errors = Mutex::new(Vec::new());
        let killed = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..CALLS {
                scope.spawn(|| {
                    let result = client.stay();
                    errors.lock().unwrap().push(rpc_error(result));
                });
            }
            until(|| client.client().calls_in_flight() == CALLS);
            assert_eq!(server.hear(), "started");
            server.kill();
            *killed.lock().unwrap() = Some(Instant::now());
        });
        let taken = killed.into_inner().unwrap().unwrap().elapsed();
        assert!(taken < PROMPT, "{taken:?}");
        for error in errors.into_inner().unwrap() {
            assert_gone(&error, &endpoint);
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
            assert_eq!(error.method(), Some("stay"));
        }
        let error = rpc_error(client.add(1, 1));
        assert_gone(&error, &endpoint);
        assert_eq!(error.outcome(), Outcome::NotExecuted);
        clean_up(&orders);
    });
}

#[test]
fn a_server_killed_while_nothing_goes_on_is_gone_at_the_next_call() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let server = orders.start();
        let runtime = multi_thread();
        let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
        let blocking = YardBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(runtime.block_on(client.add(1, 1)).unwrap(), 2);
        assert_eq!(blocking.add(1, 1).unwrap(), 2);
        let errors = kill_promptly(server, || {
            // The second call finds out without asking the kernel.
            let blocking = [blocking.add(1, 1), blocking.add(1, 1)].map(rpc_error);
            let tasks = [client.add(1, 1), client.add(1, 1)];
            let tasks = tasks.map(|call| rpc_error(runtime.block_on(call)));
            blocking.into_iter().chain(tasks).collect()
        });
        errors.iter().for_each(|error| assert_gone(error, &endpoint));
        assert_eq!(errors[1].outcome(), Outcome::NotExecuted);
        assert_eq!(errors[3].outcome(), Outcome::NotExecuted);
        clean_up(&orders);
    });
}

#[test]
fn a_server_killed_in_the_middle_of_arguments_is_gone() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let server = orders.start();
        let runtime = multi_thread();
        let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
        let sleeping = with(&endpoint, |settings| settings.spin = Spin::UpTo(Duration::ZERO));
        let blocking = YardBlockingClient::connect(&sleeping).unwrap();
        // It takes no more than there is room for.
        halt(&server);
        let (tasks, data) = (client.clone(), vec![1; LARGE]);
        let call = runtime.spawn(async move { tasks.length(&data).await });
        let errors = thread::scope(|scope| {
            let thread = scope.spawn(|| blocking.length(&vec![1; LARGE]));
            until(|| client.client().calls_in_flight() == 1);
            until(|| blocking.client().calls_in_flight() == 1);
            kill_promptly(server, || {
                let thread = rpc_error(thread.join().unwrap());
                vec![rpc_error(runtime.block_on(call).unwrap()), thread]
            })
        });
        errors.iter().for_each(|error| assert_gone(error, &endpoint));
        clean_up(&orders);
    });
}

#[test]
fn a_server_killed_in_the_handshake_is_gone() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let orders = Orders::new(&endpoint, threads);
        let server = orders.start();
        halt(&server);
        let runtime = multi_thread();
        let at = endpoint.clone();
        let connecting = runtime.spawn(async move { YardClient::connect(&at).await });
        let errors = thread::scope(|scope| {
            let thread = scope.spawn(|| YardBlockingClient::connect(&endpoint));
            // Where in the handshake it is killed does not matter.
            kill_promptly(server, || {
                let thread = thread.join().unwrap().unwrap_err();
                vec![runtime.block_on(connecting).unwrap().unwrap_err(), thread]
            })
        });
        for error in errors {
            // One that came only then has found nobody.
            let absent = matches!(error.kind(), ErrorKind::ServerAbsent { .. });
            assert!(absent || is_gone(&error), "{error:?}");
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        }
        clean_up(&orders);
    });
}

/// `SIGKILL` takes a stopped process, too, and nothing of it is left.
#[test]
fn a_killed_process_is_no_more() {
    with_both_servers(|subject, threads| {
        let orders = Orders::new(&subject.endpoint(), threads);
        let server = orders.start();
        let id = server.id();
        assert!(is_there(id));
        server.signal(Signal::SIGSTOP);
        server.kill();
        assert!(!is_there(id));
        clean_up(&orders);
    });
}
