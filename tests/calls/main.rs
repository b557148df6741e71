//! What a user sees: calls of every kind over every transport, with each kind of client and server in
//! one process; limits, deadlines, cancellation, and the ends of connections.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod busy;
mod cancelling;
mod cancelling_all;
mod cancelling_threads;
mod cancelling_tokens;
mod connecting;
mod deadlines;
mod differing;
mod draining;
mod ending;
mod exhausted;
mod limits;
mod many;
mod methods;
mod panics;
mod places;
mod queueing;
mod sizes;
mod tokens;
mod values;
mod workshop;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, _control| match role {
        "audit" => audit::audit(about),
        "planted-leak" => audit::plant_a_leak(),
        other => panic!("nobody has written the role {other}"),
    });
}
