//! `fifo:`: whom it lets in and whom it refuses, deaths while connecting, many clients at once,
//! small pipes, and idleness.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crowds;
mod dying;
mod owners;
mod resting;
mod roles;
mod small_pipes;
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
    Endpoint::parse(&format!("fifo:{}", path.display())).unwrap()
}
