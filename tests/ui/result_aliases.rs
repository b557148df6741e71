use std::{fmt, io};

use ipcall::ipc_service;

#[ipc_service]
pub trait Aliases {
    async fn read(&self) -> io::Result<Vec<u8>>;
    async fn format(&self) -> fmt::Result;
    fn either(&self) -> Result<u8, u8>;
}

fn main() {
    let _ = AliasesClient::either;
}
