//! A cancellation that the server would not read by itself, because it holds back: the doorbell has it look.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{CancelToken, ErrorKind, Outcome, Settings, Signals};
use ipcall_core::protocol::hello::Hello;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::labour::{LabourBlockingClient, LabourClient, State};
use crate::support::frame::{CANCEL, Frame, REPLY, counted, varint};
use crate::support::raw::{Raw, number};
use crate::support::serving::run;
use crate::support::subject::Subject;
use crate::support::waiting::{Sleeper, until, until_async};
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

/// Calls without a reply after which the server reads no further.
pub(crate) const LINGERING: u32 = 8;

/// Has a server soon hold back, and its client soon have sent as much as it can.
pub(crate) fn narrow(settings: &mut Settings, signals: Signals) {
    settings.signals = signals;
    settings.limits.calls_in_flight = LINGERING;
    settings.limits.queued_bytes = 16 << 10;
}

/// Whether the transport of a client knows the process of a server that is this one.
fn knows_this_process(subject: &Subject) -> bool {
    // FIFOs show who has locked them only to others.
    !["mem", "tcp", "file", "fifo"].contains(&subject.scheme().name)
}

/// Sends calls without a reply until no more go, and the server `holds_back`.
pub(crate) async fn fill(client: &LabourClient, mut holds_back: impl FnMut() -> bool) {
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
            None if holds_back() => return,
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
            let (state, endpoint) =
                (State::new(), subject.endpoint_with(|it| narrow(it, Signals::URGENT)));
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let token = CancelToken::new();
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let patient = client.with_cancel_token(&token);
                let busy = tokio::spawn(async move { patient.wait_knowing().await });
                until_async(|| state.started() == 1).await;
                fill(&client, || state.lingering() == LINGERING).await;
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
fn a_blocking_client_that_leaves_has_told_the_server_it_has_rung() {
    over_every_scheme(|subject| {
        if !knows_this_process(subject) {
            return;
        }
        for waits in Waits::TOKIO {
            let state = State::new();
            let endpoint = subject.endpoint_with(|it| narrow(it, Signals::URGENT));
            let serving = Serving::start(waits, state.server(), &endpoint);
            let client = LabourBlockingClient::connect(&endpoint).unwrap();
            let token = CancelToken::new();
            let patient = client.with_cancel_token(&token);
            let busy = thread::spawn(move || rpc_error(patient.wait_knowing()));
            until(|| state.started() == 1);
            // Without a deadline, which would end the handlers, too.
            let (full, sleeper) = (CancelToken::new(), Arc::new(Sleeper::default()));
            let filling = thread::spawn({
                let (client, sleeper) = (client.with_cancel_token(&full), Arc::clone(&sleeper));
                move || {
                    sleeper.note();
                    while client.linger(&[7; 1000]).is_ok() {}
                }
            });
            until(|| state.lingering() == LINGERING && sleeper.is_asleep());
            full.cancel();
            filling.join().unwrap();
            let since = Instant::now();
            token.cancel();
            let error = busy.join().unwrap();
            let brief = client.with_deadline(Duration::from_millis(20));
            let returned = since.elapsed();
            assert_kind!(error, ErrorKind::Cancelled);
            // It has waited for the room that the ring makes; where that took too long, it is the next call's to write on.
            until(|| {
                let _next = (state.ended() == 0).then(|| brief.add(1, 2));
                state.ended() == 1
            });
            let stopped = state.last_end().at - since;
            println!("    {waits:?}: returned after {returned:?}, stopped after {stopped:?}");
            assert!(serving.stats().rings() > 0);
            state.gate.add_permits(1 << 20);
            assert_eq!(client.add(1, 2).unwrap(), 3);
        }
    });
}

#[test]
fn a_server_in_threads_comes_to_a_cancellation_behind_very_many_calls() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::Threads, state.server(), &endpoint);
        run(async {
            let token = CancelToken::new();
            let client = LabourClient::connect(&endpoint).await.unwrap();
            let patient = client.with_cancel_token(&token);
            let busy = tokio::spawn(async move { patient.wait_knowing().await });
            until_async(|| state.started() == 1).await;
            // More than as many calls as may be in flight.
            for _ in 0..3000 {
                client.linger(&[7; 100]).await.unwrap();
            }
            let since = Instant::now();
            token.cancel();
            assert_kind!(rpc_error(busy.await.unwrap()), ErrorKind::Cancelled);
            until_async(|| state.ended() == 1).await;
            println!("    stopped after {:?}", state.last_end().at - since);
            state.gate.add_permits(1 << 20);
            assert_eq!(client.add(1, 2).await.unwrap(), 3);
        });
    });
}

