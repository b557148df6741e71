//! Very many cancellations: nothing is mixed up, and nothing grows.
//!
//! `IPCALL_CANCEL_ROUNDS=1000000 cargo test --release --test cancel storms -- --nocapture` makes as many of them.

use std::time::{Duration, Instant};

use ipcall::{CancelToken, ErrorKind, Outcome};
use tokio::task::JoinSet;

use crate::labour::{LabourClient, State};
use crate::support::serving::run;
use crate::support::waiting::until_async;
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
