//! What ends a call, and what of that its handler sees, over every transport and each kind of server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod bystanders;
mod closing;
mod doorbell;
mod forged;
mod labour;
mod matrix;
mod reading_ahead;
mod storms;
mod unharmed;

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "bombarded" => forged::serve(about, control),
        "rung" => bystanders::serve(about, control),
        "reuse" => bystanders::reuse(about, control),
        "storm" => storms::storm(about, control),
        "caller" => matrix::call(about),
        other => panic!("nobody has written the role {other}"),
    });
}
