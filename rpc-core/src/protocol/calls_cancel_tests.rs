//! Cancelling all calls at once.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::tests::{answer, assert_cancelled, assert_clean, gone, polled};
use super::{Answered, Calls, NotBegun};
use crate::error::ErrorKind;
use crate::protocol::incoming::Payload;
use crate::protocol::testing::Bell;

fn begin(calls: &mut Calls) -> u64 {
    calls.begin(None, 0).expect("there is room")
}

/// Cancels all and wakes whoever waited; gives the ids that the server is told of.
fn cancel_all(calls: &mut Calls) -> Vec<u64> {
    let mut wakers = Vec::new();
    let ids = calls.cancel_all(&mut wakers);
    wakers.into_iter().for_each(Waker::wake);
    ids
}

#[test]
fn every_waiter_learns_of_it_and_the_server_of_every_call() {
    let mut calls = Calls::new(3, usize::MAX);
    let (polled_before, unpolled, given_up) =
        (begin(&mut calls), begin(&mut calls), begin(&mut calls));
    let (bell, waker) = Bell::new();
    assert!(calls.poll(polled_before, &waker).is_none());
    assert!(calls.abandon(given_up).0);
    assert_eq!(cancel_all(&mut calls), [polled_before, unpolled], "of the third it knows");
    assert_eq!(bell.take(), 1);
    for id in [polled_before, unpolled] {
        assert_cancelled(
            &polled(&mut calls, id).expect("it has ended").expect_err("without answer"),
        );
        assert!(!calls.abandon(id).0, "it is not told twice");
    }
    // Until the server has answered, their handlers may run.
    assert_eq!(calls.unanswered(), 3);
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Full)));
    for id in [polled_before, unpolled, given_up] {
        assert!(matches!(answer(&mut calls, id, b"late"), Answered::Late(_)));
    }
    assert_eq!(calls.late(), 3);
    assert_clean(&calls);
}

#[test]
fn an_answer_that_is_there_wins() {
    let mut calls = Calls::new(1, usize::MAX);
    let id = begin(&mut calls);
    answer(&mut calls, id, b"in time");
    assert!(cancel_all(&mut calls).is_empty());
    assert_eq!(polled(&mut calls, id), Some(Ok(b"in time".to_vec())));
    assert_clean(&calls);
}

#[test]
fn a_waiter_is_not_confused_by_whoever_has_its_slot_now() {
    let mut calls = Calls::new(1, usize::MAX);
    let id = begin(&mut calls);
    assert_eq!(cancel_all(&mut calls), [id]);
    answer(&mut calls, id, b"late");
    let next = begin(&mut calls);
    answer(&mut calls, next, b"next");
    assert_cancelled(&polled(&mut calls, id).expect("it has ended").expect_err("without answer"));
    assert!(!calls.abandon(id).0);
    assert_eq!(polled(&mut calls, next), Some(Ok(b"next".to_vec())));
    assert_clean(&calls);
}

#[test]
fn calls_that_begin_later_are_untouched() {
    let mut calls = Calls::new(4, usize::MAX);
    let before = begin(&mut calls);
    assert_eq!(cancel_all(&mut calls), [before]);
    let later = begin(&mut calls);
    assert!(before <= calls.cancelled() && later > calls.cancelled());
    assert_eq!(polled(&mut calls, later), None);
    answer(&mut calls, later, b"later");
    assert_eq!(polled(&mut calls, later), Some(Ok(b"later".to_vec())));
}

#[test]
fn whoever_reads_for_itself_gets_the_error_and_not_the_late_answer() {
    let mut calls = Calls::new(1, usize::MAX);
    let id = begin(&mut calls);
    assert_eq!(cancel_all(&mut calls), [id]);
    let (bell, waker) = Bell::new();
    assert!(calls.wait_in_line(&mut None, &waker, 0).is_none());
    let (result, next) = calls.finish(id, 0, Payload::Borrowed(b"late")).expect("it was open");
    assert_cancelled(&result.expect_err("without answer"));
    next.into_iter().for_each(Waker::wake);
    assert_eq!((bell.take(), calls.late()), (1, 1));
    assert_clean(&calls);
    assert!(calls.finish(id, 0, Payload::Borrowed(b"twice")).is_none());
}

#[test]
fn those_in_line_are_woken_and_find_another_number() {
    let mut calls = Calls::new(1, usize::MAX);
    let id = begin(&mut calls);
    let (bell, waker) = Bell::new();
    let (mut place, since) = (None, calls.cancellations());
    assert!(calls.wait_in_line(&mut place, &waker, 0).is_none());
    assert_eq!(cancel_all(&mut calls), [id]);
    assert_eq!(bell.take(), 1);
    assert_ne!(calls.cancellations(), since);
    // It leaves a line that it is not in any more, and a later one comes first.
    assert!(calls.leave_line(place.expect("it was given a ticket")).is_none());
    let (later, waker) = Bell::new();
    assert!(calls.wait_in_line(&mut None, &waker, 0).is_none());
    let Answered::Late(Some(next)) = answer(&mut calls, id, b"late") else {
        panic!("one waits for its place")
    };
    next.wake();
    assert_eq!(later.take(), 1);
}

#[test]
fn a_call_without_a_reply_gives_its_place_back_all_the_same() {
    let mut calls = Calls::new(1, 100);
    let id = calls.begin(None, 90).expect("there is room");
    assert_eq!(cancel_all(&mut calls), [id]);
    calls.forget(id);
    assert_clean(&calls);
}

#[test]
fn a_cancelled_call_has_no_deadline_any_more() {
    let mut calls = Calls::new(1, usize::MAX);
    let soon = Instant::now();
    calls.begin(Some(soon), 0).expect("there is room");
    calls.watch(soon);
    assert_eq!(cancel_all(&mut calls).len(), 1);
    let mut wakers = Vec::new();
    assert_eq!(calls.expired(soon + Duration::from_secs(1), &mut wakers), None);
    assert!(wakers.is_empty());
}

#[test]
fn the_end_of_the_connection_stays_the_cause() {
    let mut calls = Calls::new(1, usize::MAX);
    let id = begin(&mut calls);
    calls.close(gone(), &mut Vec::new());
    assert!(cancel_all(&mut calls).is_empty(), "there is nobody to tell");
    let error = polled(&mut calls, id).expect("it has ended").expect_err("without answer");
    assert!(matches!(error.kind(), ErrorKind::PeerGone { .. }), "{error:?}");
}
