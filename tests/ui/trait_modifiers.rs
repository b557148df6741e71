use ipcall::ipc_service;

#[ipc_service]
pub unsafe trait Unsafe {
    async fn method(&self);
}

#[ipc_service]
#[ipc(oneway)]
pub trait Misplaced {
    async fn method(&self);
}

fn main() {}
