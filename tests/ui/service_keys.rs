use ipcall::ipc_service;

#[ipc_service(version = 2, path = "ipcall")]
pub trait Unknown {}

#[ipc_service(name = "", name = "b")]
pub trait Twice {}

#[ipc_service(name, crate = ipcall)]
pub trait Malformed {}

#[ipc_service(crate = "not a path")]
pub trait NotAPath {}

#[ipc_service("Name")]
pub trait Bare {}

fn main() {
    let _ = UnknownClient::from_client;
}
