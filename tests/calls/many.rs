//! Many callers on one connection: every reply is its own call's.

use std::sync::Arc;
use std::thread;

use ipcall::Endpoint;

use crate::support::serving::{current_thread, multi_thread, run};
use crate::support::{Serving, Subject, Waits, over_every_scheme};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

const TASKS: u64 = 100;
const CALLS: u64 = 1000;

/// The sum that nobody else asks for.
fn operands(task: u64, call: u64) -> (u64, u64) {
    (task << 32, call)
}

async fn call_by_tasks(endpoint: &Endpoint) {
    let client = WorkshopClient::connect(endpoint).await.unwrap();
    let tasks = (0..TASKS).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            for call in 0..CALLS {
                let (a, b) = operands(task, call);
                assert_eq!(client.add(a, b).await.unwrap(), a | b, "task {task}, call {call}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(client.client().calls_in_flight(), 0);
    assert_eq!(client.client().late_replies(), 0);
}

fn call_by_threads(endpoint: &Endpoint) {
    let client = WorkshopBlockingClient::connect(endpoint).unwrap();
    thread::scope(|scope| {
        for task in 0..TASKS {
            let client = &client;
            scope.spawn(move || {
                for call in 0..CALLS {
                    let (a, b) = operands(task, call);
                    assert_eq!(client.add(a, b).unwrap(), a | b, "thread {task}, call {call}");
                }
            });
        }
    });
    assert_eq!(client.client().calls_in_flight(), 0);
}

fn serve(subject: &Subject, waits: Waits, test: impl FnOnce(&Endpoint)) {
    let endpoint = subject.endpoint();
    let serving = Serving::start(waits, State::new().server(), &endpoint);
    test(&endpoint);
    assert_eq!(serving.stats().calls(), TASKS * CALLS);
    assert_eq!((serving.stats().accepted(), serving.stats().violations()), (1, 0));
}

#[test]
fn a_hundred_tasks_in_one_thread_get_their_own_replies() {
    over_every_scheme(|subject| {
        serve(subject, Waits::CurrentThread, |endpoint| {
            current_thread().block_on(call_by_tasks(endpoint));
        });
    });
}

#[test]
fn a_hundred_tasks_in_several_threads_get_their_own_replies() {
    over_every_scheme(|subject| {
        serve(subject, Waits::MultiThread, |endpoint| {
            multi_thread().block_on(call_by_tasks(endpoint));
        });
    });
}

#[test]
fn a_hundred_threads_on_one_blocking_client_get_their_own_replies() {
    over_every_scheme(|subject| serve(subject, Waits::Threads, call_by_threads));
}

#[test]
fn the_calls_of_one_connection_run_concurrently() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let endpoint = subject.endpoint();
            let _serving = Serving::start(waits, State::new().server(), &endpoint);
            // None of the ten is answered before all have arrived.
            run(async {
                let client = Arc::new(WorkshopClient::connect(&endpoint).await.unwrap());
                let calls = (0..10).map(|_| {
                    let client = Arc::clone(&client);
                    tokio::spawn(async move { client.meet().await.unwrap() })
                });
                for call in calls.collect::<Vec<_>>() {
                    call.await.unwrap();
                }
            });
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            thread::scope(|scope| {
                for _ in 0..10 {
                    scope.spawn(|| client.meet().unwrap());
                }
            });
        }
    });
}

#[test]
fn connections_of_a_thread_server_are_served_concurrently() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::Threads, State::new().server(), &endpoint);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    WorkshopBlockingClient::connect(&endpoint).unwrap().meet().unwrap();
                });
            }
        });
    });
}
