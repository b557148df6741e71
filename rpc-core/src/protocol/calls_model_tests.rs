//! Random lives of many calls, against a model without slots.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::{answer, assert_cancelled, assert_clean, gone, polled};
use super::{Answered, Calls, NotBegun};

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
    CancelAll,
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
        3 => Just(Step::CancelAll),
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
    /// The last that was cancelled with all others.
    cancelled: u64,
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
                (Life::Abandoned | Life::Over, Some(Err(error))) if id <= model.cancelled => {
                    assert_cancelled(&error);
                    life
                }
                (Life::Abandoned | Life::Over, None) if id > model.cancelled => life,
                (life, other) => panic!("{life:?} gave {other:?}"),
            };
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Forget(index) => {
            let Some((id, life)) = chosen(index) else { return };
            calls.forget(id);
            let next = if is_open(life) { Life::Over } else { life };
            model.lives.entry(id).and_modify(|entry| entry.0 = next);
        }
        Step::Expire(ms) => {
            calls.expired(start + Duration::from_millis((*ms).into()), &mut Vec::new());
        }
        Step::CancelAll => {
            let mut told = calls.cancel_all(&mut Vec::new());
            told.sort_unstable();
            let mut waiting = Vec::new();
            if !model.closed {
                model.cancelled = ids.last().copied().unwrap_or(0);
                let lives = model.lives.iter_mut();
                for (id, (life, _)) in lives.filter(|(_, (life, _))| *life == Life::Waiting) {
                    *life = Life::Abandoned;
                    waiting.push(*id);
                }
            }
            assert_eq!(told, waiting);
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
            let has_ended = life != Life::Abandoned || id <= model.cancelled;
            prop_assert_eq!(polled(&mut calls, id).is_some(), has_ended);
        }
        if !model.closed {
            assert_clean(&calls);
        }
        prop_assert_eq!(calls.free.len(), calls.slots.len());
    }
}
