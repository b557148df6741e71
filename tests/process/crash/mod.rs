//! Either side is killed at each of twelve marked points, by itself and at once (SIGKILL): the other side
//! finds out, with the right error, and nothing is left of it after the next start.
//!
//! `IPCALL_CRASH_ROUNDS=1000 cargo test --release --test process crash -- --nocapture` does it a thousand
//! times at each point, and says how soon a death was seen.

mod fuse;
mod launched;
mod victim;

use std::time::Duration;

use ipcall::{CallError, Endpoint, ErrorKind, RpcError, Server};

use self::fuse::now;
pub(crate) use self::fuse::{Fuse, Point};
pub(crate) use self::victim::live;
use self::victim::{Fate, SIZES, SPARED, Side};
use crate::server::Orders;
use crate::service::{Office, PostBlockingClient, PostClient, PostServer};
use crate::support::holdings::Holdings;
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::system_v::SystemV;
use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits, over_every_scheme, watchdog};

/// How often at each point, unless the environment says otherwise.
const ROUNDS: u32 = 20;

/// Connections to a server after which its point should have come.
const MANY: usize = 50;

/// Clients that are given the chance to come to their point.
const ATTEMPTS: u32 = 5;

/// Within which a death is seen, on a machine that does other things besides.
const SOON: Duration = Duration::from_secs(5);

