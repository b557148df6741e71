//! Every error of a trait is reported, and none for what uses the trait and the types beside it.

use ipcall::ipc_service;
use ipcall::transport::Connector;

#[ipc_service(nmae = "Service")]
pub trait Service {
    #[ipc(one_way)]
    async fn first(&self, (a, b): (u8, u8));
    async fn second(&mut self, items: &mut Vec<u8>) -> &str;
    async fn third(&self) -> u8;
}

struct Server;

impl Service for Server {
    async fn first(&self, (a, b): (u8, u8)) {
        let _ = a + b;
    }

    async fn second(&mut self, _: &mut Vec<u8>) -> &str {
        ""
    }

    async fn third(&self) -> u8 {
        3
    }
}

async fn call(connector: &impl Connector) -> u8 {
    let client = ServiceClient::connect(connector).await.unwrap();
    client.third().await.unwrap()
}

fn main() {
    let _ = ServiceServer::new(Server).clone();
    let _ = ServiceBlockingClient::from_client;
}
