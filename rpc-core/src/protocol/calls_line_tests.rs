//! Waiting for room: who is woken, and that nobody is forgotten however the others behave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::{Answered, Calls, NotBegun, Ticket};
use crate::protocol::incoming::Payload;
use crate::protocol::testing::{Bell, Random, Seed};

fn answer(calls: &mut Calls, id: u64) {
    match calls.answer(id, 0, Payload::Borrowed(&[])) {
        Answered::Awaited { waiter, next } => {
            waiter.into_iter().chain(next).for_each(Waker::wake);
        }
        Answered::Late(next) => next.into_iter().for_each(Waker::wake),
        Answered::Unknown => panic!("{id} is in flight"),
    }
}

/// Gets in line and gives the place.
fn queue(calls: &mut Calls, waker: &Waker, bytes: usize) -> Ticket {
    let mut place = None;
    assert!(matches!(calls.begin(None, bytes), Err(NotBegun::Full)));
    assert!(calls.wait_in_line(&mut place, waker, bytes).is_none());
    place.expect("it was given a ticket")
}

#[test]
fn the_first_in_line_is_woken_by_the_answer_even_if_nobody_looks_at_it() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    let (first, waker) = Bell::new();
    queue(&mut calls, &waker, 0);
    let (second, waker) = Bell::new();
    queue(&mut calls, &waker, 0);
    answer(&mut calls, id);
    assert_eq!((first.take(), second.take()), (1, 0));
}

#[test]
fn whoever_was_woken_and_goes_away_passes_the_turn_on() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    let (_, waker) = Bell::new();
    let leaver = queue(&mut calls, &waker, 0);
    let (next, waker) = Bell::new();
    queue(&mut calls, &waker, 0);
    answer(&mut calls, id);
    calls.leave_line(leaver).into_iter().for_each(Waker::wake);
    assert_eq!(next.take(), 1);
}

#[test]
fn two_calls_of_one_task_have_a_place_each() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    let (task, waker) = Bell::new();
    let timed_out = queue(&mut calls, &waker, 0);
    queue(&mut calls, &waker, 0);
    assert!(calls.leave_line(timed_out).is_none());
    answer(&mut calls, id);
    assert_eq!(task.take(), 1, "the other one is still in line");
}

#[test]
fn a_call_that_moved_to_another_task_is_woken_there() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    let (before, waker) = Bell::new();
    let mut place = Some(queue(&mut calls, &waker, 0));
    let (after, waker) = Bell::new();
    assert!(calls.wait_in_line(&mut place, &waker, 0).is_none());
    answer(&mut calls, id);
    assert_eq!((before.take(), after.take()), (0, 1));
}

#[test]
fn whoever_finds_the_room_taken_again_keeps_its_place() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    let (first, waker) = Bell::new();
    let mut place = Some(queue(&mut calls, &waker, 0));
    let (second, other) = Bell::new();
    queue(&mut calls, &other, 0);
    answer(&mut calls, id);
    let faster = calls.begin(None, 0).expect("a newcomer takes the room");
    assert!(matches!(calls.begin(None, 0), Err(NotBegun::Full)));
    assert!(calls.wait_in_line(&mut place, &waker, 0).is_none());
    first.take();
    answer(&mut calls, faster);
    assert_eq!((first.take(), second.take()), (1, 0));
}

#[test]
fn a_large_call_that_has_to_wait_does_not_hold_up_a_small_one() {
    let mut calls = Calls::new(2, 100);
    let small = calls.begin(None, 0).expect("there is room");
    let large = calls.begin(None, 80).expect("there is room");
    let (large_bell, waker) = Bell::new();
    queue(&mut calls, &waker, 50);
    let (small_bell, waker) = Bell::new();
    queue(&mut calls, &waker, 0);
    answer(&mut calls, small);
    assert_eq!((large_bell.take(), small_bell.take()), (0, 1));
    answer(&mut calls, large);
    assert_eq!(large_bell.take(), 1);
}

#[test]
fn room_for_several_is_passed_on_from_one_to_the_next() {
    let mut calls = Calls::new(10, 100);
    let large = calls.begin(None, 100).expect("there is room");
    let (first, waker) = Bell::new();
    let ticket = queue(&mut calls, &waker, 50);
    let (second, waker) = Bell::new();
    queue(&mut calls, &waker, 50);
    answer(&mut calls, large);
    assert_eq!((first.take(), second.take()), (1, 0));
    calls.begin(None, 50).expect("it is its turn");
    calls.leave_line(ticket).into_iter().for_each(Waker::wake);
    assert_eq!(second.take(), 1);
}

#[test]
fn whoever_finds_its_room_taken_lets_one_go_who_needs_less() {
    let mut calls = Calls::new(10, 100);
    let id = calls.begin(None, 100).expect("there is room");
    let (_, waker) = Bell::new();
    let mut place = Some(queue(&mut calls, &waker, 80));
    let (smaller, other) = Bell::new();
    queue(&mut calls, &other, 30);
    answer(&mut calls, id);
    calls.begin(None, 50).expect("a newcomer takes half of it");
    assert!(matches!(calls.begin(None, 80), Err(NotBegun::Full)));
    calls.wait_in_line(&mut place, &waker, 80).into_iter().for_each(Waker::wake);
    assert_eq!(smaller.take(), 1);
}

