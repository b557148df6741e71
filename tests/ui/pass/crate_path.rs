//! `crate = ".."` names `ipcall` where the macro cannot find it: behind another crate's re-export.

mod framework {
    pub mod reexports {
        pub use ::ipcall as rpc;
    }
}

#[framework::reexports::rpc::ipc_service(
    crate = "crate::framework::reexports::rpc",
    name = "org.example.Echo"
)]
pub trait Echo {
    async fn echo(&self, text: &str) -> String;
}

fn main() {
    let _ = EchoClient::from_client;
}
