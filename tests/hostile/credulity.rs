//! Servers that lie in more than one answer, and clients that call more than once.

use std::thread;
use std::time::Duration;

use ipcall::{Endpoint, ErrorKind, Outcome};

use crate::liar::{greet, method, next_call};
use crate::support::frame::{CANCEL, Frame, PING, varint};
use crate::support::raw::Raw;
use crate::support::serving::run;
use crate::support::{assert_kind, over_every_scheme, rpc_error};
use crate::target::{TargetBlockingClient, TargetClient};

/// Has both kinds of client use a server that follows `script`.
fn use_liar(
    script: impl Fn(&mut Raw) + Sync,
    blocking: impl Fn(&TargetBlockingClient),
    asynchronous: impl AsyncFn(&TargetClient),
) {
    over_every_scheme(|subject| {
        let (mut listener, endpoint) = subject.endpoint().bind_resolved().unwrap();
        let mut lie_while = |truth: &dyn Fn(&Endpoint)| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut raw = Raw::accept(&mut *listener);
                    script(&mut raw);
                    raw.rest();
                });
                truth(&endpoint);
            });
        };
        lie_while(&|endpoint| blocking(&TargetBlockingClient::connect(endpoint).unwrap()));
        lie_while(&|endpoint| {
            run(async { asynchronous(&TargetClient::connect(endpoint).await.unwrap()).await });
        });
    });
}

#[test]
fn the_second_reply_to_a_call_ends_the_connection() {
    let script = |raw: &mut Raw| {
        greet(raw);
        let call = next_call(raw);
        let reply = Frame::reply(call.id, &[5]);
        raw.send(&reply);
        let second = next_call(raw);
        raw.send(&reply);
        // Too late for anyone to look at it.
        raw.try_write(&Frame::reply(second.id, &[5]).to_bytes());
    };
    let check = |error: ipcall::RpcError| {
        assert_kind!(error, ErrorKind::ProtocolViolation { reason }
            if reason.contains("which is not in flight"));
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    };
    use_liar(
        script,
        |client| {
            assert_eq!(client.text("hello").unwrap(), 5);
            check(rpc_error(client.text("hello")));
            let error = rpc_error(client.text("hello"));
            assert_kind!(error, ErrorKind::ProtocolViolation { .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted, "nothing was sent any more");
        },
        async |client| {
            assert_eq!(client.text("hello").await.unwrap(), 5);
            check(rpc_error(client.text("hello").await));
            let error = rpc_error(client.text("hello").await);
            assert_kind!(error, ErrorKind::ProtocolViolation { .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted, "nothing was sent any more");
        },
    );
}

#[test]
fn every_caller_is_told_of_a_lie_to_one() {
    let script = |raw: &mut Raw| {
        greet(raw);
        for _ in 0..10 {
            next_call(raw);
        }
        raw.send(&Frame::reply(u64::MAX, &[5]));
    };
    use_liar(
        script,
        |client| {
            thread::scope(|scope| {
                for _ in 0..10 {
                    scope.spawn(|| {
                        let error = rpc_error(client.text("hello"));
                        assert_kind!(error, ErrorKind::ProtocolViolation { .. });
                    });
                }
            });
        },
        async |client| {
            let calls = (0..10).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { rpc_error(client.text("hello").await) })
            });
            for call in calls.collect::<Vec<_>>() {
                assert_kind!(call.await.unwrap(), ErrorKind::ProtocolViolation { .. });
            }
        },
    );
}

#[test]
fn a_late_reply_is_dropped_and_a_second_late_one_is_a_lie() {
    let script = |raw: &mut Raw| {
        greet(raw);
        let call = next_call(raw);
        while raw.frame().expect("it is cancelled").kind != CANCEL {}
        raw.send(&Frame::reply(call.id, &[5]));
        let second = next_call(raw);
        raw.send(&Frame::reply(second.id, &[5]));
        next_call(raw);
        raw.send(&Frame::reply(call.id, &[5]));
    };
    let short = Duration::from_millis(20);
    use_liar(
        script,
        |client| {
            let error = rpc_error(client.with_deadline(short).text("hello"));
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            assert_eq!(client.text("hello").unwrap(), 5);
            assert_eq!(client.client().late_replies(), 1);
            let error = rpc_error(client.text("hello"));
            assert_kind!(error, ErrorKind::ProtocolViolation { .. });
        },
        async |client| {
            let error = rpc_error(client.with_deadline(short).text("hello").await);
            assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
            assert_eq!(client.text("hello").await.unwrap(), 5);
            assert_eq!(client.client().late_replies(), 1);
            let error = rpc_error(client.text("hello").await);
            assert_kind!(error, ErrorKind::ProtocolViolation { .. });
        },
    );
}

#[test]
fn an_undecodable_answer_leaves_the_connection_as_it_is() {
    // A mebibyte that asks for gigabytes, and an honest answer.
    let script = |raw: &mut Raw| {
        greet(raw);
        let call = next_call(raw);
        assert_eq!(call.code, method("rows"));
        let rows = [varint(1 << 20), vec![0; 1 << 20]].concat();
        let body = [&(rows.len() as u64).to_le_bytes()[..], &rows[..100]].concat();
        let flags = crate::support::frame::MORE;
        raw.send(&Frame { flags, body, ..Frame::reply(call.id, &[]) });
        for part in rows[100..].chunks(200_000) {
            let answer = crate::support::frame::ANSWER;
            raw.send(&Frame::fragment(call.id, part).with_flags(answer));
        }
        // The client answers, too.
        raw.send(&Frame::new(PING, 7));
        let call = next_call(raw);
        raw.send(&Frame::reply(call.id, &[5]));
    };
    let check = |error: ipcall::RpcError| {
        assert_kind!(error, ErrorKind::Codec { reason } if reason.contains("bytes of memory"));
        assert_eq!(error.outcome(), Outcome::Executed);
    };
    use_liar(
        script,
        |client| {
            check(rpc_error(client.rows()));
            assert_eq!(client.text("hello").unwrap(), 5);
        },
        async |client| {
            check(rpc_error(client.rows().await));
            assert_eq!(client.text("hello").await.unwrap(), 5);
        },
    );
}

#[test]
fn a_reader_that_nobody_waits_for_does_not_count_a_pause_as_a_stall() {
    // Part of an answer comes, its call is given up, and the rest comes much later, when nobody but the
    // next caller reads.
    let script = |raw: &mut Raw| {
        greet(raw);
        let call = next_call(raw);
        let whole = Frame::reply(call.id, &[5]).to_bytes();
        raw.write(&whole[..10]);
        while raw.frame().expect("it is cancelled").kind != CANCEL {}
        raw.write(&whole[10..]);
        let call = next_call(raw);
        raw.send(&Frame::reply(call.id, &[5]));
    };
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint_with(|settings| {
            settings.limits.progress = Duration::from_millis(100);
        });
        let (mut listener, endpoint) = endpoint.bind_resolved().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut raw = Raw::accept(&mut *listener);
                script(&mut raw);
                raw.rest();
            });
            let client = TargetBlockingClient::connect(&endpoint).unwrap();
            let short = Duration::from_millis(30);
            rpc_error(client.with_deadline(short).text("hello"));
            thread::sleep(Duration::from_millis(200));
            assert_eq!(client.text("hello").unwrap(), 5);
        });
    });
}
