//! Peers that do wrong, by fault or on purpose: what a server makes of wrong clients, each while an
//! honest client goes on calling, and what clients make of wrong servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod credulity;
mod crowds;
mod cuts;
mod deafness;
mod greetings;
mod liar;
mod lies;
mod mutations;
mod pacing;
mod server;
mod stalls;
mod target;
mod victim;
mod violations;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "server" => server::serve(about, control),
        other => panic!("nobody has written the role {other}"),
    });
}
