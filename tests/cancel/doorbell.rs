//! A cancellation that the server would not read by itself, because it holds back: the doorbell has it look.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use ipcall::{CancelToken, Endpoint, ErrorKind, Outcome, Signals};

use crate::labour::{LabourClient, State};
use crate::support::serving::run;
use crate::support::subject::Subject;
use crate::support::waiting::until_async;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

/// Calls without a reply after which the server reads no further.
const LINGERING: u32 = 8;

/// An endpoint whose server soon holds back, and whose client has soon sent as much as it can.
fn narrow(subject: &Subject, signals: Signals) -> Endpoint {
    subject.endpoint_with(|settings| {
        settings.signals = signals;
        settings.limits.calls_in_flight = LINGERING;
        settings.limits.queued_bytes = 16 << 10;
    })
}

/// Whether the transport of a client knows the process of a server that is this one.
fn knows_this_process(subject: &Subject) -> bool {
    // FIFOs show who has locked them only to others.
    !["mem", "tcp", "file", "fifo"].contains(&subject.scheme().name)
}

/// Sends calls without a reply until no more go.
async fn fill(client: &LabourClient, state: &State) {
    loop {
        let mut call = pin!(client.linger(&[7; 1000]));
        let mut polls = 0;
        // A writer that can go on does so in between.
        let sent = std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Pending if polls < 100 => {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
        });
        match sent.await {
            Some(sent) => sent.unwrap(),
            None if state.lingering() == LINGERING => return,
            None => {}
        }
    }
}

#[test]
fn a_server_that_holds_back_is_rung_and_stops_what_is_cancelled() {
    over_every_scheme(|subject| {
        if !knows_this_process(subject) {
            return;
        }
        for waits in Waits::TOKIO {
            let (state, endpoint) = (State::new(), narrow(subject, Signals::default()));
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let token = CancelToken::new();
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let patient = client.with_cancel_token(&token);
                let busy = tokio::spawn(async move { patient.wait_knowing().await });
                until_async(|| state.started() == 1).await;
                fill(&client, &state).await;
                let since = Instant::now();
                token.cancel();
                let error = rpc_error(busy.await.unwrap());
                let returned = since.elapsed();
                assert_kind!(error, ErrorKind::Cancelled);
                assert_eq!(error.outcome(), Outcome::MaybeExecuted);
                until_async(|| state.ended() == 1).await;
                let stopped = state.last_end().at - since;
                println!("    {waits:?}: returned after {returned:?}, stopped after {stopped:?}");
                assert!(serving.stats().rings() > 0);
                // What was read ahead is called in its turn.
                assert_eq!(state.lingering(), LINGERING);
                state.gate.add_permits(1 << 20);
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
        }
    });
}

#[test]
fn without_signals_the_caller_returns_all_the_same() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint) = (State::new(), narrow(subject, Signals::OFF));
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let token = CancelToken::new();
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let patient = client.with_cancel_token(&token);
                let busy = tokio::spawn(async move { patient.wait_knowing().await });
                until_async(|| state.started() == 1).await;
                fill(&client, &state).await;
                let since = Instant::now();
                token.cancel();
                assert_kind!(rpc_error(busy.await.unwrap()), ErrorKind::Cancelled);
                let returned = since.elapsed();
                let limit = Duration::from_millis(30);
                let since = Instant::now();
                let error = rpc_error(client.with_deadline(limit).wait().await);
                let late = since.elapsed() - limit;
                println!("    {waits:?}: returned after {returned:?}, and {late:?} late");
                assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
                assert_eq!(state.ended(), 0, "nobody has told it");
                state.gate.add_permits(1 << 20);
                // The other call may be started, too, and is then ended.
                until_async(|| state.ended() > 0 && state.ended() == state.started() as usize)
                    .await;
                assert_eq!(serving.stats().rings(), 0);
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
        }
    });
}
