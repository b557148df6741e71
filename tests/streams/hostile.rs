//! A client that breaks the rules of streams loses its connection, with the reason, and nobody else does.

use std::time::Duration;

use crate::studio::{State, StudioBlockingClient};
use crate::support::frame::{ANSWER, CREDIT, DATA, END, Frame, ITEM};
use crate::support::raw::{Raw, number};
use crate::support::{Serving, Waits, over_every_scheme};

/// Of both sides.
const WINDOW: u32 = 1000;

fn items(body: &[u8]) -> Frame {
    Frame { body: body.to_vec(), ..Frame::new(DATA, 1) }.with_flags(ITEM)
}

fn item(length: usize) -> Vec<u8> {
    [&(length as u32).to_le_bytes()[..], &vec![0; length]].concat()
}

fn credit(bytes: u32, items: u32) -> Frame {
    let body = [bytes.to_le_bytes(), items.to_le_bytes()].concat();
    Frame { body, ..Frame::new(CREDIT, 1) }
}

/// The method called, what is sent then, and what the server says of it.
fn violations() -> Vec<(&'static str, Vec<Frame>, &'static str)> {
    vec![
        ("starve", vec![items(&item(600)), items(&item(600))], "more bytes than were granted"),
        ("starve", vec![items(&item(0).repeat(11))], "more items than were granted"),
        ("starve", vec![items(&2000_u32.to_le_bytes())], "an item larger than its window"),
        ("starve", vec![items(&[1, 0]).with_flags(ITEM | END)], "an end in the middle of an item"),
        ("starve", vec![items(&[]).with_flags(ITEM | END), items(&[])], "items after the end"),
        ("starve", vec![items(&[]).with_flags(ITEM | ANSWER)], "a Data frame to a server"),
        ("starve", vec![items(&[]).with_flags(END)], "flags"),
        ("silent", vec![items(&item(1))], "items that nobody takes"),
        ("silent", vec![credit(1, 1).with_flags(ANSWER)], "a Credit frame to a server"),
        ("silent", vec![Frame::new(CREDIT, 1)], "too short for its fields"),
    ]
}

#[test]
fn a_stream_that_breaks_the_rules_ends_its_connection_only() {
    over_every_scheme(|subject| {
        if subject.scheme().starts_server {
            return;
        }
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| {
                (settings.limits.stream.bytes, settings.limits.stream.items) = (WINDOW, 10);
            });
            let state = State::default().into();
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let honest = StudioBlockingClient::connect(&endpoint).unwrap();
            for (method, frames, wanted) in violations() {
                let (mut raw, theirs) = Raw::greeted(&endpoint);
                raw.send(&Frame::call(number(&theirs, method), 1, &[]));
                frames.iter().for_each(|frame| raw.send(frame));
                let (reason, text) = raw.goodbye();
                assert_eq!(reason, 3, "{text}");
                assert!(text.contains(wanted), "{text:?} instead of {wanted:?}");
                assert!(raw.closes_within(Duration::from_secs(5)));
                assert_eq!(honest.add(1, 2).unwrap(), 3);
            }
        }
    });
}

#[test]
fn a_second_call_with_the_id_of_one_that_streams_is_a_violation() {
    over_every_scheme(|subject| {
        if subject.scheme().starts_server {
            return;
        }
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            for (method, arguments) in [("silent", &[][..]), ("add", &[2, 3][..])] {
                let (mut raw, theirs) = Raw::greeted(&endpoint);
                raw.send(&Frame::call(number(&theirs, "silent"), 1, &[]));
                raw.send(&Frame::call(number(&theirs, method), 1, arguments));
                let (reason, text) = raw.goodbye();
                assert_eq!(reason, 3, "{text}");
                assert!(text.contains("a second call with the id 1"), "{text}");
            }
        }
    });
}

#[test]
fn what_comes_too_late_is_dropped() {
    over_every_scheme(|subject| {
        if subject.scheme().starts_server {
            return;
        }
        for waits in Waits::ALL {
            let (state, endpoint) = (State::default().into(), subject.endpoint());
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            let (mut raw, theirs) = Raw::greeted(&endpoint);
            // Of a call that was never made, and of one that has been answered.
            raw.send(&items(&item(1)));
            raw.send(&credit(1, 1));
            raw.send(&Frame::call(number(&theirs, "sum"), 1, &[1]));
            raw.send(&items(&[1, 0, 0, 0, 5]).with_flags(ITEM | END));
            assert_eq!(raw.frame().unwrap().body, [5]);
            raw.send(&items(&item(1)).with_flags(ITEM | END));
            raw.send(&credit(1, 1));
            raw.send(&Frame::call(number(&theirs, "add"), 2, &[2, 3]));
            assert_eq!(raw.frame().unwrap().body, [5]);
        }
    });
}
