//! Dispatch to a deprecated method does not warn; its callers are warned, through either client.
#![deny(warnings)]

use ipcall::ipc_service;

#[ipc_service]
pub trait Ageing {
    #[deprecated = "use `current`"]
    async fn old(&self) -> u8;

    #[deprecated(since = "0.1.0", note = "use `current`")]
    fn older(&self) -> u8 {
        0
    }

    async fn current(&self) -> u8;
}

#[ipc_service]
#[deprecated = "use `Ageing`"]
pub trait Aged {
    async fn method(&self);
}

struct Server;

impl Ageing for Server {
    async fn old(&self) -> u8 {
        0
    }

    async fn current(&self) -> u8 {
        1
    }
}

fn main() {
    let _ = AgeingServer::new(Server);
    #[expect(deprecated, reason = "the clients carry the deprecation")]
    let _ = (AgeingClient::old, AgeingBlockingClient::older);
    #[expect(deprecated, reason = "the types carry the deprecation")]
    let _ = AgedClient::from_client;
}
