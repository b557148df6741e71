//! The life of a call in the table.

use std::collections::HashSet;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Answered, Calls, MOST, NotBegun, SLOT_BITS, State};
use crate::error::{ErrorKind, Outcome, RpcError};
use crate::protocol::incoming::Payload;
use crate::protocol::testing::Bell;

fn table(limit: u32) -> Calls {
    Calls::new(limit, usize::MAX)
}

fn begin(calls: &mut Calls) -> u64 {
    calls.begin(None, 0).expect("there is room")
}

pub(super) fn answer(calls: &mut Calls, id: u64, payload: &[u8]) -> Answered {
    calls.answer(id, 0, Payload::Borrowed(payload))
}

pub(super) fn gone() -> RpcError {
    RpcError::not_executed(ErrorKind::PeerGone { how: "a test says so".to_owned() })
}

/// The payload of a call's answer, if it is here.
pub(super) fn polled(calls: &mut Calls, id: u64) -> Option<Result<Vec<u8>, RpcError>> {
    let (result, _) = calls.poll(id, Waker::noop())?;
    Some(result.map(|answer| answer.payload.to_payload()))
}

pub(super) fn assert_clean(calls: &Calls) {
    assert_eq!(calls.unanswered(), 0);
    assert_eq!(calls.held, 0);
    assert_eq!(calls.free.len(), calls.slots.len(), "a slot has leaked");
    let places: HashSet<u16> = calls.free.iter().copied().collect();
    assert_eq!(places.len(), calls.free.len(), "a slot is free twice");
    assert!(calls.slots.iter().all(|slot| matches!(slot.state, State::Free)));
}

#[track_caller]
pub(super) fn assert_cancelled(error: &RpcError) {
    assert!(matches!(error.kind(), ErrorKind::Cancelled), "{error:?}");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
}

#[test]
fn an_answer_goes_to_the_one_who_waits_for_it() {
    let mut calls = table(10);
    let (first, second) = (begin(&mut calls), begin(&mut calls));
    let (bell, waker) = Bell::new();
    assert!(calls.poll(first, &waker).is_none());
    let Answered::Awaited { waiter: None, .. } = answer(&mut calls, second, b"two") else {
        panic!("nobody has asked for the second yet")
    };
    let Answered::Awaited { waiter: Some(waiter), .. } = answer(&mut calls, first, b"one") else {
        panic!("someone waits for the first")
    };
    waiter.wake();
    assert_eq!(bell.take(), 1);
    assert_eq!(polled(&mut calls, first), Some(Ok(b"one".to_vec())));
    assert_eq!(polled(&mut calls, second), Some(Ok(b"two".to_vec())));
    assert_clean(&calls);
}

#[test]
fn the_status_is_handed_over() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    calls.answer(id, 77, Payload::Owned(Box::new(vec![1].into())));
    let (result, _) = calls.poll(id, Waker::noop()).expect("the answer is here");
    assert_eq!(result.expect("it is an answer").status, 77);
}

#[test]
fn an_answer_can_be_had_once() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    answer(&mut calls, id, b"x");
    assert!(polled(&mut calls, id).is_some());
    assert_eq!(polled(&mut calls, id), None);
    assert!(matches!(answer(&mut calls, id, b"again"), Answered::Unknown));
    assert_clean(&calls);
}

#[test]
fn a_reply_to_no_call_is_unknown() {
    let mut calls = table(1);
    assert!(matches!(answer(&mut calls, 0, b""), Answered::Unknown));
    let id = begin(&mut calls);
    assert!(matches!(answer(&mut calls, id + 1, b""), Answered::Unknown));
    assert!(matches!(answer(&mut calls, id + (1 << SLOT_BITS), b""), Answered::Unknown));
    assert!(matches!(answer(&mut calls, u64::MAX, b""), Answered::Unknown));
    assert!(matches!(answer(&mut calls, id, b""), Answered::Awaited { .. }));
    assert!(matches!(answer(&mut calls, id, b"twice"), Answered::Unknown));
}

#[test]
fn an_abandoned_call_keeps_its_place_until_the_late_reply() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    assert!(calls.abandon(id).0, "the server is to be told");
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Full)));
    assert!(matches!(answer(&mut calls, id, b"late"), Answered::Late(_)));
    assert_eq!(calls.late(), 1);
    assert_clean(&calls);
    begin(&mut calls);
}

#[test]
fn cancel_after_reply_is_ignored() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    answer(&mut calls, id, b"x");
    assert!(!calls.abandon(id).0, "the server has answered already");
    assert_eq!(calls.late(), 1);
    assert_clean(&calls);
}

#[test]
fn cancel_after_the_answer_was_taken_frees_nothing_twice() {
    let mut calls = table(2);
    let id = begin(&mut calls);
    answer(&mut calls, id, b"x");
    polled(&mut calls, id);
    assert!(!calls.abandon(id).0);
    assert!(!calls.abandon(id).0);
    assert_clean(&calls);
    let (one, two) = (begin(&mut calls), begin(&mut calls));
    answer(&mut calls, one, b"one");
    answer(&mut calls, two, b"two");
    assert_eq!(polled(&mut calls, one), Some(Ok(b"one".to_vec())));
    assert_eq!(polled(&mut calls, two), Some(Ok(b"two".to_vec())));
}

#[test]
fn a_second_cancel_is_ignored() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    assert!(calls.abandon(id).0);
    assert!(!calls.abandon(id).0);
    assert_eq!(polled(&mut calls, id), None);
    assert!(matches!(answer(&mut calls, id, b""), Answered::Late(_)));
    assert_clean(&calls);
}

