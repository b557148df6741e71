//! Real processes that are killed, stopped and continued: what the other side is told, and what is left.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod remains;
mod servers;
mod stopped;
mod succession;
mod yard;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "server" => yard::serve(about, control),
        "client" => clients::act(about, control),
        "audit" => remains::audit(about),
        other => panic!("nobody has written the role {other}"),
    });
}
