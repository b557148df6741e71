//! A client's calls and a server's requests, joined: whatever is delayed, cancelled or over time, every call
//! has one end.

mod world;

use std::collections::VecDeque;
use std::task::Waker;

use self::world::{Caller, Counts, End, Stage, World};
use crate::error::{ErrorKind, RpcError};
use crate::protocol::incoming::Event;
use crate::protocol::testing::Seed;
use crate::wire::frame::{Header, Kind};

#[test]
fn every_call_gets_one_reply_and_every_caller_one_outcome() {
    let mut total = Counts::default();
    for seed in 0..40 {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        for step in 0..5_000 {
            world.step();
            if step % 50 == 0 {
                world.assert_settled();
            }
        }
        world.drain();
        total.answered += world.counts.answered;
        total.given_up += world.counts.given_up;
        total.cancelled += world.counts.cancelled;
        total.expired += world.counts.expired;
        total.oneway_run += world.counts.oneway_run;
    }
    assert!(total.answered > 2_000 && total.given_up > 500, "the steps are too one-sided");
    assert!(total.cancelled > 100 && total.expired > 100 && total.oneway_run > 100);
}

#[test]
fn when_the_connection_ends_every_caller_is_told() {
    for seed in 100..160 {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.step();
        }
        let busy = |caller: &&Caller| !matches!(caller.stage, Stage::Idle);
        world.run_woken();
        let waiting = world.callers.iter().filter(busy).count() as u64;
        let before = world.counts.answered + world.counts.failed;
        let kind = ErrorKind::PeerGone { how: "a test says so".to_owned() };
        let mut wakers = Vec::new();
        world.calls.close(RpcError::not_executed(kind), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        world.run_woken();
        assert_eq!(world.callers.iter().filter(busy).count(), 0, "someone still waits");
        assert_eq!(world.counts.answered + world.counts.failed, before + waiting);
    }
}

#[test]
fn a_deadline_travels_as_what_is_left_of_it() {
    let mut end = End::new();
    end.send(Header::new(Kind::Call, 1), Some(1_500), b"x".to_vec());
    let mut pipe = VecDeque::new();
    end.write(&mut pipe, usize::MAX);
    end.read(&mut pipe, usize::MAX);
    let Ok(Some(Event::Call(call))) = end.incoming.next_event() else { panic!("a call comes") };
    assert_eq!((call.remaining, call.payload.to_payload()), (Some(1_500), b"x".to_vec()));
}
