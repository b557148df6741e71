//! Nothing is left behind by what dies, counted in a process where nothing else goes on.

use std::fs;

use crate::support::holdings::Holdings;
use crate::support::role::Process;
use crate::support::serving::multi_thread;
use crate::support::subject::between_processes;
use crate::support::waiting::until;
use crate::support::{Subject, rpc_error};
use crate::yard::{Orders, YardBlockingClient, YardClient, assert_gone, stop};

#[test]
fn servers_that_are_killed_leave_no_file_process_or_descriptor_at_their_clients() {
    between_processes(|subject| {
        let process = Process::start("audit", subject.scheme().name);
        assert!(process.wait().success(), "see above");
    });
}

/// In a process of its own, which starts further ones.
pub(crate) fn audit(scheme: &str) {
    let subject = Subject::named(scheme);
    // The first round may make what the process then keeps.
    round(&subject, false);
    let before = Holdings::now();
    for threads in [false, true, false, true] {
        round(&subject, threads);
    }
    until(|| Holdings::now().threads == before.threads);
    assert_eq!(Holdings::now(), before);
    assert_eq!(children(), "", "processes are left");
    assert!(subject.entries().is_empty());
}

fn round(subject: &Subject, threads: bool) {
    let endpoint = subject.endpoint();
    let orders = Orders::new(&endpoint, threads);
    let mut server = orders.start();
    let runtime = multi_thread();
    let client = runtime.block_on(YardClient::connect(&endpoint)).unwrap();
    let blocking = YardBlockingClient::connect(&endpoint).unwrap();
    let tasks = client.clone();
    let call = runtime.spawn(async move { tasks.stay().await });
    assert_eq!(server.hear(), "started");
    server.kill();
    assert_gone(&rpc_error(runtime.block_on(call).unwrap()), &endpoint);
    assert_gone(&rpc_error(blocking.add(1, 1)), &endpoint);
    YardBlockingClient::connect(&endpoint).unwrap_err();
    stop(orders.start());
}

/// The processes that this one has started and not waited for.
fn children() -> String {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok())
        .collect()
}
