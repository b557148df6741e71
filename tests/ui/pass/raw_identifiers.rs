//! Keywords as names; on the wire they are the plain words.
#![deny(warnings)]

use ipcall::ipc_service;

#[ipc_service]
pub trait r#Match {
    async fn r#type(&self, r#fn: u8, r#struct: &str) -> u8;
    fn r#move(&self, r#ref: Option<&[u8]>);
}

struct Server;

impl Match for Server {
    async fn r#type(&self, r#fn: u8, _: &str) -> u8 {
        r#fn
    }

    fn r#move(&self, _: Option<&[u8]>) {}
}

fn main() {
    let _ = MatchServer::new(Server);
    let _ = MatchClient::r#type;
}
