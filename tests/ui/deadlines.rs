use ipcall::ipc_service;

#[ipc_service]
pub trait Deadlines {
    #[ipc(deadline)]
    async fn missing(&self);
    #[ipc(deadline = 5)]
    async fn number(&self);
    #[ipc(deadline = "5")]
    async fn no_unit(&self);
    #[ipc(deadline = "5 seconds")]
    async fn long_unit(&self);
    #[ipc(deadline = "0s")]
    async fn zero(&self);
    #[ipc(deadline = "0.5ns")]
    async fn too_fine(&self);
    #[ipc(deadline = "999999999999m")]
    async fn too_long(&self);
    #[ipc(deadline = "1.5s")]
    async fn right(&self);
}

fn main() {
    let _ = DeadlinesClient::right;
}
