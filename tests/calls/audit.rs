//! Nothing is left behind, counted in a process where nothing else goes on.

use ipcall::Client;

use crate::support::holdings::Holdings;
use crate::support::role::Process;
use crate::support::serving::{multi_thread, run};
use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits, as_many_as_fit, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

#[test]
fn a_thousand_connections_leave_nothing() {
    over_every_scheme(|subject| {
        let process = Process::start("audit", subject.scheme().name);
        assert!(process.wait().success(), "see above");
    });
}

/// In a process of its own: connections in every order of their ends.
pub(crate) fn audit(scheme: &str) {
    let subject = Subject::named(scheme);
    let threads = Holdings::now().threads;
    let settled = || {
        // What a thread has is gone when the thread is, and some are still winding down.
        until(|| Holdings::now().threads <= threads);
        Holdings::now()
    };
    for waits in Waits::ALL {
        // The first round may make what the process then keeps, such as a thread's memory.
        round(&subject, waits, 5);
        let before = settled();
        round(&subject, waits, 334);
        assert_eq!(settled(), before, "{waits:?}");
    }
    assert!(subject.entries().is_empty());
}

fn round(subject: &Subject, waits: Waits, connects: usize) {
    let state = State::new();
    let endpoint = subject.endpoint();
    let serving = Serving::start(waits, state.server(), &endpoint);
    for _ in 0..connects {
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
    }
    // Still open when the server goes.
    let clients = as_many_as_fit(20, || WorkshopBlockingClient::connect(&endpoint));
    run(async {
        for _ in 0..connects {
            let client = WorkshopClient::connect(&endpoint).await.unwrap();
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
        }
    });
    let runtime = multi_thread();
    let connections = as_many_as_fit(20, || runtime.block_on(Client::connect(&endpoint)));
    assert!(!connections.is_empty());
    drop(serving);
    for client in clients {
        rpc_error(client.add(1, 1));
    }
    drop(connections);
    // What it runs is dropped by the time that it has gone.
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
}

/// The detector detects.
#[test]
fn a_planted_leak_is_found() {
    assert!(Process::start("planted-leak", "").wait().success());
}

pub(crate) fn plant_a_leak() {
    let before = Holdings::now();
    std::mem::forget(std::fs::File::open("/dev/null").unwrap());
    let after = Holdings::now();
    assert_ne!(before, after);
    assert!(after.descriptors.iter().any(|descriptor| descriptor.ends_with("/dev/null")));
}
