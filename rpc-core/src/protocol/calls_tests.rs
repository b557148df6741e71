//! The life of a call in the table, and random lives of many against a simple model.

use std::collections::{BTreeMap, HashSet};
use std::task::Waker;
use std::time::{Duration, Instant};

use proptest::prelude::*;

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

fn answer(calls: &mut Calls, id: u64, payload: &[u8]) -> Answered {
    calls.answer(id, 0, Payload::Borrowed(payload))
}

fn gone() -> RpcError {
    RpcError::not_executed(ErrorKind::PeerGone { how: "a test says so".to_owned() })
}

/// The payload of a call's answer, if it is here.
fn polled(calls: &mut Calls, id: u64) -> Option<Result<Vec<u8>, RpcError>> {
    let (result, _) = calls.poll(id, Waker::noop())?;
    Some(result.map(|answer| answer.payload.to_payload()))
}

fn assert_clean(calls: &Calls) {
    assert_eq!(calls.unanswered(), 0);
    assert_eq!(calls.held, 0);
    assert_eq!(calls.free.len(), calls.slots.len(), "a slot has leaked");
    let places: HashSet<u16> = calls.free.iter().copied().collect();
    assert_eq!(places.len(), calls.free.len(), "a slot is free twice");
    assert!(calls.slots.iter().all(|slot| matches!(slot.state, State::Free)));
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
    calls.answer(id, 77, Payload::Owned(vec![1].into()));
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
    calls.wait_in_line(&mut place, &waker, 0);
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
    calls.wait_in_line(&mut None, &waker, 0);
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

#[derive(Clone, Debug)]
enum Step {
    Begin {
        bytes: usize,
        deadline: Option<u8>,
    },
    /// The others mean a call by its place among all that were begun, ended ones too.
    Answer(prop::sample::Index),
    Abandon(prop::sample::Index),
    Poll(prop::sample::Index),
    Forget(prop::sample::Index),
    Expire(u8),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let bytes = prop_oneof![3 => Just(0), 1 => 1usize..80];
    let step = prop_oneof![
        80 => (bytes, any::<Option<u8>>())
            .prop_map(|(bytes, deadline)| Step::Begin { bytes, deadline }),
        60 => index().prop_map(Step::Answer),
        30 => index().prop_map(Step::Abandon),
        60 => index().prop_map(Step::Poll),
        10 => index().prop_map(Step::Forget),
        10 => any::<u8>().prop_map(Step::Expire),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 0..300)
}

/// What a call is, as far as the model knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Waiting,
    Answered,
    Abandoned,
    Over,
}

/// The table as a map, without slots, limits in two numbers.
#[derive(Default)]
struct Model {
    lives: BTreeMap<u64, (Life, usize)>,
    late: u64,
    closed: bool,
}

const LIMIT: usize = 5;
const HELD: usize = 100;

impl Model {
    fn has_room(&self, bytes: usize) -> bool {
        let open = self.lives.values().filter(|(life, _)| is_open(*life));
        let (count, held) = open.fold((0, 0), |(count, held), (_, b)| (count + 1, held + b));
        count < LIMIT && (bytes == 0 || held == 0 || held + bytes <= HELD)
    }

    fn unanswered(&self) -> usize {
        self.lives.values().filter(|(life, _)| is_open(*life)).count()
    }
}

fn is_open(life: Life) -> bool {
    matches!(life, Life::Waiting | Life::Abandoned)
}

fn act(calls: &mut Calls, model: &mut Model, start: Instant, step: &Step) {
    let ids: Vec<u64> = model.lives.keys().copied().collect();
    let chosen = |index: &prop::sample::Index| {
        (!ids.is_empty()).then(|| *index.get(&ids)).map(|id| (id, model.lives[&id].0))
    };
    match step {
        Step::Begin { bytes, deadline } => {
            let at = deadline.map(|ms| start + Duration::from_millis(ms.into()));
            match calls.begin(at, *bytes) {
                Ok(id) => {
                    assert!(model.has_room(*bytes) && !model.closed);
                    assert!(ids.last().is_none_or(|last| *last < id), "ids only grow");
                    model.lives.insert(id, (Life::Waiting, *bytes));
                }
                Err(NotBegun::Full) => assert!(!model.has_room(*bytes)),
                Err(NotBegun::Closed(_)) => assert!(model.closed),
            }
        }
        Step::Answer(index) => {
            let Some((id, life)) = chosen(index) else { return };
            let next = match (life, answer(calls, id, &id.to_le_bytes())) {
                (Life::Waiting, Answered::Awaited { .. }) => Life::Answered,
                (Life::Abandoned, Answered::Late(_)) => Life::Over,
                (Life::Answered | Life::Over, Answered::Unknown) => life,
                (life, answered) => panic!("{life:?} became {answered:?}"),
            };
            model.late += u64::from(life == Life::Abandoned);
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Abandon(index) => {
            let Some((id, life)) = chosen(index) else { return };
            let told = calls.abandon(id).0;
            assert_eq!(told, life == Life::Waiting && !model.closed);
            model.late += u64::from(life == Life::Answered);
            let next = if told || life == Life::Abandoned { Life::Abandoned } else { Life::Over };
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Poll(index) => {
            let Some((id, life)) = chosen(index) else { return };
            let next = match (life, polled(calls, id)) {
                (Life::Answered, Some(Ok(payload))) => {
                    assert_eq!(payload, id.to_le_bytes(), "the answer is another call's");
                    Life::Over
                }
                (Life::Waiting, Some(Err(_))) if model.closed => Life::Over,
                (Life::Waiting, None) if !model.closed => life,
                (Life::Abandoned | Life::Over, None) => life,
                (life, other) => panic!("{life:?} gave {other:?}"),
            };
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Forget(index) => {
            let Some((id, life)) = chosen(index) else { return };
            calls.forget(id);
            let next = if life == Life::Waiting { Life::Over } else { life };
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Expire(ms) => {
            calls.expired(start + Duration::from_millis((*ms).into()), &mut Vec::new());
        }
        Step::Close => {
            calls.close(gone(), &mut Vec::new());
            model.closed = true;
        }
    }
    if !model.closed {
        assert_eq!(calls.unanswered(), model.unanswered());
    }
    assert_eq!(calls.late(), model.late);
}

proptest! {
    #[test]
    fn any_list_of_steps_does_what_the_model_does(steps in steps()) {
        let (mut calls, mut model) = (Calls::new(LIMIT as u32, HELD), Model::default());
        let start = Instant::now();
        for step in &steps {
            act(&mut calls, &mut model, start, step);
        }
        // Whatever is open ends, and nothing is left.
        for (id, (life, _)) in model.lives.clone() {
            match life {
                Life::Over => continue,
                Life::Waiting | Life::Abandoned => drop(answer(&mut calls, id, b"end")),
                Life::Answered => {}
            }
            prop_assert_eq!(polled(&mut calls, id).is_some(), life != Life::Abandoned);
        }
        if !model.closed {
            assert_clean(&calls);
        }
        prop_assert_eq!(calls.free.len(), calls.slots.len());
    }
}
