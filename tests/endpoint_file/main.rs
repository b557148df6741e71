//! `file:`: between containers that share a volume, on a full disk, in crowds, and whom it lets in.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod containers;
mod crowds;
mod full;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

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

/// Not a test of its own: what another test has started this executable for.
#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "server" => containers::serve(about, control),
        "client" => containers::call(about, control),
        "full" => full::run_out_of_space(about.as_ref()),
        "crowd" => crowds::come_and_go(about),
        "stranger" => strangers::try_everything(about.as_ref()),
        "squatter" => strangers::squat(about.as_ref(), control),
        other => panic!("nobody has written the role {other}"),
    });
}
