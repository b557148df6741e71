//! After servers were killed, stopped and restarted, this side has nothing left of them.

use ipcall::Client;
use nix::sys::signal::Signal;

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::holdings::{Holdings, is_there};
use crate::support::role::Process;
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::until;
use crate::support::{Subject, Waits, rpc_error};

#[test]
fn no_descriptor_thread_file_or_process_is_left() {
    between_processes(|subject| {
        assert!(Process::start("audit", subject.scheme().name).wait().success(), "see above");
    });
}

/// In a process where nothing else goes on.
pub(crate) fn audit(scheme: &str) {
    let subject = Subject::named(scheme);
    let threads = Holdings::now().threads;
    // The first round may make what the process then keeps, such as a thread's memory.
    round(&subject);
    // A thread that was joined may be listed for a moment longer.
    until(|| Holdings::now().threads <= threads);
    let before = Holdings::now();
    for _ in 0..3 {
        for pid in round(&subject) {
            assert!(!is_there(pid), "process {pid} is left");
        }
    }
    until(|| Holdings::now().threads <= threads);
    assert_eq!(Holdings::now(), before);
    assert!(subject.entries().is_empty(), "{:?}", subject.entries());
}

/// Servers that end in every way; gives their processes.
fn round(subject: &Subject) -> Vec<u32> {
    let endpoint = subject.endpoint();
    let mut pids = Vec::new();
    for waits in [Waits::CurrentThread, Waits::Threads] {
        let orders = Orders { drain: true, ..Orders::new(&endpoint, waits) };
        let server = orders.run();
        pids.push(server.id());
        let blocking = PostBlockingClient::connect(&endpoint).unwrap();
        run(async {
            let client = PostClient::connect(&endpoint).await.unwrap();
            let other = Client::connect(&endpoint).await.unwrap();
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
            server.kill();
            rpc_error(client.add(1, 1).await);
            drop(other);
        });
        rpc_error(blocking.add(1, 1));
        let mut server = orders.run();
        pids.push(server.id());
        let blocking = PostBlockingClient::connect(&endpoint).unwrap();
        server.signal(Signal::SIGTERM);
        assert_eq!(server.hear(), "stopped");
        rpc_error(blocking.add(1, 1));
        server.say("end");
        assert!(server.wait().success());
    }
    pids
}
