//! What clients make of servers that do wrong: an error at the caller, and never a hang.

use std::time::Duration;

use ipcall::{ErrorKind, Outcome};

use crate::liar::{be_greeted, deceive, deceive_into, greet, honest_hello, method, next_call};
use crate::support::assert_kind;
use crate::support::frame::{
    ANSWER, CANCEL, CREDIT, DATA, Frame, GOODBYE, MORE, PREFACE, REPLY, varint,
};
use crate::support::raw::Raw;

fn unchanged(_: &mut ipcall::Settings) {}

/// The first frame of a reply in fragments.
fn beginning(id: u64, total: u64, first: &[u8]) -> Frame {
    let body = [&total.to_le_bytes(), first].concat();
    Frame { kind: REPLY, flags: MORE, id, body, ..Frame::default() }
}

#[test]
fn an_honest_answer_is_believed() {
    let script = |raw: &mut Raw| {
        greet(raw);
        let call = next_call(raw);
        assert_eq!((call.code, call.body.as_slice()), (method("text"), &b"\x05hello"[..]));
        raw.send(&Frame::reply(call.id, &[5]));
    };
    deceive(unchanged, script, |result| assert_eq!(result.unwrap(), 5));
}

#[test]
fn whoever_does_not_greet_is_no_server() {
    let greetings: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not the preface of ipcall"),
        (&[0; 100], "not the preface of ipcall"),
        (&[PREFACE, &Frame::reply(1, &[1]).to_bytes()].concat(), "before the hello"),
        (&[PREFACE, &[0xff; 16]].concat(), "unknown kind 255"),
        (&[PREFACE, &Frame::new(1, 0).to_bytes()].concat(), "hello cannot be read"),
    ];
    for (greeting, text) in greetings {
        let script = |raw: &mut Raw| {
            be_greeted(raw);
            raw.write(greeting);
        };
        deceive_into(unchanged, script, |error| {
            assert_kind!(error, ErrorKind::ProtocolViolation { reason } if reason.contains(text));
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        });
    }
}

#[test]
fn a_server_that_closes_instead_of_greeting_is_gone() {
    let partial = honest_hello().to_bytes().unwrap();
    for cut in [0, 3, 8, 20, partial.len() - 1] {
        let script = |raw: &mut Raw| {
            be_greeted(raw);
            raw.write(&partial[..cut]);
            raw.finish();
        };
        deceive_into(unchanged, script, |error| {
            assert_kind!(error, ErrorKind::PeerGone { how } if how.contains("in the handshake"));
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        });
    }
}

#[test]
fn a_server_that_stops_while_greeting_has_stalled() {
    let change = |settings: &mut ipcall::Settings| {
        settings.limits.handshake = Duration::from_millis(50);
    };
    let partial = honest_hello().to_bytes().unwrap();
    for cut in [0, 20] {
        let script = |raw: &mut Raw| {
            be_greeted(raw);
            raw.write(&partial[..cut]);
        };
        deceive_into(change, script, |error| {
            assert_kind!(error, ErrorKind::PeerStalled { what: "handshake", .. });
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        });
    }
}

#[test]
fn a_server_of_another_version_is_refused() {
    let script = |raw: &mut Raw| {
        be_greeted(raw);
        let mut hello = honest_hello();
        hello.version = 3;
        raw.write(&hello.to_bytes().unwrap());
    };
    deceive_into(unchanged, script, |error| {
        assert_kind!(error, ErrorKind::Refused { reason } if reason.contains("version 3"));
    });
}

#[test]
fn answers_that_break_the_protocol_end_the_connection() {
    type Answer = fn(u64) -> Vec<u8>;
    let long: Answer = |id| Frame::new(REPLY, id).to_bytes_of_length(u32::MAX);
    let wrong: [(Answer, &str); 16] = [
        (|_| vec![0xff; 100], "unknown kind 255"),
        (|_| b"HTTP/1.1 500 Oops\r\n\r\n".to_vec(), "the protocol was broken"),
        (|id| Frame::reply(id + 1, &[5]).to_bytes(), "which is not in flight"),
        (|_| Frame::reply(u64::MAX, &[5]).to_bytes(), "a reply to 18446744073709551615"),
        (long, "4294967295 bytes"),
        (|id| Frame::call(0, id, &[1, 2]).to_bytes(), "a call to a client"),
        (|id| Frame::new(CANCEL, id).to_bytes(), "a Cancel frame to a client"),
        (|id| Frame::new(CREDIT, id).to_bytes(), "a Credit frame to a client"),
        (|_| honest_hello().to_bytes().unwrap()[8..].to_vec(), "a Hello frame to a client"),
        (|id| Frame::reply(id, &[5]).with_flags(2).to_bytes(), "with flags"),
        (|id| beginning(id, u64::MAX, &[1]).to_bytes(), "18446744073709551615 bytes"),
        (|id| beginning(id, 100 << 20, &[1]).to_bytes(), "104857600 bytes"),
        (|id| beginning(id, 100, &[1]).to_bytes(), "needless"),
        (|id| Frame::fragment(id, &[1]).with_flags(ANSWER).to_bytes(), "without a beginning"),
        (
            |id| {
                [beginning(id, 100_000, &[1]).to_bytes(), Frame::fragment(id, &[1]).to_bytes()]
                    .concat()
            },
            "without a beginning",
        ),
        (
            |id| {
                let past = Frame::fragment(id, &[1; 100_000]).with_flags(ANSWER);
                [beginning(id, 100_000, &[1]).to_bytes(), past.to_bytes()].concat()
            },
            "past the end",
        ),
    ];
    for (answer, text) in wrong {
        let script = |raw: &mut Raw| {
            greet(raw);
            let call = next_call(raw);
            raw.try_write(&answer(call.id));
        };
        deceive_into(unchanged, script, |error| {
            assert_kind!(error, ErrorKind::ProtocolViolation { .. });
            assert!(error.to_string().contains(text), "{error} has no {text:?}");
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        });
    }
}

