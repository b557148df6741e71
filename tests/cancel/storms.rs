//! Very many cancellations: nothing is mixed up, and nothing grows.
//!
//! `IPCALL_CANCEL_ROUNDS=1000000 cargo test --release --test cancel storms -- --nocapture` makes as many of them;
//! `IPCALL_STORM_SECONDS=10` measures for as long what they cost others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipcall::{CancelToken, Endpoint, ErrorKind, Outcome};
use tokio::task::JoinSet;

use crate::labour::{LabourBlockingClient, LabourClient, State};
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::{timed, until_async};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

/// Calls that are cancelled, over each transport and by each kind of server.
fn rounds() -> u64 {
    std::env::var("IPCALL_CANCEL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Memory that this process has, in KiB: both sides' together.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn late_answers_never_reach_another_call() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let (since, mut after_first) = (Instant::now(), None);
            run(async {
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let mut cancelled = 0;
                let mut number = 0;
                while cancelled < rounds() {
                    // Some are answered at once, some never, and each is dropped at another moment.
                    let mut calls = JoinSet::new();
                    for _ in 0..50 {
                        number += 1;
                        let client = client.clone();
                        calls.spawn(async move {
                            let answer = async {
                                if number % 5 == 0 {
                                    client.wait().await.unwrap();
                                }
                                client.swallow(&[1; 100], number).await.unwrap()
                            };
                            let patience = Duration::from_micros(number * 7 % 900);
                            let answer = tokio::time::timeout(patience, answer).await;
                            if let Ok(answer) = answer {
                                assert_eq!(answer, number);
                            }
                            answer.is_err()
                        });
                    }
                    while let Some(was_cancelled) = calls.join_next().await {
                        cancelled += u64::from(was_cancelled.unwrap());
                    }
                    // What is allocated once has been by then.
                    if cancelled > rounds() / 10 {
                        after_first.get_or_insert_with(memory);
                    }
                }
                until_async(|| client.client().calls_in_flight() == 0).await;
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
            let grown = memory().saturating_sub(after_first.unwrap());
            println!(
                "    {waits:?}: {} cancelled in {:?}, {grown} KiB more",
                rounds(),
                since.elapsed()
            );
            assert!(grown < 16 << 10, "{grown} KiB more than after a tenth");
        }
    });
}

#[test]
fn a_token_of_very_many_calls_forgets_those_that_have_ended() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::CurrentThread, state.server(), &endpoint);
        run(async {
            let token = CancelToken::new();
            let client = LabourClient::connect(&endpoint).await.unwrap().with_cancel_token(&token);
            for number in 0..500 {
                assert_eq!(client.swallow(&[], number).await.unwrap(), number);
            }
            token.cancel();
            let error = rpc_error(client.add(1, 2).await);
            assert_kind!(error, ErrorKind::Cancelled);
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        });
    });
}

/// How long calls of a blocking client take, one after the other: the 99th of a hundred, for the report.
fn p99(client: &LabourBlockingClient, time: Duration) -> Duration {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let (sum, took) = timed(|| client.add(1, 2).unwrap());
        assert_eq!(sum, 3);
        times.push(took);
    }
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn one_who_begins_and_cancels_without_end_does_not_stop_the_others() {
    let seconds = std::env::var("IPCALL_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(0.1));
    between_processes(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let honest = LabourBlockingClient::connect(&endpoint).unwrap();
            let alone = p99(&honest, time);
            let mut storm = Process::start("storm", endpoint.uri());
            assert_eq!(storm.hear(), "begun");
            let beside = p99(&honest, time);
            storm.say("enough");
            println!(
                "    {waits:?}: 99 % within {alone:?} alone, {beside:?} beside {}",
                storm.hear()
            );
        }
    });
}

/// The role of one who does nothing but to begin calls and to cancel them.
pub(crate) fn storm(uri: &str, mut control: Control) {
    let enough = Arc::new(AtomicBool::new(false));
    let endpoint = Endpoint::parse(uri).unwrap();
    let listener = std::thread::spawn({
        let (enough, mut lines) = (Arc::clone(&enough), control.listener());
        move || {
            lines.hear();
            enough.store(true, Ordering::Relaxed);
        }
    });
    let cancelled = run(async {
        let client = LabourClient::connect(&endpoint).await.unwrap();
        control.say("begun");
        let mut cancelled = 0_u64;
        while !enough.load(Ordering::Relaxed) {
            let patience = tokio::task::yield_now();
            tokio::select! {
                biased;
                result = client.wait() => panic!("{result:?}"),
                () = patience => cancelled += 1,
            }
        }
        cancelled
    });
    listener.join().unwrap();
    control.say(&format!("{cancelled} cancellations"));
}
