use ipcall::ipc_service;

#[ipc_service]
pub trait Conflicts {
    #[ipc(inline)]
    async fn inline_async(&self);
    #[ipc(oneway)]
    async fn oneway_with_result(&self) -> u8;
    #[ipc(oneway)]
    async fn oneway_fallible(&self) -> Result<(), String>;
    #[ipc(oneway, deadline = "5s")]
    async fn oneway_with_deadline(&self);
    #[ipc(oneway, idempotent)]
    async fn oneway_idempotent(&self);
    #[ipc(oneway, no_cancel)]
    async fn oneway_no_cancel(&self);
    #[ipc(inline, no_cancel)]
    fn inline_no_cancel(&self);
    #[ipc(oneway, inline)]
    fn right(&self) -> ();
}

fn main() {
    let _ = ConflictsClient::right;
}
