use ipcall::ipc_service;

#[ipc_service]
pub trait Keys {
    #[ipc(timeout = "5s", one_way)]
    async fn unknown(&self);
    #[ipc(idempotent, idempotent)]
    async fn twice(&self) -> u8;
    #[ipc(oneway)]
    #[ipc(oneway)]
    async fn twice_apart(&self);
    #[ipc]
    async fn bare(&self);
    #[ipc()]
    async fn empty(&self);
    #[ipc = "oneway"]
    async fn assigned(&self);
    #[ipc(oneway = true, inline(true))]
    fn valued(&self);
    #[ipc(idempotent deadline)]
    async fn malformed(&self);
    #[cfg_attr(windows, allow(unused), ipc(oneway))]
    async fn conditional(&self);
}

fn main() {}
