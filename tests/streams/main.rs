//! Streams of results and of arguments, over every transport, each kind of server and of client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod backpressure;
mod dropping;
mod ending;
mod flowing;
mod hostile;
mod studio;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "studio" => ending::serve(about, control),
        "caller" => ending::call(about, control),
        other => panic!("nobody has written the role {other}"),
    });
}
