//! What is counted or limited for a whole process: what is left in it, what time it takes, how many pipes a
//! user has. Each test has a process in which nothing else goes on.

use std::io;
use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, await_launched};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::{AccessFlags, Gid, Pid, Uid, access, geteuid, setgid, setuid};

use super::{LARGE, PATIENCE, Pair, WAITS, assert_ends, orders};
use crate::service::PostClient;
use crate::support::holdings::Holdings;
use crate::support::role::{Control, Process, signal};
use crate::support::rpc_error;
use crate::support::serving::run;
use crate::support::waiting::until;

#[test]
fn nothing_is_left() {
    assert!(Process::start("launched-audit", "").wait().success(), "see above");
}

/// In a process where nothing else goes on.
pub(crate) fn audit() {
    // The first round may make what the process then keeps, such as a thread's memory.
    round();
    let before = Holdings::now();
    for _ in 0..3 {
        round();
    }
    assert_eq!(Holdings::now(), before);
    assert_eq!(std::fs::read_to_string("/proc/thread-self/children").unwrap(), "");
}

fn round() {
    let threads = Holdings::now().threads;
    for waits in WAITS {
        let [first, second, third] = std::array::from_fn(|_| Pair::new(waits));
        signal(first.pid(), Signal::SIGKILL);
        rpc_error(first.client.add(1, 1));
        signal(second.pid(), Signal::SIGKILL);
        drop(second.client);
        assert_eq!(third.client.echo(vec![7; LARGE]).unwrap().len(), LARGE);
        let launched = [first.server, second.server, third.server];
        drop(third.client);
        drop(launched);
        drop(first.client);
        let failing = Endpoint::parse("pipe:false").unwrap();
        run(PostClient::connect(&failing)).unwrap_err();
    }
    assert!(await_launched(PATIENCE));
    until(|| Holdings::now().threads <= threads);
}

#[test]
fn an_idle_connection_takes_no_time() {
    assert!(Process::start("launched-idle", "").wait().success(), "see above");
}

/// In a process where nothing else goes on.
pub(crate) fn idle() {
    for waits in WAITS {
        let pair = Pair::new(waits);
        let asynchronous = orders(waits).summons();
        let endpoint = Endpoint::launching(&asynchronous.launch()).unwrap();
        run(async {
            let client = PostClient::connect(&endpoint).await.unwrap();
            let _server = asynchronous.control();
            assert_eq!(client.add(1, 1).await.unwrap(), 2);
            assert_eq!(pair.client.add(1, 1).unwrap(), 2);
            let pids = [std::process::id(), pair.pid(), client.client().peer().pid.unwrap()];
            // What began with the calls is over.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let before = pids.map(cpu_time);
            tokio::time::sleep(Duration::from_secs(2)).await;
            for (pid, before) in pids.iter().zip(before) {
                let took = cpu_time(*pid) - before;
                assert!(took < Duration::from_millis(3), "{waits:?}, {pid} of {pids:?}: {took:?}");
            }
        });
    }
}

fn cpu_time(pid: u32) -> Duration {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).unwrap();
    clock_gettime(clock).unwrap().into()
}

#[test]
fn pipes_of_the_least_size_will_do() {
    let mut process = Process::start("launched-in-a-crowd", "");
    let said = process.control.hear().expect("see above");
    println!("{said}");
    assert!(process.wait().success(), "see above");
}

/// In a process of a user who has so many pipes that further ones hold next to nothing.
pub(crate) fn talk_over_small_pipes(mut control: Control) {
    const PIPES: usize = 1100;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = 3 * PIPES as u64;
    if most < wanted || !become_somebody() {
        return control.say("not tried, without descriptors or a user who may run this");
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, most).unwrap();
    let pipes: Vec<_> = (0..PIPES).map(|_| io::pipe().unwrap()).collect();
    let size = fcntl(&pipes[PIPES - 1].0, FcntlArg::F_GETPIPE_SZ).unwrap();
    assert!(size <= 8192, "{size}");
    for waits in WAITS {
        let pair = Pair::new(waits);
        thread::scope(|scope| {
            // Both directions are full most of the time.
            for thread in 0..4_u8 {
                let client = &pair.client;
                scope.spawn(move || {
                    for size in [0, 1, 4095, 4096, 4097, 100_000, 2 << 20] {
                        let data = vec![thread; size];
                        assert_eq!(client.echo(data.clone()).unwrap(), data);
                    }
                });
            }
        });
        let pid = pair.pid();
        drop(pair.client);
        assert_ends(pair.server, pid);
    }
    control.say("done");
}

/// The limit does not hold for root. Says whether it holds now, and this program can still be run.
fn become_somebody() -> bool {
    if geteuid().is_root() {
        setgid(Gid::from_raw(65534)).unwrap();
        setuid(Uid::from_raw(65534)).unwrap();
    }
    access(&std::env::current_exe().unwrap(), AccessFlags::X_OK).is_ok()
}
