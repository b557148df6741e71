//! `#[cfg]` of a trait or a method reaches every generated piece.
#![deny(warnings)]

use ipcall::ipc_service;

#[ipc_service]
pub trait Conditional {
    #[cfg(any())]
    async fn gone(&self, argument: Missing) -> AlsoMissing;

    #[cfg(all())]
    async fn here(&self) -> u8;

    #[cfg_attr(all(), cfg(any()))]
    fn gone_by_cfg_attr(&self) -> Missing;

    #[cfg(unix)]
    fn either(&self) -> u8;

    #[cfg(not(unix))]
    fn either(&self, argument: Missing) -> u8;
}

#[ipc_service]
#[cfg(any())]
pub trait Absent {
    async fn gone(&self, argument: Missing);
}

struct Server;

impl Conditional for Server {
    async fn here(&self) -> u8 {
        1
    }

    fn either(&self) -> u8 {
        2
    }
}

fn main() {
    let _ = ConditionalServer::new(Server);
    let _ = ConditionalClient::here;
    let _ = ConditionalBlockingClient::either;
}
