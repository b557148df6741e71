#[ipc_service(nmae = "Broken")]
pub trait Broken {
    const LIMIT: usize;
    #[ipc(one_way)]
    async fn first(&self, (a, b): (u8, u8));
    async fn second(&mut self) -> &str;
    async fn third(&self) -> u8;
}