fn rounds() -> u32 {
    std::env::var(watchdog::ROUNDS).map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

#[test]
fn a_server_killed_anywhere_is_an_error_and_leaves_nothing() {
    survive_all(Side::Server);
}

#[test]
fn a_client_killed_anywhere_is_forgotten_and_leaves_nothing() {
    survive_all(Side::Client);
}

fn survive_all(side: Side) {
    over_every_scheme(|subject| {
        if subject.scheme().in_process {
            return;
        }
        // In a process where nothing else goes on.
        let about = format!("{} {side:?}", subject.scheme().name);
        let mut survivor = Process::start("survivor", &about);
        while let Some(line) = survivor.control.hear() {
            println!("  {line}");
        }
        assert!(survivor.wait().success(), "see above");
    });
}

/// Outlives every victim, over the transport and for the side in `about`.
pub(crate) fn outlive(about: &str, mut control: Control) {
    let (scheme, side) = about.split_once(' ').unwrap();
    let subject = Subject::named(scheme);
    let idle = Holdings::now().threads;
    let mut seen: Vec<Duration> = Vec::new();
    let mut before = None;
    for round in 0..rounds() {
        for point in Point::ALL {
            let threads = round % 2 == 0;
            let launched = subject.scheme().starts_server;
            let uri = if launched { String::new() } else { subject.endpoint().uri().to_owned() };
            let side = if side == "Server" { Side::Server } else { Side::Client };
            // Threads of the last one may still be winding down.
            until(|| Holdings::now().threads == idle);
            // Where there is one connection, what happens once in it is not spared.
            let once = [Point::BeforeConnecting, Point::AfterConnecting, Point::BeforeClosing];
            let spared = if launched && once.contains(&point) { 0 } else { round * 7 % 11 };
            let fate = Fate { uri, side, threads, point, spared };
            let outlive = match (side, launched) {
                (Side::Server, false) => |fate: &Fate| Some(outlive_server(fate)),
                (Side::Client, false) => outlive_client,
                (Side::Server, true) => launched::outlive_server,
                (Side::Client, true) => launched::outlive_client,
            };
            let attempts = (0..ATTEMPTS).find_map(|_| outlive(&fate));
            seen.push(attempts.unwrap_or_else(|| panic!("{fate:?}: it never came")));
        }
        // The first of each kind may make what the process then keeps.
        if round > 0 {
            let first = before.get_or_insert_with(Holdings::now);
            until(|| Holdings::now() == *first);
        }
        assert!(subject.entries().is_empty(), "{:?}", subject.entries());
    }
    seen.sort();
    let at = |share: usize| seen[(seen.len() - 1) * share / 100];
    control.say(&format!(
        "{about}: {} deaths, seen after: median {:?}, 99 % within {:?}, the last after {:?}",
        seen.len(),
        at(50),
        at(99),
        at(100)
    ));
}

/// When the victim has said that it dies; `None` if it was spared.
fn time_of_death(victim: &mut Control) -> Option<Duration> {
    let words = loop {
        let words = victim.hear()?;
        // What else it says is about its handlers.
        if words.bytes().all(|byte| byte.is_ascii_digit()) {
            break words;
        }
        if words == SPARED {
            return None;
        }
    };
    Some(Duration::from_nanos(words.parse().unwrap()))
}

/// Calls a server until it is dead, and says how much later that was seen.
fn outlive_server(fate: &Fate) -> Duration {
    let mut victim = fate.meet();
    let endpoint = Endpoint::parse(&fate.uri).unwrap();
    let error = (0..MANY)
        .find_map(
            |_| if fate.threads { use_blocking(&endpoint) } else { run(use_async(&endpoint)) },
        )
        .unwrap_or_else(|| panic!("{fate:?}: it never came"));
    let seen = now();
    match error.kind() {
        ErrorKind::PeerGone { how } => assert!(!how.is_empty(), "{fate:?}: {error}"),
        ErrorKind::ServerAbsent { .. } => {}
        _ => panic!("{fate:?}: {error:?}"),
    }
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
    let took = seen.saturating_sub(time_of_death(&mut victim.control).unwrap());
    assert!(took < SOON, "{fate:?}: seen after {took:?}");
    let pid = victim.id();
    victim.kill();
    // Its name is taken over and given back.
    let mut next = Orders::new(&endpoint, Waits::CurrentThread).run();
    next.say("end");
    assert_eq!(next.hear(), "stopped");
    assert!(next.wait().success());
    assert_nothing_left(pid, fate);
    took
}

/// One connection; the error that it ended with, if it did.
fn use_blocking(endpoint: &Endpoint) -> Option<RpcError> {
    let client = match PostBlockingClient::connect(endpoint) {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    SIZES.iter().find_map(|&length| {
        let sum = client.add(1, 1).map(|sum| assert_eq!(sum, 2));
        let echo = sum.and_then(|()| client.echo(vec![7; length]));
        echo.map(|echo| assert_eq!(echo, vec![7; length])).err().map(of_rpc)
    })
}

async fn use_async(endpoint: &Endpoint) -> Option<RpcError> {
    let client = match PostClient::connect(endpoint).await {
        Ok(client) => client,
        Err(error) => return Some(error),
    };
    for length in SIZES {
        let calls = async {
            assert_eq!(client.add(1, 1).await?, 2);
            assert_eq!(client.echo(vec![7; length]).await?, vec![7; length]);
            Ok::<_, CallError>(())
        };
        if let Err(error) = calls.await {
            return Some(of_rpc(error));
        }
    }
    None
}

fn of_rpc(error: CallError) -> RpcError {
    match error {
        CallError::Rpc(error) => error,
        CallError::Method(never) => match never {},
    }
}

/// Serves a client until it is dead, with another one beside it; says how much later nothing of it was
/// left. `None` if the client ended in order.
fn outlive_client(fate: &Fate) -> Option<Duration> {
    let endpoint = Endpoint::parse(&fate.uri).unwrap();
    let (_, theirs) = Control::pair();
    let server = Server::new().add_service(PostServer::new(Office::new(theirs.writer())));
    let waits = if fate.threads { Waits::Threads } else { Waits::CurrentThread };
    let serving = Serving::start(waits, server, &endpoint);
    let other = PostBlockingClient::connect(&endpoint).unwrap();
    assert_eq!(other.add(1, 1).unwrap(), 2);
    let before = Holdings::now();
    let mut victim = fate.meet();
    let died = time_of_death(&mut victim.control);
    let pid = victim.id();
    victim.kill();
    until(|| Holdings::now() == before);
    let took = died.map(|died| now().saturating_sub(died));
    assert!(took < Some(SOON), "{fate:?}: seen after {took:?}");
    assert_eq!(other.add(1, 1).unwrap(), 2, "the server goes on serving the others");
    drop(other);
    serving.shutdown();
    serving.join();
    assert_nothing_left(pid, fate);
    took
}

/// What the kernel keeps for a process, and would keep for ever.
fn assert_nothing_left(pid: u32, fate: &Fate) {
    let left = SystemV::of(pid);
    assert!(left.is_empty(), "{fate:?}: {left:?}");
}
