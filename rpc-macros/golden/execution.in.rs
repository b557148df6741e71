#[ipc_service(name = "org.example.Execution")]
trait Execution: Debug {
    async fn future(&self, cx: &Context, n: u32) -> Result<u32, Failure>;
    #[ipc(idempotent, no_cancel, deadline = "1.5s")]
    fn blocking(&self, cx: &Context) -> u32;
    #[ipc(inline)]
    fn inline(&self, n: u32) -> u32;
    #[ipc(oneway)]
    fn oneway(&self, n: u32);
}
