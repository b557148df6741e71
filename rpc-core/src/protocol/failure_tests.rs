//! Failed replies: what each status means to the caller, and what is not a failure at all.

use std::time::Duration;

use super::{Failure, METHOD_ERROR, OK, Status, to_error};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::wire::payload::{self, DecodeLimits};

const ALL: [Status; 9] = [
    Status::Cancelled,
    Status::DeadlineExceeded,
    Status::TooLarge,
    Status::UnknownMethod,
    Status::Panicked,
    Status::Overloaded,
    Status::Refused,
    Status::BadArguments,
    Status::BadResult,
];

fn encoded(failure: &Failure) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload::encode(failure, &mut bytes, usize::MAX).expect("numbers and a string");
    bytes
}

fn error(status: u16, bytes: &[u8]) -> RpcError {
    to_error(status, bytes, "Service.method", &DecodeLimits::default())
}

fn failed(status: Status) -> RpcError {
    let failure = Failure::not_executed("the text").with_limit(1_000_000, 2_000_000);
    error(status as u16, &encoded(&failure))
}

#[test]
fn every_status_has_its_number_and_no_other_number_a_status() {
    for status in ALL {
        assert_eq!(Status::from_number(status as u16), Some(status));
    }
    assert_eq!((OK, METHOD_ERROR), (0, 1));
    let known = (0..=u16::MAX).filter(|number| Status::from_number(*number).is_some());
    assert!(known.eq(2..=10));
}

#[test]
fn every_status_says_what_happened_with_its_numbers() {
    let texts = ALL.map(|status| failed(status).to_string());
    assert_eq!(
        texts,
        [
            "the call was cancelled",
            "the deadline of 1ms was exceeded",
            "the text is too large: 2000000, and the limit is 1000000",
            "the peer has no method Service.method",
            "the handler panicked: the text",
            "overloaded: the limit of 1000000 the text is reached",
            "refused: the text",
            "the text",
            "the text",
        ]
    );
    let ErrorKind::DeadlineExceeded { deadline } = failed(Status::DeadlineExceeded).kind().clone()
    else {
        panic!("it is a deadline's status")
    };
    assert_eq!(deadline, Duration::from_millis(1));
}

#[test]
fn whether_the_method_ran_is_told_and_an_unknown_answer_is_maybe() {
    for (executed, outcome) in [
        (0, Outcome::NotExecuted),
        (1, Outcome::MaybeExecuted),
        (2, Outcome::Executed),
        (3, Outcome::MaybeExecuted),
        (255, Outcome::MaybeExecuted),
    ] {
        let failure = Failure::not_executed("").executed(executed);
        assert_eq!(error(Status::Cancelled as u16, &encoded(&failure)).outcome(), outcome);
    }
}

#[test]
fn a_status_without_a_meaning_fails_that_call_only() {
    for status in [11, 12, u16::MAX] {
        let error = error(status, &encoded(&Failure::not_executed("")));
        assert!(matches!(error.kind(), ErrorKind::ProtocolViolation { .. }));
        assert!(error.to_string().contains(&format!("status {status}")), "{error}");
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    }
}

#[test]
fn a_failure_that_cannot_be_read_is_a_violation() {
    let good = encoded(&Failure::not_executed("text"));
    let mut trailing = good.clone();
    trailing.push(0);
    let mut not_utf8 = good.clone();
    *not_utf8.last_mut().expect("it has bytes") = 0xff;
    for bytes in [&good[..good.len() - 1], &[], &trailing, &not_utf8] {
        let error = error(Status::Panicked as u16, bytes);
        assert!(error.to_string().contains("(Panicked) that cannot be read"), "{error}");
        assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    }
}

#[test]
fn a_failure_is_encoded_in_the_order_of_its_fields() {
    let failure = Failure::not_executed("hi").executed(2).with_limit(300, 1);
    assert_eq!(encoded(&failure), [2, 0xac, 0x02, 1, 2, b'h', b'i']);
}
