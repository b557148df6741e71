//! `file:`: between containers that share a volume, on a full disk, in crowds, and whom it lets in.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod containers;
mod crowds;
mod forks;
mod full;
mod poor;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::path::Path;

use ipcall::{Endpoint, Server, ipc_service};

#[ipc_service]
trait Echo {
    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
}

struct Same;

impl Echo for Same {
    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }
}

fn echo() -> Server {
    Server::new().add_service(EchoServer::new(Same))
}

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::parse(&format!("file:{}", path.display())).unwrap()
}

/// Says that a test was not run, also where it is not asked what tests say.
fn not_tested(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {name}: {why}");
}

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "server" => containers::serve(about, control),
        "client" => containers::call(about, control),
        "full" => full::run_out_of_space(about.as_ref()),
        "poor" => poor::live_with_little(about.as_ref()),
        "forker" => forks::fork(about.as_ref()),
        "crowd" => crowds::come_and_go(about),
        "stranger" => strangers::try_everything(about.as_ref()),
        "squatter" => strangers::squat(about.as_ref(), control),
        other => panic!("nobody has written the role {other}"),
    });
}
