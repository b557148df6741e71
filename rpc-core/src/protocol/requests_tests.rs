//! The server's table: who is admitted, what is stopped, when nothing more should be read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rejection, Requests};

/// A call with a reply and small arguments.
fn start(requests: &mut Requests<u64>, id: u64) {
    requests.admit(id, false).expect("there is room");
    requests.start(id, false, 0, id);
}

#[test]
fn no_more_run_than_the_limit_and_an_end_makes_room() {
    let mut requests = Requests::new(2, 100);
    start(&mut requests, 1);
    start(&mut requests, 2);
    assert_eq!(requests.admit(3, false), Err(Rejection::Overloaded { limit: 2 }));
    requests.finish(1, false, 0);
    assert_eq!(requests.admit(3, false), Ok(()));
    assert_eq!(requests.in_flight(), 1);
}

#[test]
fn a_running_call_s_id_is_refused_and_an_ended_one_s_is_not() {
    let mut requests = Requests::new(2, 100);
    start(&mut requests, 7);
    assert_eq!(requests.admit(7, false), Err(Rejection::Duplicate));
    requests.finish(7, false, 0);
    assert_eq!(requests.admit(7, false), Ok(()));
}

#[test]
fn a_duplicate_is_told_even_when_all_places_are_taken() {
    let mut requests = Requests::new(1, 100);
    start(&mut requests, 7);
    assert_eq!(requests.admit(7, false), Err(Rejection::Duplicate));
}

#[test]
fn calls_without_a_reply_take_no_places_and_are_never_dropped() {
    let mut requests = Requests::new(2, 100);
    for id in 0..5 {
        assert_eq!(requests.admit(id, true), Ok(()));
        requests.start(id, true, 0, id);
    }
    assert_eq!((requests.in_flight(), requests.is_full()), (5, true));
    start(&mut requests, 5);
    start(&mut requests, 6);
    assert_eq!(requests.admit(7, false), Err(Rejection::Overloaded { limit: 2 }));
}

#[test]
fn nothing_more_is_read_while_too_many_run_without_a_reply() {
    let mut requests = Requests::new(2, 100);
    requests.start(1, true, 0, 1);
    assert!(!requests.is_full());
    requests.start(2, true, 0, 2);
    assert!(requests.is_full());
    requests.finish(1, true, 0);
    assert!(!requests.is_full());
}

#[test]
fn nothing_more_is_read_while_too_much_is_held_without_a_reply() {
    let mut requests = Requests::new(10, 100);
    requests.start(1, true, 60, 1);
    assert!(!requests.is_full());
    requests.start(2, true, 40, 2);
    assert!(requests.is_full());
    requests.finish(2, true, 40);
    assert!(!requests.is_full());
}

#[test]
fn no_more_is_held_than_the_limit_and_reading_goes_on() {
    let mut requests = Requests::new(10, 100);
    assert_eq!(requests.hold(200), Ok(()), "one alone may be larger");
    requests.start(1, false, 60, 1);
    assert_eq!(requests.hold(40), Ok(()));
    assert_eq!(requests.hold(41), Err(Rejection::Held { limit: 100 }));
    requests.start(2, false, 40, 2);
    assert_eq!((requests.hold(0), requests.is_full()), (Ok(()), false));
    assert_eq!(requests.hold(1), Err(Rejection::Held { limit: 100 }));
    requests.finish(1, false, 60);
    assert_eq!(requests.hold(60), Ok(()));
}

#[test]
fn a_cancel_finds_the_running_call_and_no_other() {
    let mut requests = Requests::new(10, 100);
    start(&mut requests, 1);
    requests.start(2, true, 0, 2);
    assert_eq!(requests.handle(1), Some(&1));
    assert_eq!(requests.handle(2), None, "nobody can ask for it");
    requests.finish(1, false, 0);
    assert_eq!(requests.handle(1), None);
}

#[test]
fn all_running_calls_can_be_stopped() {
    let mut requests = Requests::new(10, 100);
    for id in [3, 1, 2] {
        start(&mut requests, id);
    }
    assert_eq!(requests.handles().copied().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_draining_server_admits_nothing_and_ends_what_runs() {
    let mut requests = Requests::new(10, 100);
    start(&mut requests, 1);
    requests.drain();
    assert_eq!(requests.admit(2, false), Err(Rejection::Draining));
    assert_eq!(requests.admit(2, true), Err(Rejection::Draining));
    requests.finish(1, false, 0);
    assert_eq!(requests.in_flight(), 0);
}

proptest! {
    #[test]
    fn any_calls_are_counted_as_the_model_counts(
        steps in prop::collection::vec((0u64..12, any::<bool>(), 0usize..50, any::<bool>()), 0..200)
    ) {
        let mut requests = Requests::new(4, 100);
        // With a reply: the bytes of each by id. Without: those of all that run.
        let (mut running, mut oneway) = (BTreeMap::new(), Vec::new());
        for (id, is_oneway, bytes, begin) in steps {
            match (begin, is_oneway) {
                (true, true) => {
                    prop_assert_eq!(requests.admit(id, true), Ok(()));
                    requests.start(id, true, bytes, id);
                    oneway.push(bytes);
                }
                (true, false) => {
                    let expected = match running.len() {
                        _ if running.contains_key(&id) => Err(Rejection::Duplicate),
                        4 => Err(Rejection::Overloaded { limit: 4 }),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(requests.admit(id, false), expected);
                    if expected.is_ok() {
                        requests.start(id, false, bytes, id);
                        running.insert(id, bytes);
                    }
                }
                (false, true) => if let Some(bytes) = oneway.pop() {
                    requests.finish(id, true, bytes);
                },
                (false, false) => if let Some(bytes) = running.remove(&id) {
                    requests.finish(id, false, bytes);
                },
            }
            let oneway_held: usize = oneway.iter().sum();
            prop_assert_eq!(requests.in_flight() as usize, running.len() + oneway.len());
            prop_assert_eq!(requests.is_full(), oneway_held >= 100 || oneway.len() >= 4);
            let held: usize = running.values().sum();
            prop_assert_eq!(requests.hold(30).is_ok(), held == 0 || held <= 70);
            prop_assert!(requests.handles().eq(running.keys()));
        }
    }
}
