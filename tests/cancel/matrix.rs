//! Each way to end a call, against each way in which a handler can be busy.

use std::time::{Duration, Instant};

use ipcall::{CancelCause, CancelToken, Endpoint, ErrorKind, Outcome};

use crate::labour::{LabourClient, State, Work, work};
use crate::support::role::Process;
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

/// How late handlers have ended; for the report, as no time decides here.
#[derive(Default)]
struct Late(Vec<Duration>);

impl Late {
    fn note(&mut self, since: Instant, at: Instant) {
        self.0.push(at.saturating_duration_since(since));
    }

    fn report(mut self, what: &str) {
        self.0.sort();
        let (median, last) = (self.0[self.0.len() / 2], self.0[self.0.len() - 1]);
        println!("    {what}: {} handlers ended, median {median:?}, last {last:?}", self.0.len());
    }
}

/// Runs `end` once for each kind of server and handler; it starts a call, ends it, and says since when the handler
/// was to end; `causes` are what the handler may have been told.
fn for_each_handler(
    what: &str,
    causes: &[CancelCause],
    end: impl AsyncFn(&LabourClient, &State, Work) -> Instant,
) {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let mut late = Late::default();
            run(async {
                let client = LabourClient::connect(&endpoint).await.unwrap();
                for (before, kind) in Work::ALL.into_iter().enumerate() {
                    let since = end(&client, &state, kind).await;
                    until_async(|| state.ended() == before + 1).await;
                    let ended = state.last_end();
                    late.note(since, ended.at);
                    if kind != Work::Wait {
                        let why = ended.cause.unwrap();
                        assert!(causes.contains(&why), "{kind:?} {waits:?} {why:?}");
                    }
                    // The call has left nothing behind.
                    until_async(|| client.client().calls_in_flight() == 0).await;
                    assert_eq!(client.add(1, before as u64).await.unwrap(), 1 + before as u64);
                }
            });
            late.report(&format!("{what}, {waits:?}"));
        }
    });
}

#[test]
fn a_dropped_call_ends_its_handler() {
    for_each_handler("dropped", &[CancelCause::Caller], async |client, state, kind| {
        let before = state.started();
        tokio::select! {
            biased;
            result = work(client, kind) => panic!("{kind:?} has ended: {result:?}"),
            () = until_async(|| state.started() > before) => {}
        }
        Instant::now()
    });
}

#[test]
fn a_token_ends_the_handlers_of_its_calls() {
    for_each_handler("token", &[CancelCause::Caller], async |client, state, kind| {
        let (token, before) = (CancelToken::new(), state.started());
        let since = async {
            until_async(|| state.started() > before).await;
            token.cancel();
            Instant::now()
        };
        let client = client.with_cancel_token(&token);
        let (result, since) = tokio::join!(work(&client, kind), since);
        assert_kind!(rpc_error(result), ErrorKind::Cancelled);
        since
    });
}

#[test]
fn all_calls_of_a_client_are_cancelled_at_once() {
    for_each_handler("all", &[CancelCause::Caller], async |client, state, kind| {
        let before = state.started();
        let since = async {
            until_async(|| state.started() > before).await;
            client.client().cancel_all();
            Instant::now()
        };
        let (result, since) = tokio::join!(work(client, kind), since);
        assert_kind!(rpc_error(result), ErrorKind::Cancelled);
        since
    });
}

#[test]
fn a_deadline_ends_its_handler() {
    // The client gives up at the same time, and may be heard first.
    let causes = [CancelCause::Deadline, CancelCause::Caller];
    for_each_handler("deadline", &causes, async |client, _, kind| {
        let time = Duration::from_millis(30);
        let deadline = Instant::now() + time;
        let result = work(&client.with_deadline(time), kind).await;
        if kind == Work::Protected && result.is_ok() {
            // It ends when it is told, and its answer may be faster than the client's own clock.
            return deadline;
        }
        let error = rpc_error(result);
        assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        deadline
    });
}

#[test]
fn the_death_of_the_client_ends_its_handlers() {
    between_processes(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            let mut late = Late::default();
            for (before, kind) in Work::ALL.into_iter().enumerate() {
                let caller = Process::start("caller", &format!("{before} {}", endpoint.uri()));
                until(|| state.started() as usize > before);
                let since = Instant::now();
                caller.kill();
                until(|| state.ended() > before);
                let ended = state.last_end();
                late.note(since, ended.at);
                if kind != Work::Wait {
                    assert_eq!(ended.cause, Some(CancelCause::PeerGone), "{kind:?} {waits:?}");
                }
            }
            late.report(&format!("client killed, {waits:?}"));
        }
    });
}

/// The role of a client that is killed in a call.
pub(crate) fn call(about: &str) {
    let (kind, uri) = about.split_once(' ').unwrap();
    let (kind, endpoint) =
        (Work::ALL[kind.parse::<usize>().unwrap()], Endpoint::parse(uri).unwrap());
    run(async {
        let client = LabourClient::connect(&endpoint).await.unwrap();
        work(&client, kind).await.unwrap();
    });
}
