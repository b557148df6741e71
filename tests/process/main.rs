//! Client and server in processes of their own, and what becomes of one when the other is killed,
//! stopped, restarted or told to finish.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod cancelled;
mod client;
mod crash;
mod ctrl_c;
mod idle;
mod killed;
mod launched;
mod leftovers;
mod restarted;
mod server;
mod service;
mod signalled;
mod stopped;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "server" => server::serve(about, control),
        "client" => client::call(about, control),
        "interrupted" => ctrl_c::call(about, control),
        "audit" => leftovers::audit(about),
        "survivor" => crash::outlive(about, control),
        "idler" => idle::idle(about, control),
        "ticker" => idle::tick(control),
        "victim" => crash::live(about, control),
        "launched-audit" => launched::alone::audit(),
        "launched-idle" => launched::alone::idle(),
        "launched-in-a-crowd" => launched::alone::talk_over_small_pipes(control),
        other => panic!("nobody has written the role {other}"),
    });
}
