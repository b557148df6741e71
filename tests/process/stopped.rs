//! Servers that are there but do nothing, as under a debugger: deadlines hold, and nothing is lost.

use std::fs;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind, Outcome, RpcError};
use nix::sys::signal::Signal;

use crate::support::role::Process;
use crate::support::serving::multi_thread;
use crate::support::subject::with;
use crate::support::waiting::{timed, until};
use crate::support::{assert_kind, rpc_error};
use crate::yard::{Orders, PROMPT, YardBlockingClient, YardClient, stop, with_both_servers};

const DEADLINE: Duration = Duration::from_millis(100);

/// Stops a process, and waits until it stands.
pub(crate) fn halt(process: &Process) {
    process.signal(Signal::SIGSTOP);
    until(|| state(process.id()) == 'T');
}

/// What the kernel says a process does.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Its name, in parentheses, may be anything.
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[track_caller]
fn assert_late(error: &RpcError, taken: Duration) {
    assert_kind!(error, ErrorKind::DeadlineExceeded { deadline } if *deadline == DEADLINE);
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert!((DEADLINE..PROMPT).contains(&taken), "{taken:?}");
}

#[test]
fn deadlines_hold_while_the_server_is_stopped_and_calls_go_on_afterwards() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let server = Orders::new(&endpoint, threads).start();
        let runtime = multi_thread();
        let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
        let blocking = YardBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(runtime.block_on(client.add(1, 1)).unwrap(), 2);
        assert_eq!(blocking.add(1, 1).unwrap(), 2);
        halt(&server);
        let hasty = client.with_deadline(DEADLINE);
        let (result, taken) = timed(|| runtime.block_on(hasty.add(2, 2)));
        assert_late(&rpc_error(result), taken);
        let (result, taken) = timed(|| blocking.with_deadline(DEADLINE).add(2, 2));
        assert_late(&rpc_error(result), taken);
        assert_eq!(state(server.id()), 'T', "it has stood all the time");
        server.signal(Signal::SIGCONT);
        assert_eq!(runtime.block_on(client.add(3, 3)).unwrap(), 6, "not the late answer");
        assert_eq!(blocking.add(3, 3).unwrap(), 6, "not the late answer");
        until(|| client.client().calls_in_flight() == 0);
        drop((client, hasty, blocking));
        stop(server);
    });
}

#[test]
fn calls_without_a_deadline_outlast_a_pause_of_the_server() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let server = Orders::new(&endpoint, threads).start();
        let runtime = multi_thread();
        let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
        halt(&server);
        let calls: Vec<_> = (0..20)
            .map(|i| (i, client.clone()))
            .map(|(i, client)| runtime.spawn(async move { client.add(i, 100).await }))
            .collect();
        until(|| client.client().calls_in_flight() == 20);
        server.signal(Signal::SIGCONT);
        for (i, call) in calls.into_iter().enumerate() {
            assert_eq!(runtime.block_on(call).unwrap().unwrap(), i as u64 + 100);
        }
        drop(client);
        stop(server);
    });
}

#[test]
fn a_stopped_server_lets_nobody_in_and_nobody_waits_for_ever() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let server = Orders::new(&endpoint, threads).start();
        halt(&server);
        let impatient = with(&endpoint, |settings| settings.limits.handshake = DEADLINE);
        let runtime = multi_thread();
        let check = |connect: &dyn Fn(&Endpoint) -> RpcError| {
            let (error, taken) = timed(|| connect(&impatient));
            assert_kind!(error, ErrorKind::PeerStalled { what: "handshake", waited }
                if *waited == DEADLINE);
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            assert!((DEADLINE..PROMPT).contains(&taken), "{taken:?}");
        };
        check(&|endpoint| YardBlockingClient::connect(endpoint).unwrap_err());
        check(&|endpoint| runtime.block_on(YardClient::connect(endpoint)).unwrap_err());
        server.signal(Signal::SIGCONT);
        assert_eq!(YardBlockingClient::connect(&endpoint).unwrap().add(1, 1).unwrap(), 2);
        stop(server);
    });
}
