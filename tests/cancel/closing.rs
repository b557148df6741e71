//! A server whose grace time is over tells those who still wait, and ends what it can.

use std::time::Duration;

use ipcall::{CancelCause, ErrorKind, Outcome};

use crate::labour::{LabourClient, State, Work, work};
use crate::support::serving::run;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, is_gone, over_every_scheme, rpc_error};

#[test]
fn the_end_of_the_server_ends_its_handlers_and_is_told_to_every_caller() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            for kind in [Work::WaitKnowing, Work::Read, Work::Nap] {
                let (state, endpoint) = (State::new(), subject.endpoint());
                let server = state.server().grace(Duration::from_millis(20));
                let serving = Serving::start(waits, server, &endpoint);
                let error = run(async {
                    let client = LabourClient::connect(&endpoint).await.unwrap();
                    let call = tokio::spawn(async move { work(&client, kind).await });
                    until_async(|| state.started() == 1).await;
                    serving.shutdown();
                    rpc_error(call.await.unwrap())
                });
                assert!(
                    is_gone(&error) || matches!(error.kind(), ErrorKind::Cancelled),
                    "{error:?}"
                );
                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                until(|| state.ended() == 1);
                // The client goes as soon as it has been told.
                let cause = state.last_end().cause.unwrap();
                assert!(matches!(cause, CancelCause::Closing | CancelCause::PeerGone), "{cause:?}");
                serving.join();
            }
        }
    });
}