#[test]
fn a_server_that_closes_in_the_middle_of_an_answer_is_gone() {
    for cut in [1, 16, 17, 100, 500] {
        let script = |raw: &mut Raw| {
            greet(raw);
            let call = next_call(raw);
            let mut answer = beginning(call.id, 100_000, &[1; 200]).to_bytes();
            let part =
                Frame { kind: DATA, flags: ANSWER, id: call.id, body: vec![1; 300], code: 0 };
            answer.extend(part.to_bytes());
            raw.write(&answer[..cut]);
            raw.finish();
        };
        deceive_into(unchanged, script, |error| {
            assert_kind!(error, ErrorKind::PeerGone { how } if how.contains("closed"));
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        });
    }
}

#[test]
fn a_server_that_stops_in_the_middle_of_an_answer_has_stalled() {
    let change = |settings: &mut ipcall::Settings| {
        settings.limits.progress = Duration::from_millis(50);
    };
    for cut in [1, 17, 100, 230] {
        let script = |raw: &mut Raw| {
            greet(raw);
            let call = next_call(raw);
            let mut answer = beginning(call.id, 100_000, &[1; 200]).to_bytes();
            let part =
                Frame { kind: DATA, flags: ANSWER, id: call.id, body: vec![1; 300], code: 0 };
            answer.extend(part.to_bytes());
            raw.write(&answer[..cut]);
        };
        deceive_into(change, script, |error| {
            assert_kind!(error, ErrorKind::PeerStalled { .. });
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        });
    }
}

#[test]
fn a_server_that_never_answers_costs_the_deadline() {
    let change = |settings: &mut ipcall::Settings| {
        settings.deadline = Some(Duration::from_millis(50));
    };
    let script = |raw: &mut Raw| greet(raw);
    deceive_into(change, script, |error| {
        assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    });
    // One that takes no call at all is one for which the queue never ends.
    let script = |raw: &mut Raw| {
        be_greeted(raw);
        let mut hello = honest_hello();
        hello.calls_in_flight = 0;
        raw.write(&hello.to_bytes().unwrap());
    };
    deceive_into(change, script, |error| {
        assert_kind!(error, ErrorKind::DeadlineExceeded { .. });
        assert_eq!(error.outcome(), Outcome::NotExecuted);
    });
}

#[test]
fn answers_that_mean_nothing_fail_their_call_only() {
    let failure = |executed: u8, text: &str| {
        let text = [varint(text.len() as u64), text.as_bytes().to_vec()].concat();
        [vec![executed, 0, 0], text].concat()
    };
    let answers: [(u16, Vec<u8>, &str, Outcome); 8] = [
        (0, vec![], "end inside the value", Outcome::Executed),
        (0, vec![5, 6], "1 bytes are left over", Outcome::Executed),
        (0, vec![0xff; 20], "too large for its type", Outcome::Executed),
        (1, vec![5], "an error of a method that has none", Outcome::Executed),
        (999, vec![5], "status 999", Outcome::MaybeExecuted),
        (6, vec![0xff; 3], "cannot be read", Outcome::MaybeExecuted),
        (6, failure(1, "oops"), "the handler panicked: oops", Outcome::MaybeExecuted),
        (9, failure(0, "no, really"), "no, really", Outcome::NotExecuted),
    ];
    for (status, payload, text, outcome) in answers {
        let script = |raw: &mut Raw| {
            greet(raw);
            let call = next_call(raw);
            raw.send(&Frame { code: status, ..Frame::reply(call.id, &payload) });
        };
        deceive_into(unchanged, script, |error| {
            assert!(error.to_string().contains(text), "{error} has no {text:?}");
            assert_eq!(error.outcome(), outcome, "{error}");
            assert_eq!(error.method(), Some("text"));
        });
    }
}

#[test]
fn a_goodbye_says_why() {
    let reasons: [(u16, &str); 7] = [
        (0, "it closed the connection"),
        (1, "refused: because"),
        (2, "overloaded: because"),
        (3, "the peer says: because"),
        (4, "it is shutting down: because"),
        (5, "it gave up on us: because"),
        (99, "it closed the connection"),
    ];
    for (code, text) in reasons {
        let goodbye = Frame { code, body: b"because".to_vec(), ..Frame::new(GOODBYE, 0) };
        let script = |raw: &mut Raw| {
            greet(raw);
            next_call(raw);
            raw.send(&goodbye);
        };
        deceive_into(unchanged, script, |error| {
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.outcome(), Outcome::MaybeExecuted);
        });
        let script = |raw: &mut Raw| {
            be_greeted(raw);
            raw.write(&[PREFACE, &goodbye.to_bytes()].concat());
        };
        deceive_into(unchanged, script, |error| {
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.outcome(), Outcome::NotExecuted);
        });
    }
}
