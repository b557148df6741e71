use ipcall::ipc_service;

macro_rules! methods {
    () => {
        fn hidden(&self);
    };
}

#[ipc_service]
pub trait Members {
    const LIMIT: usize = 1;
    type Item;
    methods!();
    async fn method(&self) -> u8;
}

fn main() {
    let _ = MembersClient::method;
}
