//! The same where a client starts its server: each server has one client, and its death has a status.

use std::fs;
use std::time::Duration;

use ipcall::{CallError, Endpoint, ErrorKind, RpcError, await_launched};

use super::fuse::{Point, now};
use super::victim::{Fate, MANY, SIZES};
use super::{SOON, assert_nothing_left, of_rpc, time_of_death};
use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::Waits;
use crate::support::role::Summons;
use crate::support::serving::run;

/// What a process may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls a server until it is dead, and says how much later that was seen. `None` if it was spared.
pub(super) fn outlive_server(fate: &Fate) -> Option<Duration> {
    let fate = Fate { uri: Endpoint::inherited().uri().to_owned(), ..fate.clone() };
    let summons = Summons::new("victim", &serde_json::to_string(&fate).unwrap());
    let endpoint = Endpoint::launching(&summons.launch()).unwrap();
    let error = if fate.threads { use_blocking(&endpoint) } else { run(use_async(&endpoint)) };
    let mut seen = now();
    let mut control = summons.control();
    assert_eq!(control.hear().as_deref(), Some("ready"));
    let died = time_of_death(&mut control);
    assert!(await_launched(PATIENCE), "{fate:?}: it goes on");
    match (&error, died) {
        (Some(error), Some(_)) => {
            let ErrorKind::PeerGone { how } = error.kind() else { panic!("{fate:?}: {error:?}") };
            assert!(how.contains("SIGKILL"), "{fate:?}: {error}");
            assert_eq!(error.endpoint(), Some(endpoint.uri()));
        }
        // There was nobody any more to see it but who waits for the process.
        (None, Some(_)) => {
            assert_eq!(fate.point, Point::BeforeClosing);
            seen = now();
        }
        (Some(error), None) => panic!("{fate:?}: {error}"),
        (None, None) => {}
    }
    let took = died.map(|died| seen.saturating_sub(died));
    assert!(took < Some(SOON), "{fate:?}: seen after {took:?}");
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children, "", "{fate:?}: nobody has waited for it");
    took
}

/// One connection; the error that it ended with, if it did.
fn use_blocking(endpoint: &Endpoint) -> Option<RpcError> {
    let client = match PostBlockingClient::connect(endpoint) {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    let call = || {
        for length in SIZES {
            assert_eq!(client.add(1, 1)?, 2);
            assert_eq!(client.echo(vec![7; length])?, vec![7; length]);
        }
        Ok::<_, CallError>(())
    };
    (0..MANY).find_map(|_| call().err()).map(of_rpc)
}

async fn use_async(endpoint: &Endpoint) -> Option<RpcError> {
    let client = match PostClient::connect(endpoint).await {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    let call = async || {
        for length in SIZES {
            assert_eq!(client.add(1, 1).await?, 2);
            assert_eq!(client.echo(vec![7; length]).await?, vec![7; length]);
        }
        Ok::<_, CallError>(())
    };
    for _ in 0..MANY {
        if let Err(error) = call().await {
            return Some(of_rpc(error));
        }
    }
    None
}

/// Lets a client start a server, and die; says how much later the server had stopped. `None` if the client
/// ended in order.
pub(super) fn outlive_client(fate: &Fate) -> Option<Duration> {
    let waits = if fate.threads { Waits::Threads } else { Waits::CurrentThread };
    let summons = Orders::new(&Endpoint::inherited(), waits).summons();
    let uri = Endpoint::launching(&summons.launch()).unwrap().uri().to_owned();
    let fate = Fate { uri, ..fate.clone() };
    let mut victim = fate.meet();
    let died = time_of_death(&mut victim.control);
    let pid = victim.id();
    victim.kill();
    if fate.point == Point::BeforeConnecting {
        // It has started nobody.
        summons.withdraw();
        return died.map(|died| now().saturating_sub(died));
    }
    let mut server = summons.control();
    while server.hear().expect("it says so before it ends") != "stopped" {}
    let took = died.map(|died| now().saturating_sub(died));
    assert!(took < Some(SOON), "{fate:?}: stopped after {took:?}");
    assert_nothing_left(pid, &fate);
    took
}
