//! An idle connection costs nothing: no thread of either side wakes up.

use std::fs;
use std::thread;
use std::time::Duration;

use ipcall::Endpoint;

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::support::Waits;
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::until;

/// How long nothing is to happen.
const IDLE: Duration = Duration::from_secs(2);

/// What a process has done: CPU time in ns, and how often its threads have gone to sleep.
#[derive(Debug, PartialEq, Eq)]
struct Activity {
    nanos: u64,
    sleeps: u64,
}

impl Activity {
    fn of(pid: u32) -> Self {
        let (mut nanos, mut sleeps) = (0, 0);
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let path = thread.unwrap().path();
            let read = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
            let first = |text: &str| text.split_whitespace().next().and_then(|n| n.parse().ok());
            nanos += first(&read("schedstat")).unwrap_or(0_u64);
            let status = read("status");
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sleeps += line.and_then(first).unwrap_or(0_u64);
        }
        Self { nanos, sleeps }
    }

    /// Once it has done nothing for a while.
    fn settled(pid: u32) -> Self {
        let mut last = Self::of(pid);
        until(|| {
            thread::sleep(Duration::from_millis(50));
            let now = Self::of(pid);
            std::mem::replace(&mut last, now) == Self::of(pid)
        });
        last
    }
}

#[test]
fn idle_connections_use_no_cpu() {
    between_processes(|subject| {
        for waits in [Waits::CurrentThread, Waits::Threads] {
            let endpoint = subject.endpoint();
            let mut server = Orders::new(&endpoint, waits).run();
            let mut client = Process::start("idler", endpoint.uri());
            assert_eq!(client.hear(), "idle");
            let processes = [server.id(), client.id()];
            let before = processes.map(Activity::settled);
            thread::sleep(IDLE);
            assert_eq!(processes.map(Activity::of), before, "{waits:?}");
            client.say("call");
            assert_eq!(client.hear(), "done");
            assert!(client.wait().success());
            server.say("end");
            assert_eq!(server.hear(), "stopped");
            assert!(server.wait().success());
        }
    });
}

/// The detector detects.
#[test]
fn a_planted_timer_is_found() {
    let mut ticking = Process::start("ticker", "");
    assert_eq!(ticking.hear(), "ticking");
    let before = Activity::of(ticking.id());
    until(|| Activity::of(ticking.id()).sleeps > before.sleeps + 3);
    ticking.kill();
}

/// A process that wakes up again and again.
pub(crate) fn tick(mut control: Control) {
    control.say("ticking");
    loop {
        thread::sleep(Duration::from_millis(10));
    }
}

/// A process with clients of both kinds that do nothing for a while.
pub(crate) fn idle(uri: &str, mut control: Control) {
    let endpoint = Endpoint::parse(uri).unwrap();
    let blocking = PostBlockingClient::connect(&endpoint).unwrap();
    assert_eq!(blocking.add(1, 1).unwrap(), 2);
    run(async {
        let client = PostClient::connect(&endpoint).await.unwrap();
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
        let asked = tokio::task::spawn_blocking(move || {
            control.say("idle");
            assert_eq!(control.hear().as_deref(), Some("call"));
            control
        });
        let mut control = asked.await.unwrap();
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
        assert_eq!(blocking.add(1, 1).unwrap(), 2);
        control.say("done");
    });
}