#[test]
fn without_signals_the_caller_returns_all_the_same() {
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint) =
                (State::new(), subject.endpoint_with(|it| narrow(it, Signals::OFF)));
            let serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let token = CancelToken::new();
                let client = LabourClient::connect(&endpoint).await.unwrap();
                let patient = client.with_cancel_token(&token);
                let busy = tokio::spawn(async move { patient.wait_knowing().await });
                until_async(|| state.started() == 1).await;
                fill(&client, || state.lingering() == LINGERING).await;
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

/// Has the process look for cancellations, as a client would that knows it.
fn ring_here() {
    kill(Pid::this(), Signal::SIGURG).unwrap();
}

/// A client that reads no answers, with calls on their way that fill the path both ways: the frames that it has still to
/// write, and how many calls they and those before are.
fn flood(raw: &mut Raw, hello: &Hello) -> (Vec<u8>, u64) {
    let (wait, produce) = (number(hello, "wait_knowing"), number(hello, "produce"));
    raw.send(&Frame::call(wait, 1, &[]));
    let mut calls = 1;
    let mut next = |method, arguments: &[u8]| {
        calls += 1;
        Frame::call(method, calls, arguments).to_bytes()
    };
    // Answers of 60,000 bytes each, and then calls of 48 KiB.
    let mut bytes: Vec<u8> = (0..100).flat_map(|_| next(produce, &varint(60_000))).collect();
    let swallow = [counted(&[7; 48 << 10]), varint(1)].concat();
    bytes.extend((0..300).flat_map(|_| next(number(hello, "swallow"), &swallow)));
    let written = raw.write_until_full(&bytes, Duration::from_millis(20));
    (bytes.split_off(written), calls)
}

/// Writes the rest, and reads the answers to all calls, each of which has one.
fn read_all(raw: &mut Raw, mut rest: Vec<u8>, calls: u64) {
    let mut answered = HashSet::new();
    while answered.len() < calls as usize {
        let written = raw.write_until_full(&rest, Duration::ZERO);
        rest.drain(..written);
        let frame = raw.frame().unwrap();
        assert_eq!(frame.kind, REPLY);
        assert!(answered.insert(frame.id) && frame.id <= calls, "{}", frame.id);
    }
}

#[test]
fn a_client_that_reads_no_answers_can_cancel() {
    over_every_scheme(|subject| {
        for (waits, signals) in Waits::TOKIO
            .into_iter()
            .flat_map(|waits| [(waits, Signals::URGENT), (waits, Signals::OFF)])
        {
            let (state, endpoint) = (
                State::new(),
                subject.endpoint_with(|settings| {
                    settings.signals = signals;
                    settings.limits.queued_bytes = 16 << 10;
                }),
            );
            let serving = Serving::start(waits, state.server(), &endpoint);
            let (mut raw, hello) = Raw::greeted(&endpoint);
            let (mut rest, calls) = flood(&mut raw, &hello);
            until(|| state.started() == 1);
            rest.extend(Frame::new(CANCEL, 1).to_bytes());
            let since = Instant::now();
            ring_here();
            if signals == Signals::OFF {
                // What it takes is what it takes without being rung.
                let written = raw.write_until_full(&rest, Duration::from_millis(20));
                assert!(written < rest.len(), "the server goes on reading");
                rest.drain(..written);
                assert_eq!((state.ended(), serving.stats().rings()), (0, 0));
            } else {
                raw.write(&rest);
                ring_here();
                until(|| state.ended() == 1);
                println!("    {waits:?}: stopped after {:?}", state.last_end().at - since);
                assert!(serving.stats().rings() > 0);
                rest.clear();
            }
            read_all(&mut raw, rest, calls);
            until(|| state.ended() == 1);
        }
    });
}
