//! Signals that nobody meant: the one that ends system calls and the doorbell, sent by others without end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::Endpoint;
use nix::libc;

use crate::labour::{LabourBlockingClient, LabourClient, State, Work, work};
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::until_async;
use crate::support::{Serving, Waits};

/// Signals to a server, over each transport and for each kind of it. `IPCALL_FORGED_SIGNALS` of them.
fn signals() -> u32 {
    std::env::var("IPCALL_FORGED_SIGNALS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Sends a signal with a payload that means nothing.
fn forge(pid: u32, signal: i32, payload: u32) {
    let value = libc::sigval { sival_ptr: payload as usize as *mut libc::c_void };
    // SAFETY: the call takes numbers; the pointer is passed on as one and never followed.
    let _too_many = unsafe { libc::sigqueue(pid.cast_signed(), signal, value) };
}

fn rate(client: &LabourBlockingClient, goes_on: impl Fn() -> bool) -> f64 {
    let (begun, mut calls) = (Instant::now(), 0_u64);
    while goes_on() {
        assert_eq!(client.add(calls, 1).unwrap(), calls + 1);
        assert_eq!(client.add_blocking(calls, 2).unwrap(), calls + 2);
        calls += 2;
    }
    calls as f64 / begun.elapsed().as_secs_f64()
}

#[test]
fn signals_that_mean_nothing_change_nothing() {
    between_processes(|subject| {
        for (index, waits) in Waits::ALL.into_iter().enumerate() {
            let endpoint = subject.endpoint();
            let mut server = Process::start("bombarded", &format!("{index} {}", endpoint.uri()));
            assert_eq!(server.hear(), "serving");
            // Its first interrupted handler installs what takes the signal; before that it would be deadly, as any is.
            run(async {
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let brief = client.with_deadline(Duration::from_millis(20));
                work(&brief, Work::Read).await.unwrap_err();
                until_async(|| client.client().calls_in_flight() == 0).await;
            });
            let client = LabourBlockingClient::connect(&endpoint).unwrap();
            let until = Instant::now() + Duration::from_millis(50);
            let alone = rate(&client, || Instant::now() < until);
            // The one that ends system calls, and the doorbell.
            for signal in [libc::SIGRTMIN() + 5, libc::SIGURG] {
                let (over, pid) = (AtomicBool::new(false), server.id());
                let beside = thread::scope(|scope| {
                    scope.spawn(|| {
                        for number in 0..signals() {
                            forge(pid, signal, number.wrapping_mul(2_654_435_761));
                        }
                        over.store(true, Ordering::Relaxed);
                    });
                    rate(&client, || !over.load(Ordering::Relaxed))
                });
                println!(
                    "    {waits:?}: {alone:.0} calls a second alone, {beside:.0} among signals {signal}"
                );
            }
            // And it is still told from a cancellation.
            let patient = client.with_deadline(Duration::from_millis(20));
            patient.read().unwrap_err();
            assert_eq!(client.add(1, 2).unwrap(), 3);
            drop(client);
            server.say("end");
            assert!(server.wait().success());
        }
    });
}

/// The role of the server.
pub(crate) fn serve(about: &str, mut control: Control) {
    let (waits, uri) = about.split_once(' ').unwrap();
    let endpoint = Endpoint::parse(uri).unwrap();
    let waits = Waits::ALL[waits.parse::<usize>().unwrap()];
    let serving = Serving::start(waits, State::new().server(), &endpoint);
    control.say("serving");
    control.hear();
    serving.shutdown();
    serving.join();
}
