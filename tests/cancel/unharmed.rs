//! What does not end, or is not harmed, when something is cancelled.

use std::time::Duration;

use ipcall::{ErrorKind, Outcome};

use crate::labour::{LabourBlockingClient, LabourClient, State, Work, work};
use crate::support::serving::{cpu, run};
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

#[test]
fn a_handler_that_does_not_look_keeps_its_slot_until_it_ends() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let state = State::new();
            let endpoint = subject.endpoint_with(|settings| settings.limits.calls_in_flight = 1);
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = LabourClient::connect(&endpoint).await.unwrap();
                tokio::select! {
                    biased;
                    result = client.stubborn(50) => panic!("{result:?}"),
                    () = until_async(|| state.started() == 1) => {}
                }
                assert_eq!(client.client().calls_in_flight(), 1);
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
                assert_eq!(state.ended(), 1, "the slot was free before the handler had ended");
            });
        }
    });
}

#[test]
fn a_blocking_client_returns_by_its_deadline() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let client = LabourBlockingClient::connect(&endpoint).unwrap();
            for _ in 0..3 {
                let patient = client.with_deadline(Duration::from_millis(20));
                let error = rpc_error(patient.read());
                assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                assert_eq!(client.add(1, 2).unwrap(), 3);
            }
            until(|| state.ended() == 3);
            assert_eq!(state.started(), 3);
        }
    });
}

#[test]
fn a_thread_that_serves_all_connections_is_told_of_cancellations_too() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let server = state.server().busy_poll(cpu());
        let _serving = Serving::start(Waits::Threads, server, &endpoint);
        run(async {
            let client = LabourClient::connect(&endpoint).await.unwrap();
            for (before, kind) in Work::ALL.into_iter().enumerate() {
                tokio::select! {
                    biased;
                    result = work(&client, kind) => panic!("{kind:?} has ended: {result:?}"),
                    () = until_async(|| state.started() as usize > before) => {}
                }
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
                assert_eq!(state.ended(), before + 1);
            }
        });
    });
}