#[test]
fn someone_reads_for_those_who_only_wait_for_room() {
    let mut calls = Calls::new(1, 0);
    let id = calls.begin(None, 0).expect("there is room");
    calls.abandon(id);
    let (bell, waker) = Bell::new();
    queue(&mut calls, &waker, 0);
    calls.any_waiting().expect("the late answer has to be read by someone").wake();
    assert_eq!(bell.take(), 1);
}

/// A call's future, as a client's task would drive it.
struct Agent {
    bell: Arc<Bell>,
    waker: Waker,
    bytes: usize,
    stage: Stage,
}

enum Stage {
    Idle,
    Queued(Option<Ticket>),
    Sent(u64),
}

struct World {
    calls: Calls,
    random: Random,
    agents: Vec<Agent>,
    /// Ids that the server has not answered.
    server: VecDeque<u64>,
    done: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limit = 1 + random.below(4);
        // Several calls share a task, and with it a waker.
        let tasks: Vec<_> = (0..4).map(|_| Bell::new()).collect();
        let agents = (0..12).map(|_| {
            let (bell, waker) = tasks[random.below(tasks.len())].clone();
            let bytes = if random.percent(30) { 1 + random.below(120) } else { 0 };
            Agent { bell, waker, bytes, stage: Stage::Idle }
        });
        let agents = agents.collect();
        let calls = Calls::new(limit as u32, 100);
        Self { calls, random, agents, server: VecDeque::new(), done: 0 }
    }

    fn poll(&mut self, index: usize) {
        let Self { calls, agents, server, .. } = self;
        let agent = &mut agents[index];
        if let Stage::Queued(place) = &mut agent.stage {
            match calls.begin(None, agent.bytes) {
                Ok(id) => {
                    let next = place.take().and_then(|ticket| calls.leave_line(ticket));
                    next.into_iter().for_each(Waker::wake);
                    server.push_back(id);
                    agent.stage = Stage::Sent(id);
                }
                Err(NotBegun::Full) => {
                    let next = calls.wait_in_line(place, &agent.waker, agent.bytes);
                    next.into_iter().for_each(Waker::wake);
                }
                Err(NotBegun::Closed(_)) => unreachable!("nothing closes"),
            }
        }
        if let Stage::Sent(id) = agent.stage
            && let Some((_, next)) = calls.poll(id, &agent.waker)
        {
            next.into_iter().for_each(Waker::wake);
            agent.stage = Stage::Idle;
            self.done += 1;
        }
    }

    /// Drops the future.
    fn drop(&mut self, index: usize) {
        let next = match std::mem::replace(&mut self.agents[index].stage, Stage::Idle) {
            Stage::Idle => None,
            Stage::Queued(place) => place.and_then(|ticket| self.calls.leave_line(ticket)),
            Stage::Sent(id) => self.calls.abandon(id).1,
        };
        next.into_iter().for_each(Waker::wake);
    }

    fn step(&mut self) {
        let index = self.random.below(self.agents.len());
        match self.random.below(100) {
            0..35 if matches!(self.agents[index].stage, Stage::Idle) => {
                self.agents[index].stage = Stage::Queued(None);
                self.poll(index);
            }
            35..45 => self.drop(index),
            // For a reason of the task's own.
            45..60 => self.poll(index),
            60..80 => {
                if !self.server.is_empty() {
                    let place = self.random.below(self.server.len());
                    let id = self.server.remove(place).expect("it is in range");
                    answer(&mut self.calls, id);
                }
            }
            _ => {
                self.run_a_woken_task();
            }
        }
    }

    /// Polls the calls of a task that was woken, if one was; all of them, in any order.
    fn run_a_woken_task(&mut self) -> bool {
        let Some(first) = self.agents.iter().position(|agent| agent.bell.take() > 0) else {
            return false;
        };
        let bell = Arc::clone(&self.agents[first].bell);
        let of_task = |agent: &Agent| Arc::ptr_eq(&agent.bell, &bell);
        let mut indices: Vec<usize> =
            (0..self.agents.len()).filter(|index| of_task(&self.agents[*index])).collect();
        while !indices.is_empty() {
            let index = indices.swap_remove(self.random.below(indices.len()));
            self.poll(index);
        }
        true
    }

    fn assert_nobody_is_forgotten(&self) {
        for agent in &self.agents {
            if let Stage::Queued(_) = agent.stage {
                assert!(!self.calls.has_room(agent.bytes), "there is room for one that sleeps");
            }
        }
    }

    fn run(&mut self) {
        for step in 0..400 {
            self.step();
            if step % 20 == 0 {
                while self.run_a_woken_task() {}
                self.assert_nobody_is_forgotten();
            }
        }
        // The server answers all; then every call gets its turn and its answer without being polled
        // for any other reason than that it was woken.
        while self.run_a_woken_task() {}
        while let Some(id) = self.server.pop_front() {
            answer(&mut self.calls, id);
            while self.run_a_woken_task() {}
        }
        assert!(self.agents.iter().all(|agent| matches!(agent.stage, Stage::Idle)));
        assert_eq!((self.calls.unanswered(), self.calls.held), (0, 0));
        assert_eq!(self.calls.free.len(), self.calls.slots.len());
        assert!(self.calls.line.is_empty());
    }
}

#[test]
fn nobody_in_line_is_forgotten_whatever_the_others_do() {
    let mut done = 0;
    for seed in 0..500 {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        world.run();
        done += world.done;
    }
    assert!(done > 10_000, "only {done} calls got their answers");
}