#[test]
fn a_slot_is_used_again_and_its_id_is_not() {
    let mut calls = table(1);
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        let id = begin(&mut calls);
        assert!(seen.insert(id));
        answer(&mut calls, id, b"");
        polled(&mut calls, id);
    }
    assert_eq!(calls.slots.len(), 1);
}

#[test]
fn a_call_without_a_reply_gives_its_place_back_at_once() {
    let mut calls = Calls::new(1, 100);
    let id = calls.begin(None, 90).expect("there is room");
    calls.forget(id);
    assert_clean(&calls);
    assert!(matches!(answer(&mut calls, id, b""), Answered::Unknown));
}

#[test]
fn no_more_begin_than_the_limit() {
    let mut calls = table(3);
    let ids = [begin(&mut calls), begin(&mut calls), begin(&mut calls)];
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Full)));
    assert_eq!(calls.unanswered(), 3);
    // What is answered no longer counts, whether or not someone has looked at it.
    answer(&mut calls, ids[1], b"");
    begin(&mut calls);
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Full)));
}

#[test]
fn large_arguments_are_bounded_together_but_one_alone_may_go() {
    let mut calls = Calls::new(10, 100);
    let larger_than_all = calls.begin(None, 150).expect("it is alone");
    assert!(matches!(calls.begin(None, 1), Err(NotBegun::Full)));
    begin(&mut calls);
    answer(&mut calls, larger_than_all, b"");
    calls.begin(None, 60).expect("60 of 100");
    calls.begin(None, 40).expect("100 of 100");
    assert!(matches!(calls.begin(None, 1), Err(NotBegun::Full)));
    assert!(calls.begin(None, 0).is_ok());
}

#[test]
fn answers_that_nobody_looks_at_never_share_a_slot() {
    let mut calls = table(u32::MAX);
    let mut ids = Vec::new();
    while let Ok(id) = calls.begin(None, 0) {
        answer(&mut calls, id, &id.to_le_bytes());
        ids.push(id);
        assert!(ids.len() <= MOST as usize + 1, "a slot is used twice at a time");
    }
    assert_eq!(ids.len(), MOST as usize + 1, "every slot is taken");
    let mut place = None;
    let (bell, waker) = Bell::new();
    assert!(calls.wait_in_line(&mut place, &waker, 0).is_none());
    for id in ids {
        let (result, next) = calls.poll(id, Waker::noop()).expect("its answer is here");
        assert_eq!(result.expect("it is an answer").payload.to_payload(), id.to_le_bytes());
        next.into_iter().for_each(Waker::wake);
    }
    assert_eq!(bell.take(), 1, "the first free slot goes to the one in line");
    assert_clean(&calls);
}

#[test]
fn every_waiter_gets_the_cause_when_the_connection_ends() {
    let mut calls = table(3);
    let (answered, waiting, abandoned) = (begin(&mut calls), begin(&mut calls), begin(&mut calls));
    let (bell, waker) = Bell::new();
    calls.poll(waiting, &waker);
    answer(&mut calls, answered, b"in time");
    while calls.begin(None, 0).is_ok() {}
    assert!(calls.wait_in_line(&mut None, &waker, 0).is_none());
    calls.abandon(abandoned);
    let mut wakers = Vec::new();
    calls.close(gone(), &mut wakers);
    assert_eq!(wakers.len(), 2, "one waits for an answer, one for room");
    wakers.into_iter().for_each(Waker::wake);
    assert_eq!(bell.take(), 2);
    assert_eq!(polled(&mut calls, answered), Some(Ok(b"in time".to_vec())));
    let error = polled(&mut calls, waiting).expect("it has ended").expect_err("without answer");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert!(error.to_string().contains("a test says so"), "{error}");
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Closed(_))));
}

#[test]
fn the_first_cause_stays() {
    let mut calls = table(1);
    let mut wakers = Vec::new();
    calls.close(gone(), &mut wakers);
    calls.close(RpcError::not_executed(ErrorKind::Cancelled), &mut wakers);
    assert!(matches!(calls.closed().map(RpcError::kind), Some(ErrorKind::PeerGone { .. })));
}

#[test]
fn nobody_is_told_of_a_cancel_on_a_closed_connection() {
    let mut calls = table(1);
    let id = begin(&mut calls);
    calls.close(gone(), &mut Vec::new());
    assert!(!calls.abandon(id).0);
    assert_eq!(calls.free.len(), 1);
}

#[test]
fn deadlines_wake_those_whose_time_is_up_and_name_the_next() {
    let mut calls = table(3);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let bells = [30, 10, 20].map(|ms| {
        let id = calls.begin(Some(at(ms)), 0).expect("there is room");
        let (bell, waker) = Bell::new();
        calls.poll(id, &waker);
        bell
    });
    assert!(calls.watch(at(30)), "it is the first");
    assert!(calls.watch(at(10)), "it is earlier");
    assert!(!calls.watch(at(20)), "the timer is set for an earlier one");
    assert_eq!(calls.earliest(), Some(at(10)));
    let mut wakers = Vec::new();
    assert_eq!(calls.expired(at(9), &mut wakers), Some(at(10)));
    assert!(wakers.is_empty());
    assert_eq!(calls.expired(at(20), &mut wakers), Some(at(30)));
    wakers.drain(..).for_each(Waker::wake);
    assert_eq!(bells.map(|bell| bell.take()), [0, 1, 1]);
    assert_eq!(calls.expired(at(31), &mut wakers), None);
    assert_eq!((wakers.len(), calls.earliest()), (1, None));
}

#[test]
fn an_answered_call_has_no_deadline_any_more() {
    let mut calls = table(1);
    let soon = Instant::now();
    let id = calls.begin(Some(soon), 0).expect("there is room");
    calls.watch(soon);
    answer(&mut calls, id, b"");
    assert_eq!(calls.expired(soon, &mut Vec::new()), None);
}
